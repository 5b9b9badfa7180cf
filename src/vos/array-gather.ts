/**
 * Brings the data of an array together from records and extents. Extents that lie one behind the other on the device, and
 * whose data do so in the array, are read as one: windows that were destaged side by side cost one device read.
 */
import { BLOCK_BYTES } from "../base/limits.ts";
import type { ExtentRef } from "../store/cell.ts";
import type { Fill } from "./array-overlay.ts";
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
 * Fills `into`, whose first byte is array byte `start`. Returns a promise when extents have to be read from the device;
 * they stay readable until it settles, and `into` is not written to after that.
 */
export function gather(
  target: TargetObjects,
  fills: readonly Fill[],
  start: number,
  into: Uint8Array,
): undefined | Promise<void> {
  const reads: Promise<void>[] = [];
  let run: ExtentRun | undefined;
  const readRun = (): void => {
    if (run === undefined) return;
    const { at, start: from, end } = run;
    const read = target.store.readExtent(joined(run.extents), at, end - from, into.subarray(from - start, end - start));
    if (read !== undefined) reads.push(read);
    run = undefined;
  };
  for (const { piece, start: from, end } of fills) {
    const at = piece.storedAt + from - piece.start;
    if (piece.inline !== undefined) {
      into.set(piece.inline.subarray(at, at + end - from), from - start);
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
  if (reads.length === 0) return undefined;
  return reads.length === 1 ? reads[0] : allSettled(reads);
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

/** Waits for all, also when one fails. */
async function allSettled(reads: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(reads)) if (result.status === "rejected") throw result.reason;
}
