/**
 * The CRC-32 of bytes that follow each other, made from the CRC-32s of their parts without looking at a byte: what was
 * verified chunk by chunk need not be read again for the checksum of a frame. (Mark Adler, crc32_combine of zlib.)
 *
 * A CRC is a polynomial over GF(2) modulo the CRC's own, the highest power in the lowest bit; bytes that follow multiply
 * it by x to the power of eight times their count.
 */
import { BLOCK_BYTES } from "./limits.ts";

const POLYNOMIAL = 0xedb88320;
const ONE = 0x8000_0000;

/** CRC-32 of A followed by B, from those of A and B and the length of B. */
export function joinChecksums(first: number, second: number, secondBytes: number): number {
  if (secondBytes === BLOCK_BYTES) return (afterBlock(first) ^ second) >>> 0;
  return (product(powerOfBytes(secondBytes), first) ^ second) >>> 0;
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

/** The product of two polynomials. */
function product(left: number, right: number): number {
  let result = 0;
  let shifted = right;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((left & bit) !== 0) result ^= shifted;
    shifted = (shifted & 1) === 0 ? shifted >>> 1 : (shifted >>> 1) ^ POLYNOMIAL;
  }
  return result >>> 0;
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
