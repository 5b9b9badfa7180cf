/**
 * The record of a punch: decided first, for its size is known only then, and appended in the turn in which the store
 * admits a record of that size. When admission takes time the decision is made anew.
 */
import type { Epoch } from "../base/epoch.ts";
import type { CellWrite, ReclaimRange } from "../store/cell.ts";
import { RECORD_OVERHEAD_BYTES, type WriteOutcome } from "./single-value.ts";
import type { TargetObjects } from "./target-objects.ts";
import type { WriteOrder } from "./write-order.ts";

/** Bytes that are asked for before the size is known: enough for the punch of an akey with keys of usual length. */
const FIRST_BYTES = 1024;

export interface PunchRecord {
  readonly epoch: Epoch;
  readonly writes: CellWrite[];
  readonly reclaims: ReclaimRange[];
  /** Hears of the append. */
  appended?(sequence: number): void;
}

/** Appends what `decide` decides, or answers with the outcome it gives when there is nothing to append. */
export function appendPunch(
  target: TargetObjects,
  order: WriteOrder | undefined,
  decide: () => PunchRecord | WriteOutcome,
  recordBytes = FIRST_BYTES,
): WriteOutcome | Promise<WriteOutcome> {
  const wait = target.admit(recordBytes, true, order);
  if (wait !== undefined) return wait.then(() => appendDecided(target, order, decide, recordBytes));
  return appendDecided(target, order, decide, recordBytes);
}

function appendDecided(
  target: TargetObjects,
  order: WriteOrder | undefined,
  decide: () => PunchRecord | WriteOutcome,
  admittedBytes: number,
): WriteOutcome | Promise<WriteOutcome> {
  const decided = decide();
  if (!("writes" in decided)) return decided;
  const recordBytes = sizeOf(decided);
  if (recordBytes > admittedBytes) return appendPunch(target, order, decide, recordBytes);
  const { writes, reclaims, epoch } = decided;
  const sequence = target.append(writes, reclaims.length === 0 ? undefined : reclaims, epoch, order);
  decided.appended?.(sequence);
  return { epoch, sequence, error: undefined };
}

function sizeOf({ writes, reclaims }: PunchRecord): number {
  let bytes = RECORD_OVERHEAD_BYTES;
  for (const write of writes) bytes += RECORD_OVERHEAD_BYTES + write.key.length + write.meta.length;
  for (const reclaim of reclaims) bytes += RECORD_OVERHEAD_BYTES + reclaim.from.length + reclaim.to.length;
  return bytes;
}

/** There was nothing to punch. */
export function nothingPunched(epoch: Epoch, sequence: number): WriteOutcome {
  return { epoch, sequence, error: undefined };
}
