/**
 * Cells: what the store keeps. A cell is a key with versions, newest first. The store knows three kinds of version and
 * nothing of objects; src/vos gives keys and `meta` their meaning.
 *
 * Keys are byte strings of up to MAX_CELL_KEY_BYTES; their first 4 bytes (big-endian) are the container number, which
 * selects the snapshots that keep versions alive.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Decision, DtxId } from "../base/dtx-id.ts";
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
  /** CRC-32 of the inline bytes, from where they were verified last: what is stored is held against it. */
  readonly checksum?: number | undefined;
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
  /** CRC-32 of the inline bytes as they were stored, 0 without: not verified now. Whoever uses them does, or passes it on. */
  readonly checksum: number;
  readonly extent: ExtentRef | undefined;
  /** What it rests on while it could still be undone, else 0: see CellStore.whenStable. */
  readonly sequence: number;
}

/** Bytes in memory. */
export interface VerifiedView {
  readonly bytes: Uint8Array;
  /** Their CRC-32, as follows from what is stored. */
  readonly checksum: number;
}

export const MAX_VERSION_META_BYTES = 255;

/**
 * Whether bytes that are in SCM may move to the NVMe tier when they are settled, as decided by who gives versions their
 * meaning: where in their first block they must begin there (0 to BLOCK_BYTES - 1); undefined when they must stay inline.
 */
export type DestageRule = (version: Pick<Version, "metaType" | "meta">) => number | undefined;

/**
 * Which cells are *gated*, by their keys: those of erasure-coded objects, as decided by who gives keys their meaning. See
 * CellStore.setGate. Pure and cheap: it is asked for each write that is settled.
 */
export type GateRule = (key: ByteString) => boolean;

export const NOTHING_GATED: GateRule = () => false;

/**
 * Everything in [from, to) at or before `epoch` is hidden by a punch: reclaim its space in the background, except what a
 * snapshot older than `epoch` shows. Durable with the record that carries it.
 */
export interface ReclaimRange {
  readonly from: ByteString;
  readonly to: ByteString;
  readonly epoch: Epoch;
}

/** Keys in [from, to). */
export interface KeyRange {
  readonly from: ByteString;
  readonly to: ByteString;
}

/** What a record is besides its changes. */
export interface AppendOptions {
  /** The request that the record comes from; remembered, so that the request is not run again when it is sent again. */
  readonly origin?: DtxId;
  /** All requests of that client below it are answered and acknowledged. */
  readonly firstIncomplete?: number;
  /** Counts only when it is decided so. Its id is its origin, which must be given. */
  readonly prepared?: boolean;
}

/** A prepared record that nobody has decided on. */
export interface UndecidedRecord {
  readonly id: DtxId;
  /** The newest one of its writes and reclaims. */
  readonly epoch: Epoch;
  /** As `append` returned it; another one after the store was opened again. */
  readonly sequence: number;
  /** Of its writes, in their order. */
  readonly keys: readonly ByteString[];
}

export type DtxState = "prepared" | "committed" | "aborted";

/** A request that was completed. */
export interface CompletedRequest {
  readonly epoch: Epoch;
  /** Its record: may be told of when this is stable; 0 when it is. */
  readonly sequence: number;
}

export interface RememberedRequest extends DtxId {
  readonly firstIncomplete: number;
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

/** Prepared records of a store. All calls from the target's thread. */
export interface Transactions {
  /**
   * Decides on a prepared record, in memory at once; callbacks run before it returns. An aborted record's versions are
   * gone then, its reclaims never happen, and its extents are freed once the decision is durable. True when the record
   * was undecided, or decided the same way before; false when nothing is known of it: nothing is remembered then. Throws
   * CONFLICT when it was decided the other way.
   *
   * Decisions are logged a moment later, many at a time. One that a crash loses makes its record undecided again.
   */
  decide(id: DtxId, decision: Decision): boolean;
  /**
   * Logs now what was decided and is not logged; returns the sequence with which every decision so far is durable. Throws
   * NO_SPACE (log full: it is tried again by itself) and READ_ONLY.
   */
  logDecisions(): number;
  /** Undefined for what was never there, or is forgotten. */
  stateOf(id: DtxId): DtxState | undefined;
  /**
   * Everybody who has to know the decision knows it, durably: its id is never asked for again. Until then the store
   * remembers it, and it counts as open. Does nothing for what is not known. Never for what is undecided.
   */
  forget(id: DtxId): void;
  /** The prepared records without a decision, oldest first. */
  undecided(): UndecidedRecord[];
  undecidedRecord(id: DtxId): UndecidedRecord | undefined;
  /** What is decided and not forgotten. */
  decided(): DtxId[];
  /** Has `listener` called, after the versions are gone, with the keys of each record that is aborted. */
  onAborted(listener: (keys: readonly ByteString[]) => void): void;
  /**
   * Has `listener` called when what was appended is about to be persisted, at the latest once the turn's I/O events are
   * handled and no more records come: the thread may block meanwhile, so what others are to do at the same time is sent now.
   */
  onPersist(listener: () => void): void;
}

export interface Requests {
  /**
   * Whether the request was completed here: a record with this origin was appended and not aborted. "old": it is below
   * what the client acknowledged, so that nothing is known of it and it must not be run again. `firstIncomplete`: what
   * the request says, the client's requests below it are answered and acknowledged.
   */
  completed(request: DtxId, firstIncomplete?: number): CompletedRequest | "old" | undefined;
  /**
   * No request that was completed here and is forgotten has a later epoch: one that is not known and got its number
   * before this epoch must not be run.
   */
  readonly forgottenTo: Epoch;
  /** Requests were completed elsewhere, up to this epoch, that are forgotten there. Whoever calls remembers it durably. */
  forget(upTo: Epoch): void;
  /** All that are remembered and can no longer be undone, in no order. */
  remembered(): Generator<RememberedRequest, void, void>;
}

export interface AdmitOptions {
  /** The record frees space, so the reserve kept for punches is open to it. */
  readonly punch?: boolean;
  /** Bytes of a later record that is promised with this one: it is not admitted without room for both. */
  readonly promiseBytes?: number;
  /** The record was promised: what is kept for such ones is open to it. */
  readonly isPromised?: boolean;
}

/**
 * One target's durable, versioned, ordered map and its extents. Single-threaded: all calls from the target's thread.
 *
 * Order of a write: `admit` (await it if it gives a promise), read and decide, `writeExtent` for what is large, then
 * `append`, then answer on `whenStable`. What `append` wrote is visible to reads at once; whoever shows it to somebody
 * must wait for its sequence first.
 *
 * A *prepared* record is visible at once too, and in order, but may still be undone: `transactions.decide` says whether
 * it counts. Three rules are the caller's:
 *
 * - Of prepared records that write the same cell the older one is committed first, and the newer one aborted first.
 * - Only prepared records write a cell in which an undecided version lies; reclaims may cover it.
 * - What was prepared after reading an undecided version is not committed before that version is.
 */
export interface CellStore {
  /**
   * Undefined when a record of about `recordBytes` can be appended now; else a promise for when it can. Throws or rejects
   * with NO_SPACE (SCM full), READ_ONLY (the medium failed), UNAVAILABLE (closing), OVERLOADED (queue full).
   */
  admit(recordBytes: number, options?: AdmitOptions): undefined | Promise<void>;
  /**
   * Keeps room in the log for records of so many bytes together that are to come, whatever else comes: AdmitOptions. A
   * total, which the caller gives anew when it opens the store.
   */
  promise(totalBytes: number): void;
  /**
   * Applies all writes as one atomic record and returns its sequence, for `whenDurable` and `whenStable`; durability
   * follows. Call only in the same turn as a successful `admit`. Epochs of one key never go back; an equal epoch replaces,
   * but never a complete version by a part: what it hid may be gone. An extent, or a slice of one, belongs to one version
   * only. Throws, and has changed nothing: DAMAGED (inline bytes that fail their checksum), TOO_LARGE, NO_SPACE (log full), READ_ONLY, UNAVAILABLE (closing), and for a
   * prepared record OVERLOADED (too many are open) and INVALID_ARGUMENT (no id, or one that is not forgotten).
   */
  append(writes: readonly CellWrite[], reclaims?: readonly ReclaimRange[], options?: AppendOptions): number;
  /**
   * Calls back when every record up to `sequence` is durable, or with the error that made the store read-only. What it
   * tells of a prepared record is that it will be there after a crash, undecided.
   */
  whenDurable(sequence: number, callback: (error?: Error) => void): void;
  /**
   * Calls back when nothing that `sequence` names can be undone any more: it is durable, and the prepared records that it
   * names are committed. `sequence`: of a version, of `append`, or what `joinSequences` (stability.ts) made of several.
   * Errors: CONFLICT when such a record was aborted (run the operation again, from the start), as whenDurable, and
   * UNAVAILABLE when the store closes before. For records that are not prepared it is whenDurable.
   */
  whenStable(sequence: number, callback: (error?: Error) => void): void;
  /** The sequence, or 0 when it is stable. */
  pending(sequence: number): number;
  /** Highest sequence known durable. */
  readonly durableSequence: number;

  /** Prepared records and what becomes of them. */
  readonly transactions: Transactions;
  /** Requests that were completed, by their records' origins. */
  readonly requests: Requests;

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
   * an `append` names the result; else give it back with `abandonExtent`. `checksum`: CRC-32 of the bytes, from where they
   * were verified last. Rejects with NO_SPACE, IO, or DAMAGED when the bytes fail it.
   */
  writeExtent(buffer: Uint8Array, checksum?: number): Promise<ExtentRef>;
  /** Splits an extent at block boundaries: the part [offset, offset + length) as an extent of its own, no I/O. */
  sliceExtent(extent: ExtentRef, offset: number, length: number): ExtentRef;
  abandonExtent(extent: ExtentRef): void;
  /**
   * Reads bytes [offset, offset + length) of an extent into `into`, every chunk verified: CORRUPT on mismatch. Called in
   * the same turn as the read that found the extent; from then on the extent stays readable until the promise settles.
   * Gives the CRC-32 of the bytes, as follows from those of the chunks: `into` can be held against it. Without a promise
   * when the bytes were in memory.
   */
  readExtent(extent: ExtentRef, offset: number, length: number, into: Uint8Array): number | Promise<number>;
  /**
   * Bytes [offset, offset + length) of an extent, verified, if they are in memory and in one piece: a view, valid until the
   * caller next awaits. Called as `readExtent` is. Undefined: read them.
   */
  viewExtent(extent: ExtentRef, offset: number, length: number): VerifiedView | undefined;
  /** What is kept of rows in memory is not believed any more: inline bytes were found to be damaged. */
  dropCache(): void;

  /** The epochs whose view of the container must be kept, ascending. Takes effect for all later aggregation. */
  setSnapshots(container: number, epochs: readonly Epoch[]): void;
  /** No epoch in the store is above this: a clock that is past it gives new ones only. */
  readonly highestEpoch: Epoch;
  /**
   * Versions below this epoch that no snapshot needs may be gone: other reads below it are refused by the caller. Of gated
   * cells it says nothing: see `gate`.
   */
  aggregatedTo(container: number): Epoch;
  /**
   * Raises the container's epoch gate; ignored when it is not higher. Of gated cells everything newer than the gate is
   * kept, and what is visible at it, as if it were one more snapshot: whatever is overwritten, punched or aggregated. What
   * the gate kept and nothing needs once it has passed goes in the background. Not durable by itself: after a crash the
   * gate may be lower again, but never than one that something was dropped by.
   */
  setGate(container: number, epoch: Epoch): void;
  /**
   * The container's gate, 0 at first: gated cells can be read at it and at every epoch above, whatever `aggregatedTo` says.
   * Below it they show what snapshots need.
   */
  gate(container: number): Epoch;
  /** Asks for a full aggregation pass of the container; resolves when done. */
  aggregate(container: number): Promise<void>;

  /**
   * Removes all versions of all cells in the ranges (ascending, apart), whatever snapshots, gates and readers at past epochs
   * need, with the reclaims that lie within one of them: older versions that are written there afterwards stay. Until it
   * resolves nothing may be read or written there, and nothing of it may be undecided. A crash in the middle leaves some of
   * it. Rejects with NO_SPACE, UNAVAILABLE (closing), READ_ONLY.
   */
  purge(ranges: readonly KeyRange[]): Promise<void>;

  /** SCM is over its watermark: what can go to the NVMe tier should. */
  readonly isScmCrowded: boolean;
  usage(container: number): CellUsage;
  /** Bytes that moved from SCM to the NVMe tier when they were settled, since the store was opened. */
  readonly destagedBytes: number;
  space(): StoreSpace;
  /** Settles what is logged, except what is undecided: that stays in the log. Pending callbacks are called first. */
  close(): Promise<void>;
}
