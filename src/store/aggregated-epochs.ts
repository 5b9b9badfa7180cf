/** How far the containers of a store are aggregated: the highest epoch of each that settling has begun to take. */
import type { Epoch } from "../base/epoch.ts";
import type { Memtable } from "./memtable.ts";

/** Settling begins with these generations. */
export function raiseAggregated(aggregatedTo: Map<number, Epoch>, memtables: Iterable<Memtable>): void {
  for (const memtable of memtables) {
    for (const { container, highestEpoch } of memtable.shares()) {
      if (highestEpoch > (aggregatedTo.get(container) ?? 0)) aggregatedTo.set(container, highestEpoch);
    }
  }
}
