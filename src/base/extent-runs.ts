/** Runs of bytes that hold data, joined where they touch or overlap. Pure. */
import type { Epoch } from "./epoch.ts";

export interface ExtentRun {
  readonly address: number;
  readonly length: number;
  readonly epoch: Epoch;
}

/** Bytes of an array, all of which hold data. */
export interface ArrayRun {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** As runs, ascending, whatever they overlap and whenever they were written; a run has the epoch of its newest. */
export function joinRuns(extents: readonly ExtentRun[]): ExtentRun[] {
  const runs: ExtentRun[] = [];
  for (const extent of extents.toSorted((left, right) => left.address - right.address)) {
    const last = runs.at(-1);
    if (last === undefined || last.address + last.length < extent.address) {
      runs.push(extent);
      continue;
    }
    const end = Math.max(last.address + last.length, extent.address + extent.length);
    const epoch = extent.epoch > last.epoch ? extent.epoch : last.epoch;
    runs[runs.length - 1] = { address: last.address, length: end - last.address, epoch };
  }
  return runs;
}
