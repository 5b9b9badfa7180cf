/**
 * The CRC-32 of bytes that follow each other, made from the CRC-32s of their parts without looking at a byte, and that of a
 * part from those of the whole and of what is before it: so one checksum goes with bytes from the client to the medium and
 * back, however they are cut and put together on the way. (Mark Adler, crc32_combine of zlib.)
 *
 * A CRC is a polynomial over GF(2) modulo the CRC's own, the highest power in the lowest bit; bytes that follow multiply
 * it by x to the power of eight times their count.
 */
import { crc32 } from "./checksum.ts";
import { BLOCK_BYTES } from "./limits.ts";

const POLYNOMIAL = 0xedb88320;
const ONE = 0x8000_0000;

/** CRC-32 of A followed by B, from those of A and B and the length of B. */
export function joinChecksums(first: number, second: number, secondBytes: number): number {
  if (secondBytes === BLOCK_BYTES) return (afterBlock(first) ^ second) >>> 0;
  return (afterBytes(first, secondBytes) ^ second) >>> 0;
}

/** CRC-32 of B, from that of A followed by B, that of A and the length of B. */
export function checksumBehind(whole: number, first: number, secondBytes: number): number {
  return joinChecksums(first, whole, secondBytes);
}

/** CRC-32 of so many zero bytes. */
export function checksumOfZeros(sizeBytes: number): number {
  return ~joinChecksums(0xffff_ffff, 0, sizeBytes) >>> 0;
}

/**
 * CRC-32 of the bytes from `start` to `end`, when that of all is `whole`; undefined when it is not: they are damaged. Each byte
 * is looked at once, and none when they are asked for as a whole: whoever uses them verifies them by what this returns.
 */
export function checksumOfPart(bytes: Uint8Array, whole: number, start: number, end: number): number | undefined {
  if (start === 0 && end === bytes.length) return whole;
  const part = crc32(bytes.subarray(start, end));
  const before = joinChecksums(crc32(bytes.subarray(0, start)), part, end - start);
  return crc32(bytes.subarray(end), before) === whole ? part : undefined;
}

/** CRC-32 of `sizeBytes` bytes, at least one, whose BLOCK_BYTES chunks have the checksums from index `first` on; the last may be shorter. */
export function checksumOfChunks(checksums: Uint32Array, first: number, sizeBytes: number): number {
  let joined = checksums[first] ?? 0;
  let chunk = first + 1;
  for (let left = sizeBytes - BLOCK_BYTES; left > 0; left -= BLOCK_BYTES, chunk += 1) {
    joined = joinChecksums(joined, checksums[chunk]!, Math.min(left, BLOCK_BYTES));
  }
  return joined;
}

/** What a polynomial becomes when it is multiplied by x to the power of four, as far as its four highest powers tell. */
const NIBBLES = Int32Array.from({ length: 16 }, (_, nibble) => timesX(timesX(timesX(timesX(nibble)))));
function timesX(polynomial: number): number {
  return (polynomial >>> 1) ^ (POLYNOMIAL & -(polynomial & 1));
}

/** Puts into `table`, from `at` on, the products of a polynomial and all of less than four powers. */
function fillMultiples(table: Int32Array, at: number, polynomial: number): void {
  const once = timesX(polynomial);
  const twice = timesX(once);
  table[at + 8] = polynomial;
  table[at + 4] = once;
  table[at + 2] = twice;
  table[at + 1] = timesX(twice);
  for (let nibble = 3; nibble < 16; nibble += 1) {
    table[at + nibble] = table[at + (nibble & (nibble - 1))]! ^ table[at + (nibble & -nibble)]!;
  }
}

/** The product of a polynomial and the one whose multiples lie in `table` from `at` on, four powers at a time. */
function productOf(left: number, table: Int32Array, at: number): number {
  let result = table[at + (left & 15)]!;
  for (let shift = 4; shift < 32; shift += 4) {
    result = (result >>> 4) ^ NIBBLES[result & 15]! ^ table[at + ((left >>> shift) & 15)]!;
  }
  return result >>> 0;
}

const scratch = new Int32Array(16);

/** The product of two polynomials. */
function product(left: number, right: number): number {
  fillMultiples(scratch, 0, right);
  return productOf(left, scratch, 0);
}

/** x to the power of 8 * 2^n, by n. */
const POWERS = powers();

function powers(): number[] {
  const list = [product(ONE >>> 4, ONE >>> 4)];
  while (list.length < 53) list.push(product(list.at(-1)!, list.at(-1)!));
  return list;
}

/** x to the power of eight times `count`. */
function powerOfBytes(count: number): number {
  let result = ONE;
  for (let left = count, index = 0; left > 0; left = Math.floor(left / 2), index += 1) {
    if (left % 2 === 1) result = product(result, POWERS[index]!);
  }
  return result;
}

/** Multiples of powers that were asked for, and of how many bytes: a slot each, for the sizes of requests are few. */
const KEPT_POWERS = 1024;
const keptMultiples = new Int32Array(16 * KEPT_POWERS);
const keptCounts = new Float64Array(KEPT_POWERS).fill(-1);

/** What a CRC becomes when so many bytes follow. */
function afterBytes(state: number, count: number): number {
  const slot = (count ^ (count >>> 10)) & (KEPT_POWERS - 1);
  if (keptCounts[slot] !== count) {
    fillMultiples(keptMultiples, 16 * slot, powerOfBytes(count));
    keptCounts[slot] = count;
  }
  return productOf(state, keptMultiples, 16 * slot);
}

/** What each byte of a CRC becomes when BLOCK_BYTES follow: four tables of 256. */
const BLOCK_TABLES = blockTables();

function blockTables(): Int32Array {
  const power = powerOfBytes(BLOCK_BYTES);
  return Int32Array.from({ length: 1024 }, (_, at) => product(power, ((at & 255) << (8 * (at >> 8))) >>> 0));
}

function afterBlock(state: number): number {
  return (
    BLOCK_TABLES[state & 255]! ^
    BLOCK_TABLES[256 + ((state >>> 8) & 255)]! ^
    BLOCK_TABLES[512 + ((state >>> 16) & 255)]! ^
    BLOCK_TABLES[768 + (state >>> 24)]!
  );
}
