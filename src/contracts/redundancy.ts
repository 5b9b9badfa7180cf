/**
 * Extension point `redundancy`: how a redundancy group keeps an akey on its shards. The client and the leader of a group
 * know only this contract. Pure and synchronous: no I/O, no clock; the same question has the same answer.
 *
 * Shards are numbered in the dkey's own order (src/base/shard-rotation.ts turns that into shards of the group), data shards
 * first. A shard keeps its part under the same dkey and akey as an ordinary single value or byte array with versions;
 * `address` is in bytes of that local array and says nothing to a reader of the object. `alive` always lists the shards
 * that are up and complete, ascending. A shard that was away is not among them before it is rebuilt.
 *
 * What the caller does: the parts that a plan gives are one update: all shards prepare, at one epoch, then all commit; parts
 * of shards that are not alive are left out. Updates of one stripe under one epoch are one plan. The leader lets punches
 * and folds of a dkey run only between its other updates, from their first read to their commit. Where parts of one shard
 * meet in a place, or meet what the shard has there at that same epoch, the later one in the list wins.
 *
 * Bytes passed in are not kept beyond the plan; results may be views of them or of what `take` was given.
 */
import type { Epoch } from "../base/epoch.ts";
import type { ArrayRun, ExtentRun } from "../base/extent-runs.ts";

/** A run of bytes that hold data, and the epoch they were written at. */
export type DataExtent = ExtentRun;

/** What one shard has to do in an update. */
export interface ShardPart {
  readonly shard: number;
  /** `value`: replaces the akey's single value; the others are of its array. */
  readonly kind: "write" | "punch" | "value";
  /** Why, for people and for counters. `hidden`: beneath this update; nobody who sees the update needs it. */
  readonly holds: "copy" | "data" | "parity" | "replica" | "hidden";
  readonly address: number;
  readonly length: number;
  /** The bytes, `length` in all, in this order; empty in a punch and in a plan that was made without bytes. */
  readonly views: readonly Uint8Array[];
}

/** A part at an epoch of its own: what a rebuilt shard gets. */
export interface EpochPart extends ShardPart {
  readonly epoch: Epoch;
}

export interface ShardRead {
  readonly shard: number;
  /** `value`: the single value; address and length are 0. */
  readonly kind: "array" | "value";
  readonly address: number;
  readonly length: number;
  /** What to show; EPOCH_NONE: the latest. */
  readonly epoch: Epoch;
  /**
   * The epoch may be one that was aggregated away: show the first later one that can still be read (`readableEpoch` in
   * src/base/epoch-gate.ts). False: answer EPOCH_AGGREGATED then.
   */
  readonly orNextReadable: boolean;
}

export interface ShardReadResult {
  /** `length` bytes, holes as zeros; a whole single value. May be empty when `extents` is. */
  readonly bytes: Uint8Array;
  /** CRC-32 that the bytes have where they come from: no plan may change them. Absent where nobody knows it. */
  readonly checksum?: number | undefined;
  /** Where data lies, local addresses within the read, ascending, apart; of a value one at address 0, or none. */
  readonly extents: readonly DataExtent[];
  /** The epoch that was shown; of a read of the latest any epoch that shows the same. */
  readonly shownAt: Epoch;
}

/**
 * Work that needs reads. While `next` gives reads, all of them are done, those of one shard in their order, and their results
 * given to `take` in the order of the reads. Then `result` is there. When a read fails because its shard is gone, the plan is thrown away and
 * made again with the shards that are left. `take` throws CONFLICT when shards changed between two rounds (make the plan
 * again) and CORRUPT when what they hold does not fit together.
 */
export interface Plan<Result> {
  /** Empty: done. */
  next(): readonly ShardRead[];
  take(results: readonly ShardReadResult[]): void;
  /** Undefined until done. */
  readonly result: Result | undefined;
}

export interface ArrayContent {
  /** All bytes of the range, holes as zeros; empty when there is no data. */
  readonly bytes: Uint8Array;
  /** Data of the range, array addresses, ascending, neighbours of one epoch joined. */
  readonly extents: readonly DataExtent[];
  /** Newest epoch among what was read; EPOCH_NONE when there is no data. */
  readonly epoch: Epoch;
}

export interface ValueContent {
  readonly bytes: Uint8Array;
  readonly epoch: Epoch;
}

export interface Fold {
  /** The epoch to write all parts at, which is older than the moment of the fold. */
  readonly epoch: Epoch;
  /** Empty: nothing to fold. */
  readonly parts: readonly ShardPart[];
}

export interface AddressSpace {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

export interface RedundancyScheme {
  /** The word of the object class: `none`, `RP_3`, `EC_4P2`. */
  readonly redundancy: string;
  /** Shards of one group: data plus redundancy. */
  readonly shardCount: number;
  /** Shards that each hold a different piece of the data; 1 where each holds all of it. */
  readonly dataShards: number;
  /** Shards that may be lost without losing data. */
  readonly toleratedFailures: number;
  /** Shards that must be alive to update, and to read anything whatever. */
  readonly leastShardsToWrite: number;
  readonly leastShardsToRead: number;
  /** Array bytes that are protected together; 0 where there are no stripes, and nothing is ever folded. */
  readonly stripeBytes: number;
  /** Last byte of an array, exclusive. */
  readonly maxArrayBytes: number;

  /** The shard that orders updates of a dkey. Throws UNAVAILABLE when fewer than `leastShardsToWrite` are alive. */
  leader(alive: readonly number[]): number;

  /**
   * A write of array bytes. Without `bytes` the plan has the same parts without contents: what another has to have staged.
   * On each shard no two parts lie in the same MiB of addresses. Throws TOO_LARGE beyond `maxArrayBytes`.
   */
  planWrite(address: number, length: number, bytes?: Uint8Array): readonly ShardPart[];
  /** A new single value. */
  planValue(length: number, bytes?: Uint8Array): readonly ShardPart[];
  /**
   * What a punch of array bytes, which are cut at `maxArrayBytes`, has to write anew: the rest of stripes that have parity. The
   * leader makes and runs it, at the latest epoch. Undefined: too few shards.
   */
  planPunch(address: number, length: number, alive: readonly number[]): Plan<readonly ArrayRun[]> | undefined;
  /** The punch. `rest`: what planPunch gave for the same bytes; nothing of the dkey has changed since. */
  punchParts(address: number, length: number, rest: readonly ArrayRun[]): readonly ShardPart[];

  /**
   * `epoch`: EPOCH_NONE for the latest, of each shard as it comes: a write under way may then be seen in part, which a read
   * at an epoch never does. `into`: memory of `length` bytes for those of the result, which need not be used; the plan may write
   * to it until it is done. Undefined: too few shards are alive for this range.
   */
  planRead(
    address: number,
    length: number,
    epoch: Epoch,
    alive: readonly number[],
    into?: Uint8Array,
  ): Plan<ArrayContent> | undefined;
  /** `absent`: there is no value. Undefined: too few shards. */
  planValueRead(epoch: Epoch, alive: readonly number[]): Plan<ValueContent | "absent"> | undefined;

  /** The shards to ask for the extents of the array (for sizes, listings, queries); each of them. Undefined: too few. */
  extentShards(alive: readonly number[]): readonly number[] | undefined;
  /**
   * The local addresses at which a shard keeps array data; a query for the greatest extent asks in each. With `from`: of the
   * stripe of this array byte, and all after it. Whoever asks in several of the latest asks in this order: what a fold
   * moves meanwhile is then seen in the one or the other.
   */
  addressSpaces(shard: number, from?: number): readonly AddressSpace[];
  /**
   * Where a shard keeps what it knows of these array bytes. On a parity shard whatever changes one of them leaves something of
   * its epoch or a later one there; a fold, nothing that is newer than the newest of them in its stripe.
   */
  footprint(shard: number, address: number, length: number): readonly AddressSpace[];
  /** A shard's extents as extents of the array, ascending, joined where they touch; of several shards, join them again. */
  arrayExtents(shard: number, extents: readonly DataExtent[]): readonly DataExtent[];

  /** The stripes that may have something to fold, from the extents of the leader. */
  stripesToFold(shard: number, extents: readonly DataExtent[]): readonly number[];
  /**
   * Brings a stripe's redundancy up to what is shown at `epoch`: EPOCH_NONE for the latest, or a snapshot. Changes nothing
   * that any reader sees. Undefined: too few shards.
   */
  planFold(stripe: number, epoch: Epoch, alive: readonly number[]): Plan<Fold> | undefined;

  /**
   * What the shard `lost`, which is not among `alive`, has to hold so that it shows its part of the array bytes as of
   * `epoch`: rebuild asks for each snapshot, ascending, and then for the latest state by its epoch, and writes the parts
   * of each answer in their order. Undefined: too few shards.
   */
  planRebuild(
    lost: number,
    address: number,
    length: number,
    epoch: Epoch,
    alive: readonly number[],
  ): Plan<readonly EpochPart[]> | undefined;
  /** The same for the single value. */
  planValueRebuild(lost: number, epoch: Epoch, alive: readonly number[]): Plan<readonly EpochPart[]> | undefined;
}

export interface SchemeOptions {
  /** The container's `ec_cell_sz`; see src/base/erasure-cell.ts. */
  readonly cellBytes: number;
  /** Memory for computed bytes, such as parity; need not be zeroed. Ordinary memory when absent. */
  readonly allocate?: (length: number) => Uint8Array;
}

export interface RedundancyProvider {
  /** The classes' redundancy words this plugin serves, such as `none` or `RP_2`. */
  readonly serves: readonly string[];
  /** Throws UNSUPPORTED for other words, INVALID_ARGUMENT for a cell size that is none. */
  scheme(redundancy: string, options: SchemeOptions): RedundancyScheme;
}
