/**
 * Brings the data of an array together from records and extents. Extents that lie one behind the other on the device, and
 * whose data do so in the array, are read as one: windows that were destaged side by side cost one device read.
 */
import { checksumOfPart, checksumOfZeros, joinChecksums } from "../base/checksum-join.ts";
import { damagedAfterStore } from "../base/damage.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import type { ExtentRef } from "../store/cell.ts";
import type { Fill } from "./array-overlay.ts";
import type { Piece } from "./array-window.ts";
import type { TargetObjects } from "./target-objects.ts";

/** Bytes to be read from extents that lie one behind the other; array bytes [start, end). */
interface ExtentRun {
  readonly extents: ExtentRef[];
  /** Where they begin in the first extent. */
  readonly at: number;
  readonly start: number;
  end: number;
}

/**
 * Fills `into`, whose first byte is array byte `start`, with the fills; the rest of it is zeros. Gives the CRC-32 that all of
 * it must have then, made of what the parts were verified by, as a promise when extents have to be read from the device: they
 * stay readable until it settles, and `into` is not written to after that. Throws or rejects with CORRUPT, IO.
 */
export function gather(
  target: TargetObjects,
  fills: readonly Fill[],
  start: number,
  into: Uint8Array,
): number | Promise<number> {
  const parts: GatheredPart[] = [];
  let isPending = false;
  let run: ExtentRun | undefined;
  const add = (from: number, end: number, checksum: number | Promise<number>): void => {
    parts.push({ start: from - start, end: end - start, checksum });
    isPending ||= typeof checksum !== "number";
  };
  const readRun = (): void => {
    if (run === undefined) return;
    const { at, start: from, end } = run;
    const place = into.subarray(from - start, end - start);
    add(from, end, target.store.readExtent(joined(run.extents), at, end - from, place));
    run = undefined;
  };
  for (const { piece, start: from, end } of fills) {
    const at = piece.storedAt + from - piece.start;
    if (piece.inline !== undefined) {
      readRun();
      into.set(piece.inline.subarray(at, at + end - from), from - start);
      add(from, end, partOfPiece(piece, at, at + end - from));
      continue;
    }
    const extent = piece.extent!;
    if (run !== undefined && goesOn(run, extent, at, from)) {
      run.extents.push(extent);
      run.end = end;
      continue;
    }
    readRun();
    run = { extents: [extent], at, start: from, end };
  }
  readRun();
  // The usual read is of one part: the cost of a small one is that of its promises.
  const only = parts[0];
  if (parts.length === 1 && only!.start === 0 && only!.end === into.length) return only!.checksum;
  return isPending ? settledChecksum(parts, into.length) : checksumOfParts(parts, into.length);
}

/** Bytes that were put in their place, and the CRC-32 that they must have there. */
interface GatheredPart {
  readonly start: number;
  readonly end: number;
  readonly checksum: number | Promise<number>;
}

/** CRC-32 of the bytes [from, to) that a record has of a piece. Throws CORRUPT. */
export function partOfPiece({ inline, checksum }: Piece, from: number, to: number): number {
  const part = checksumOfPart(inline!, checksum, from, to);
  if (part === undefined) throw damagedAfterStore("when its parts were put together");
  return part;
}

/** Waits for all, also when one fails. */
async function settledChecksum(parts: readonly GatheredPart[], sizeBytes: number): Promise<number> {
  const results = await Promise.allSettled(parts.map(async ({ checksum }) => checksum));
  const done = results.map((result, index) => {
    if (result.status === "rejected") throw result.reason;
    return { ...parts[index]!, checksum: result.value };
  });
  return checksumOfParts(done, sizeBytes);
}

/** Of the parts, which ascend, and zeros everywhere else. */
function checksumOfParts(parts: readonly GatheredPart[], sizeBytes: number): number {
  let whole = 0;
  let at = 0;
  for (const { start, end, checksum } of parts) {
    if (start > at) whole = joinChecksums(whole, checksumOfZeros(start - at), start - at);
    whole = joinChecksums(whole, checksum as number, end - start);
    at = end;
  }
  return at < sizeBytes ? joinChecksums(whole, checksumOfZeros(sizeBytes - at), sizeBytes - at) : whole;
}

/** Whether bytes of an extent from `at` on, array bytes from `from` on, come directly behind the run: both there and here. */
function goesOn(run: ExtentRun, extent: ExtentRef, at: number, from: number): boolean {
  const last = run.extents.at(-1)!;
  const isWholeBlocks = last.length % BLOCK_BYTES === 0;
  if (at !== 0 || from !== run.end || !isWholeBlocks || extent.offset !== last.offset + last.length) return false;
  // The run takes the last extent to its end.
  return run.at + run.end - run.start === extent.offset - run.extents[0]!.offset;
}

/** Extents that lie one behind the other as one. */
function joined(extents: readonly ExtentRef[]): ExtentRef {
  const first = extents[0]!;
  if (extents.length === 1) return first;
  const last = extents.at(-1)!;
  const length = last.offset + last.length - first.offset;
  const checksums = new Uint32Array(Math.ceil(length / BLOCK_BYTES));
  for (const extent of extents) checksums.set(extent.checksums, (extent.offset - first.offset) / BLOCK_BYTES);
  return { offset: first.offset, length, checksums };
}
