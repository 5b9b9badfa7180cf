/**
 * The epoch gate: what aggregation may not pass while parity is behind.
 *
 * Parity is of the epoch of the last full write or fold of its stripe; partial writes after it lie beside it as replicas.
 * To decode a lost cell, the other cells are needed as they were at the parity's epoch. So no shard may make that state
 * unreadable before the replicas are folded. In one rule:
 *
 *     A shard aggregates to an epoch only when each stripe of each erasure-coded object of the container is folded as of
 *     that epoch and as of each snapshot up to it, on all shards that are alive.
 *
 * A stripe is folded as of x when `planFold(stripe, x)` has nothing to do. Then nothing of it changed between its parity's
 * epoch and x, and every epoch between them that can still be read shows the same: that is why a read at the parity's epoch
 * may be answered at the first later epoch that is left.
 *
 * Each leader reports the epoch to which its stripes are folded; the least of all is the gate. Pure.
 */
import { EPOCH_MAX, type Epoch } from "./epoch.ts";

/** How far aggregation may go, from the epochs to which each leader has folded. Without any there is no limit. */
export function epochGate(foldedTo: readonly Epoch[]): Epoch {
  return foldedTo.reduce((least, epoch) => (epoch < least ? epoch : least), EPOCH_MAX);
}

/**
 * The first epoch from `wanted` on that a shard can show which was aggregated to `aggregatedTo`, except for `snapshots`
 * (ascending).
 */
export function readableEpoch(wanted: Epoch, aggregatedTo: Epoch, snapshots: readonly Epoch[]): Epoch {
  if (wanted >= aggregatedTo) return wanted;
  const snapshot = snapshots.find((epoch) => epoch >= wanted);
  return snapshot !== undefined && snapshot < aggregatedTo ? snapshot : aggregatedTo;
}
