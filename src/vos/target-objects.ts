/**
 * What all operations on one target's objects share: the store, the clock, the open containers, the objects' states, and
 * the rules of visibility. A version is visible at epoch e when it is not newer than e and no punch of its object, dkey or
 * akey at or before e is newer than it. The *floor* of a dkey is the newest such punch of object or dkey: what is at or
 * below it is hidden.
 */
import type { MemoryContent } from "../contracts/block-device.ts";
import type { Timers } from "../contracts/world.ts";
import type { Epoch, HybridLogicalClock } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { INLINE_VALUE_BYTES, MAX_AKEY_BYTES, MAX_DKEY_BYTES, MIN_DATA_THRESHOLD_BYTES } from "../base/limits.ts";
import { OBJECT_ID_BYTES, type ObjectId } from "../base/object-id.ts";
import { type CellStore, type CellWrite, type ReclaimRange, type Version, VersionKind } from "../store/cell.ts";
import { joinSequences } from "../store/stability.ts";
import { ownCellKey } from "./cell-key.ts";
import { ObjectCellFlag } from "./cell-meta.ts";
import { type ObjectState, ObjectStates } from "./object-state.ts";
import { Containers } from "./snapshots.ts";
import { TransactionLocks } from "./transaction-locks.ts";
import type { WriteOrder } from "./write-order.ts";

/** Limits of single steps; smaller ones than the defaults serve tests. */
export interface StepLimits {
  /** Cells that a walk looks at before it gives up its turn. */
  readonly stepCells: number;
  /** Parts of one window that a read or write meets before it asks for their merge. */
  readonly windowParts: number;
  /** Akeys that a punch of their dkey or object punches one by one; more are punched as a whole. */
  readonly singlyPunchedAkeys: number;
}

const DEFAULT_LIMITS: StepLimits = { stepCells: 2000, windowParts: 16, singlyPunchedAkeys: 16 };

export interface TargetObjectsOptions {
  readonly store: CellStore;
  readonly clock: HybridLogicalClock;
  readonly timers: Pick<Timers, "soon">;
  /** As BlockDevice.allocate: for what is read from and written to the NVMe tier; aligned memory saves copies. */
  readonly allocate?: (sizeBytes: number, content?: MemoryContent) => Uint8Array;
  /** Takes back what `allocate` gave and the caller of an operation does not get. */
  readonly release?: (buffer: Uint8Array) => void;
  readonly maxObjectStates?: number;
  readonly limits?: Partial<StepLimits>;
}

/** Collects what a decision rests on, as CellStore.whenStable takes it. */
export class Seen {
  sequence = 0;
  /** Newest epoch of what was looked at, where that is kept account of. */
  epoch = 0;

  /** A version of a cell. */
  see(version: Pick<Version, "sequence" | "epoch">): void {
    this.add(version.sequence);
    if (version.epoch > this.epoch) this.epoch = version.epoch;
  }

  add(sequence: number): void {
    if (sequence !== 0) this.sequence = joinSequences(this.sequence, sequence);
  }
}

export class TargetObjects {
  readonly store: CellStore;
  readonly clock: HybridLogicalClock;
  readonly containers: Containers;
  readonly states: ObjectStates;
  /** Dkeys that transactions hold. */
  readonly locks: TransactionLocks;
  readonly allocate: (sizeBytes: number, content?: MemoryContent) => Uint8Array;
  readonly release: (buffer: Uint8Array) => void;
  readonly limits: StepLimits;
  readonly #timers: Pick<Timers, "soon">;
  /** By container; the others have INLINE_VALUE_BYTES. */
  readonly #thresholds = new Map<number, number>();

  constructor(options: TargetObjectsOptions) {
    this.store = options.store;
    this.clock = options.clock;
    this.#timers = options.timers;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.allocate = options.allocate ?? ((sizeBytes) => new Uint8Array(sizeBytes));
    this.clock.restore(options.store.highestEpoch);
    this.release = options.release ?? (() => undefined);
    this.containers = new Containers(options.store, options.clock);
    this.states = new ObjectStates(options.store, options.maxObjectStates);
    this.locks = new TransactionLocks(options.store);
    options.store.transactions.onAborted((keys) => {
      this.states.forget();
      this.locks.changedCells(keys);
    });
  }

  /** Up to which size values of the container are to live in SCM, bytes. */
  threshold(container: number): number {
    return this.#thresholds.get(container) ?? INLINE_VALUE_BYTES;
  }

  setThreshold(container: number, thresholdBytes: number): void {
    if (thresholdBytes === INLINE_VALUE_BYTES) this.#thresholds.delete(container);
    else this.#thresholds.set(container, thresholdBytes);
  }

  /** Up to which size a value that is written now goes to SCM: less than the threshold when SCM is nearly full. */
  inlineBytes(container: number): number {
    return this.store.isScmCrowded ? MIN_DATA_THRESHOLD_BYTES : this.threshold(container);
  }

  /** Lets other work run: resolves after the I/O events of this turn. */
  pause(): Promise<void> {
    return new Promise((resolve) => this.#timers.soon(resolve));
  }

  /** The state of an object in an open container. Throws NOT_FOUND, INVALID_ARGUMENT. */
  object(container: number, oid: ObjectId): ObjectState {
    if (oid.length !== OBJECT_ID_BYTES) {
      throw new DaosError(
        "INVALID_ARGUMENT",
        `Cannot use an object id of ${oid.length} bytes: it has ${OBJECT_ID_BYTES}.`,
      );
    }
    return this.states.get(this.containers.get(container), oid);
  }

  /** The floor of a dkey at `epoch`; 0 when neither it nor its object was punched. */
  floor(state: ObjectState, dkey: string, epoch: Epoch, seen: Seen): number {
    if (state.epoch === 0) return 0;
    if (state.sequence !== 0) seen.add(this.pending(state.sequence));
    const objectPunch = this.states.punchEpochAt(state, epoch);
    if ((state.flags & ObjectCellFlag.dkeyPunches) === 0) return objectPunch;
    const version = this.store.get(ownCellKey(dkey), epoch);
    if (version === undefined) return objectPunch;
    seen.add(version.sequence);
    if (version.kind === VersionKind.tombstone) return objectPunch;
    return Math.max(objectPunch, version.epoch);
  }

  /** The sequence if it may not be stable yet, else 0. */
  pending(sequence: number): number {
    return sequence > this.store.durableSequence ? this.store.pending(sequence) : 0;
  }

  /**
   * The epoch of a write that is appended in this turn. Where a transaction holds the dkey since before the epoch was chosen,
   * nobody has read at it. Throws UNAVAILABLE when what its leader gave has been read at.
   */
  writeEpoch(order: WriteOrder | undefined, holdsLock = false): Epoch {
    if (order?.epoch === undefined) {
      order?.mayAppend?.();
      return this.containers.writeEpoch();
    }
    if (order.gather !== undefined) return order.epoch;
    const { last } = this.containers.reads;
    if (order.epoch <= last && !holdsLock) throw readBefore(order.epoch, last);
    this.containers.noteWrite(order.epoch);
    return order.epoch;
  }

  /**
   * As CellStore.append, in its place among the writes of its group. `right`: of a transaction's writes to what it holds;
   * of a fold, which changes nothing that anybody sees.
   */
  append(
    writes: readonly CellWrite[],
    reclaims: readonly ReclaimRange[] | undefined,
    epoch: Epoch,
    order: WriteOrder | undefined,
    right?: "holder" | "fold",
  ): number {
    if (order?.gather !== undefined) {
      order.gather(writes, reclaims ?? []);
      return 0;
    }
    // Also of what a leader has ordered: a target that has refused to resolve what it has locked must not go on.
    if (right !== "holder") this.locks.checkWrites(writes, right === "fold" || order?.epoch !== undefined);
    if (order === undefined) return this.store.append(writes, reclaims);
    const { origin, isPrepared: prepared } = order;
    const { firstIncomplete } = origin;
    const sequence = this.store.append(writes, reclaims, { origin, firstIncomplete, prepared });
    order.appended?.(epoch, sequence);
    return sequence;
  }

  /** As `admit`, once all is appended that the leader ordered before. */
  admitInTurn(recordBytes: number, order: WriteOrder | undefined, punch = false): undefined | Promise<void> {
    const turn = order?.turn;
    if (turn === undefined) return this.admit(recordBytes, punch, order);
    return turn.then(() => this.admit(recordBytes, punch, order));
  }

  /** Of a record that locks a dkey: with room for that which will end it. */
  admitLock(recordBytes: number, promiseBytes: number, order: WriteOrder | undefined): undefined | Promise<void> {
    const turn = order?.turn;
    if (turn === undefined) return this.store.admit(recordBytes, { promiseBytes });
    return turn.then(() => this.store.admit(recordBytes, { promiseBytes }));
  }

  /** Of a record that ends what was locked. */
  admitEnd(recordBytes: number): undefined | Promise<void> {
    return this.store.admit(recordBytes, PROMISED);
  }

  /**
   * As CellStore.admit: once it returned undefined, or its promise resolved, append within the turn. What is gathered is
   * admitted with all else of its record, and has been promised room: it must not wait for that of others.
   */
  admit(recordBytes: number, punch: boolean, order?: WriteOrder): undefined | Promise<void> {
    if (order?.gather !== undefined) return undefined;
    return this.store.admit(recordBytes, punch ? PUNCH : undefined);
  }
}

const PUNCH = { punch: true };
const PROMISED = { isPromised: true };

/** Throws TOO_LARGE when a key is over its limit. */
export function checkKeys(dkey: string, akey: string): void {
  if (dkey.length > MAX_DKEY_BYTES) throw keyTooLong("dkey", dkey.length, MAX_DKEY_BYTES);
  if (akey.length > MAX_AKEY_BYTES) throw keyTooLong("akey", akey.length, MAX_AKEY_BYTES);
}

function keyTooLong(what: string, length: number, limit: number): DaosError {
  return new DaosError(
    "TOO_LARGE",
    `Cannot use a ${what} of ${length} bytes: ${limit} are allowed. Use a shorter key.`,
  );
}

/** True when the version holds something that a floor does not hide. */
export function isLive(version: Version | undefined, floor: number): version is Version {
  return version !== undefined && version.kind !== VersionKind.tombstone && version.epoch > floor;
}

function readBefore(epoch: Epoch, readAt: number): DaosError {
  return new DaosError(
    "UNAVAILABLE",
    `Cannot write at epoch ${epoch}: somebody has read at ${readAt}. Retry with a newer epoch.`,
  );
}
