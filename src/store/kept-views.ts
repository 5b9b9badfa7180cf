/** Whose views of the cells are kept, beside the latest: snapshots, and of gated cells the epoch gate with all above it. */
import type { Epoch } from "../base/epoch.ts";
import { uint32OfKey } from "../format/settled-row.ts";
import type { GateRule, ReclaimRange } from "./cell.ts";

/** Snapshots to keep, by container; ascending. */
export type SnapshotLists = ReadonlyMap<number, readonly Epoch[]>;
/** Epoch gates by container; those that are not here are 0. */
export type Gates = ReadonlyMap<number, Epoch>;

export interface KeptViews {
  readonly snapshots: SnapshotLists;
  readonly gates: Gates;
}

/** Whether the range is of gated cells, and punched above the gate. */
export function waitsForGate({ from, epoch }: ReclaimRange, gates: Gates, isGated: GateRule): boolean {
  return isGated(from) && epoch > (gates.get(uint32OfKey(from)) ?? 0);
}
