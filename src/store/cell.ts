/**
 * Cells: what the store keeps. A cell is a key with versions, newest first. The store knows three kinds of version and
 * nothing of objects; src/vos gives keys and `meta` their meaning.
 *
 * Keys are byte strings of up to MAX_CELL_KEY_BYTES; their first 4 bytes (big-endian) are the container number, which
 * selects the snapshots that keep versions alive.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";

export const VersionKind = {
  /** Complete: hides everything older in its cell. */
  value: 1,
  /** A part: older versions show through where it has nothing. */
  part: 2,
  /** Complete and empty. Dropped once it hides nothing. */
  tombstone: 3,
} as const;
export type VersionKind = (typeof VersionKind)[keyof typeof VersionKind];

/** Bytes on the NVMe tier. Immutable once written. */
export interface ExtentRef {
  /** Device offset, bytes, a multiple of BLOCK_BYTES. */
  readonly offset: number;
  /** Bytes stored; the allocation is rounded up to BLOCK_BYTES. */
  readonly length: number;
  /** CRC-32 of each BLOCK_BYTES chunk of the stored bytes, the last one of what is left. */
  readonly checksums: Uint32Array;
}

/** A new version of a cell. */
export interface CellWrite {
  readonly key: ByteString;
  readonly epoch: Epoch;
  readonly kind: VersionKind;
  /** Up to MAX_VERSION_META_BYTES for the layer above, given back on read. */
  readonly meta: Uint8Array;
  /** The bytes: in the record (SCM) or on the NVMe tier; both absent for none. */
  readonly inline?: Uint8Array;
  readonly extent?: ExtentRef;
}

/** A version as read. `meta` and `inline` are views, valid until the caller next awaits: copy what must be kept. */
export interface Version {
  readonly epoch: Epoch;
  readonly kind: VersionKind;
  /** First byte of `meta`, without the view; 0 when there is none. */
  readonly metaType: number;
  readonly meta: Uint8Array;
  readonly inline: Uint8Array | undefined;
  readonly extent: ExtentRef | undefined;
  /** Log sequence that wrote it while that may not be durable yet, else 0: see CellStore.whenDurable. */
  readonly sequence: number;
}

export const MAX_VERSION_META_BYTES = 255;

/**
 * Whether bytes that are in SCM may move to the NVMe tier when they are settled, as decided by who gives versions their
 * meaning: where in their first block they must begin there (0 to BLOCK_BYTES - 1); undefined when they must stay inline.
 */
export type DestageRule = (version: Pick<Version, "metaType" | "meta">) => number | undefined;

/**
 * Everything in [from, to) at or before `epoch` is hidden by a punch: reclaim its space in the background, except what a
 * snapshot older than `epoch` shows. Durable with the record that carries it.
 */
export interface ReclaimRange {
  readonly from: ByteString;
  readonly to: ByteString;
  readonly epoch: Epoch;
}

/** Space a container takes in each tier, bytes, and its versions. */
export interface CellUsage {
  readonly scmBytes: number;
  readonly nvmeBytes: number;
  readonly versions: number;
}

export interface StoreSpace {
  readonly scmTotalBytes: number;
  readonly scmUsedBytes: number;
  /** The log's part of the SCM. */
  readonly logTotalBytes: number;
  readonly logUsedBytes: number;
  readonly nvmeTotalBytes: number;
  readonly nvmeUsedBytes: number;
}

/**
 * One target's durable, versioned, ordered map and its extents. Single-threaded: all calls from the target's thread.
 *
 * Order of a write: `admit` (await it if it gives a promise), read and decide, `writeExtent` for what is large, then
 * `append`, then answer on `whenDurable`. What `append` wrote is visible to reads at once; whoever shows it to somebody
 * must wait for its sequence first.
 */
export interface CellStore {
  /**
   * Undefined when a record of about `recordBytes` can be appended now; else a promise for when it can. Throws or rejects
   * with NO_SPACE (SCM full), READ_ONLY (the medium failed), UNAVAILABLE (closing), OVERLOADED (queue full).
   * `punch`: the record frees space, so the reserve kept for punches is open to it.
   */
  admit(recordBytes: number, options?: { punch?: boolean }): undefined | Promise<void>;
  /**
   * Applies all writes as one atomic record and returns its sequence; durability follows. Call only in the same turn as
   * a successful `admit`. Epochs of one key never go back; an equal epoch replaces, but never a complete version by a part:
   * what it hid may be gone. An extent, or a slice of one, belongs to one version only.
   */
  append(writes: readonly CellWrite[], reclaims?: readonly ReclaimRange[]): number;
  /** Calls back when every record up to `sequence` is durable, or with the error that made the store read-only. */
  whenDurable(sequence: number, callback: (error?: Error) => void): void;
  /** Highest sequence known durable. */
  readonly durableSequence: number;

  /** The newest version of the cell at or before `epoch`, tombstones included. */
  get(key: ByteString, epoch: Epoch): Version | undefined;
  /** Visits versions of the cell at or before `epoch`, newest first, until one is complete or `visit` returns false. */
  versions(key: ByteString, epoch: Epoch, visit: (version: Version) => boolean | undefined): void;
  /**
   * Visits, in key order (or reverse), the cells in [from, to) that have a version at or before `epoch`, with the newest
   * such version, until `visit` returns false. No write may happen during the visit.
   */
  scan(
    from: ByteString,
    to: ByteString,
    epoch: Epoch,
    visit: (key: ByteString, version: Version) => boolean | undefined,
    options?: { reverse?: boolean },
  ): void;

  /**
   * Stores bytes on the NVMe tier, durable when resolved. `buffer` is the store's until then. Nothing refers to them until
   * an `append` names the result; else give it back with `abandonExtent`. Rejects with NO_SPACE or IO.
   */
  writeExtent(buffer: Uint8Array): Promise<ExtentRef>;
  /** Splits an extent at block boundaries: the part [offset, offset + length) as an extent of its own, no I/O. */
  sliceExtent(extent: ExtentRef, offset: number, length: number): ExtentRef;
  abandonExtent(extent: ExtentRef): void;
  /**
   * Reads bytes [offset, offset + length) of an extent into `into`, every chunk verified: CORRUPT on mismatch. Called in
   * the same turn as the read that found the extent; from then on the extent stays readable until the promise settles.
   * Undefined when the bytes were in memory: `into` has them.
   */
  readExtent(extent: ExtentRef, offset: number, length: number, into: Uint8Array): undefined | Promise<void>;
  /**
   * Bytes [offset, offset + length) of an extent, verified, if they are in memory and in one piece: a view, valid until the
   * caller next awaits. Called as `readExtent` is. Undefined: read them.
   */
  viewExtent(extent: ExtentRef, offset: number, length: number): Uint8Array | undefined;

  /** The epochs whose view of the container must be kept, ascending. Takes effect for all later aggregation. */
  setSnapshots(container: number, epochs: readonly Epoch[]): void;
  /** No epoch in the store is above this: a clock that is past it gives new ones only. */
  readonly highestEpoch: Epoch;
  /** Versions below this epoch that no snapshot needs may be gone: other reads below it are refused by the caller. */
  aggregatedTo(container: number): Epoch;
  /** Asks for a full aggregation pass of the container; resolves when done. */
  aggregate(container: number): Promise<void>;

  /** SCM is over its watermark: what can go to the NVMe tier should. */
  readonly isScmCrowded: boolean;
  usage(container: number): CellUsage;
  /** Bytes that moved from SCM to the NVMe tier when they were settled, since the store was opened. */
  readonly destagedBytes: number;
  space(): StoreSpace;
  /** Settles what is logged, then closes. Pending callbacks are called first. */
  close(): Promise<void>;
}
