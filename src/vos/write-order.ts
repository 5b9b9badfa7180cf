/**
 * How a write takes its place among the others of a redundancy group. The leader of a group orders its updates: it gives
 * each one an epoch as it appends it, and the other shards run the same operation at that epoch, in the same order. The
 * leader has decided: what follows it looks at no conditions, and leaves a record even where it finds nothing to do.
 */
import type { Epoch } from "../base/epoch.ts";
import type { RequestId } from "../format/object-request.ts";
import type { CellWrite, ReclaimRange } from "../store/cell.ts";

/** Numbers of shards, in the dkey's own order, under the map by which the leader ordered the update. */
export interface OrderedShard {
  /** This target's. */
  readonly own: number;
  readonly leader: number;
}

export interface WriteOrder {
  /** The request that the write serves: kept with it, so that the same request sent again is known. */
  readonly origin: Readonly<RequestId>;
  /** Others have to have the write too: nothing tells of it until CellStore.decide. */
  readonly isPrepared: boolean;
  /** What the leader gave; undefined where this target leads. */
  readonly epoch: Epoch | undefined;
  /** Of erasure code. */
  readonly shard?: OrderedShard | undefined;
  /** Settles when all writes are appended that the leader ordered before this one; absent when they are. */
  readonly turn?: Promise<void> | undefined;
  /** Asked where this target leads, in the turn of the append: throws when the write must not happen now. */
  readonly mayAppend?: (() => void) | undefined;
  /** Hears, in the turn of the append, what was appended. Not called for a write that was refused or had nothing to do. */
  readonly appended?: (epoch: Epoch, sequence: number) => void;
  /**
   * Of an operation of a transaction, which is decided: takes what would be appended, for one record with all of them. The
   * operation cannot be refused; whatever the akey holds gives way.
   */
  readonly gather?: (writes: readonly CellWrite[], reclaims: readonly ReclaimRange[]) => void;
}

/** Whether a record has to be there even when there is nothing to do: it proves that the leader's update came by. */
export function mustRecord(order: WriteOrder | undefined): boolean {
  return order?.epoch !== undefined;
}
