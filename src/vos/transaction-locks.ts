/**
 * The dkeys of a target that transactions hold, and decisions that are to be told, in memory: what the transaction cells
 * say in their newest versions, decided or not. Whoever reads, writes or lists looks here first; most of the time it is
 * empty.
 *
 * A lock whose part punches the object holds all dkeys of the object that are here, also those with another leader: those
 * are locked by the same transaction, and somewhat longer here than there.
 */
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_MAX, type Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { KIB } from "../base/limits.ts";
import type { ObjectId } from "../base/object-id.ts";
import {
  decodeTransactionDecision,
  decodeTransactionPart,
  type TransactionDecision,
  type TransactionPart,
} from "../format/transaction-part.ts";
import { type CellStore, type CellWrite, VersionKind } from "../store/cell.ts";
import { containerOf, dkeyPrefixOf, nameOfPrefix, OBJECT_PREFIX_BYTES, objectOfPrefix } from "./cell-key.ts";
import { MetaType } from "./cell-meta.ts";
import { isPartKey, isTransactionKey, transactionRange, withoutRegion } from "./transaction-cells.ts";

const NO_BYTES = new Uint8Array(0);
/** Of the record that ends a lock of which an earlier release has not kept how large that is. */
const LEAST_END_BYTES = 8 * KIB;

interface HeldPlace {
  readonly container: number;
  readonly oid: ObjectId;
  readonly dkey: ByteString;
  /** Of the dkey's cells, with container and object. */
  readonly prefix: string;
}

/** A dkey that a transaction holds. The same object for as long as it does. */
export interface DkeyLock extends HeldPlace {
  /** Nothing that was read before it is at this epoch or later. */
  readonly epoch: Epoch;
  readonly part: TransactionPart;
}

export interface HeldDecision extends HeldPlace {
  readonly decision: TransactionDecision;
}

export class TransactionLocks {
  readonly #store: CellStore;
  /** By prefix of the dkey. */
  readonly #locks = new Map<string, DkeyLock>();
  /** Those of them that hold an object, by prefix of the object. */
  readonly #objects = new Map<string, Set<DkeyLock>>();
  /** By key of the cell. */
  readonly #decisions = new Map<string, HeldDecision>();
  readonly #opened = new Set<number>();
  /** Of the records that end the locks. */
  #promisedBytes = 0;
  #hears: (() => void)[] = [];

  constructor(store: CellStore) {
    this.#store = store;
  }

  get locks(): Iterable<DkeyLock> {
    return this.#locks.values();
  }

  get decisions(): Iterable<HeldDecision> {
    return this.#decisions.values();
  }

  /** Locks and decisions. */
  get size(): number {
    return this.#locks.size + this.#decisions.size;
  }

  get isEmpty(): boolean {
    return this.#locks.size === 0;
  }

  of(dkeyPrefix: string): DkeyLock | undefined {
    return this.#locks.get(dkeyPrefix);
  }

  /** Locks that hold the object of this prefix, or of one beneath it. */
  ofObject(prefix: string): Iterable<DkeyLock> {
    return this.#objects.get(prefix.slice(0, OBJECT_PREFIX_BYTES)) ?? [];
  }

  /** Locks of dkeys of an object, and of the object. */
  *within(objectPrefix: string): Generator<DkeyLock, void, void> {
    for (const lock of this.#locks.values()) if (lock.prefix.startsWith(objectPrefix)) yield lock;
  }

  /** Objects of the container that are held. */
  heldObjects(container: number): ObjectId[] {
    return [...this.#objects.keys()].filter((prefix) => containerOf(prefix) === container).map(objectOfPrefix);
  }

  /** A lock beneath this prefix, of a container, an object or a dkey, that matters to a read at `epoch`; 0: the latest. */
  blocking(prefix: string, epoch: Epoch): DkeyLock | undefined {
    if (this.#locks.size === 0) return undefined;
    const own = this.#locks.get(prefix);
    if (own !== undefined && matters(own, epoch)) return own;
    if (prefix.length > OBJECT_PREFIX_BYTES) {
      for (const lock of this.ofObject(prefix)) if (matters(lock, epoch)) return lock;
      return undefined;
    }
    for (const lock of this.#locks.values()) if (lock.prefix.startsWith(prefix) && matters(lock, epoch)) return lock;
    return undefined;
  }

  /** Resolves when something has been locked or let go, or a decision made or forgotten. */
  changed(): Promise<void> {
    return new Promise((resolve) => void this.#hears.push(resolve));
  }

  /**
   * Throws UNAVAILABLE when a transaction holds the dkey of one of these cells. `isLed`: what another target has ordered,
   * and a fold, may be of an object that is held: the dkey's leader knows whether the dkey still is.
   */
  checkWrites(writes: readonly CellWrite[], isLed: boolean): void {
    if (this.#locks.size === 0) return;
    for (const { key } of writes) {
      if (key.length <= OBJECT_PREFIX_BYTES + 1 || isTransactionKey(key)) continue;
      const lock = this.#locks.get(dkeyPrefixOf(key));
      if (lock !== undefined && lock.part.punchesUnder === undefined) throw held();
      if (!isLed && this.#objects.has(key.slice(0, OBJECT_PREFIX_BYTES))) throw held();
    }
  }

  /** Throws UNAVAILABLE when a transaction holds a dkey of the object. */
  checkObject(objectPrefix: string): void {
    if (this.blocking(objectPrefix, 0 as Epoch) !== undefined) throw held();
  }

  /** Takes what the store has of a container, once. Throws CORRUPT, and again the next time. */
  open(container: number): void {
    if (this.#opened.has(container)) return;
    const { from, to } = transactionRange(container);
    const keys: ByteString[] = [];
    this.#store.scan(from, to, EPOCH_MAX, (key) => void keys.push(key));
    for (const key of keys) this.#refresh(key);
    this.#opened.add(container);
  }

  /** Nobody asks for the container any more. */
  removeContainer(container: number): void {
    for (const [prefix, lock] of this.#locks) if (lock.container === container) this.#drop(prefix);
    for (const [key, held] of this.#decisions) if (held.container === container) this.#decisions.delete(key);
    this.#tell();
  }

  /** The cells of these dkeys are gone. */
  removeDkeys(prefixes: readonly string[]): void {
    const gone = new Set(prefixes);
    for (const prefix of gone) this.#drop(prefix);
    for (const [key, held] of this.#decisions) if (gone.has(held.prefix)) this.#decisions.delete(key);
    this.#tell();
  }

  /** These cells are others now: records that wrote them were undone, or they were filled. */
  changedCells(keys: readonly ByteString[]): void {
    for (const key of keys) if (isTransactionKey(key)) this.#refresh(key);
  }

  setLock(prefix: string, epoch: Epoch, part: TransactionPart): void {
    this.#drop(prefix);
    const lock = { ...placeOf(prefix), epoch, part };
    this.#locks.set(prefix, lock);
    this.#promise(part.endBytes ?? LEAST_END_BYTES);
    if (part.punchesUnder !== undefined) {
      const object = prefix.slice(0, OBJECT_PREFIX_BYTES);
      const known = this.#objects.get(object);
      if (known === undefined) this.#objects.set(object, new Set([lock]));
      else known.add(lock);
    }
    this.#tell();
  }

  unlock(prefix: string): void {
    if (this.#drop(prefix)) this.#tell();
  }

  /** The store keeps room for what ends the locks. */
  #promise(moreBytes: number): void {
    this.#promisedBytes += moreBytes;
    this.#store.promise(this.#promisedBytes);
  }

  #drop(prefix: string): boolean {
    const lock = this.#locks.get(prefix);
    if (lock === undefined) return false;
    this.#locks.delete(prefix);
    this.#promise(-(lock.part.endBytes ?? LEAST_END_BYTES));
    const object = prefix.slice(0, OBJECT_PREFIX_BYTES);
    const others = this.#objects.get(object);
    if (others?.delete(lock) === true && others.size === 0) this.#objects.delete(object);
    return true;
  }

  setDecision(key: ByteString, decision: TransactionDecision): void {
    this.#decisions.set(key, { ...placeOf(dkeyPrefixOf(withoutRegion(key))), decision });
    this.#tell();
  }

  forget(key: ByteString): void {
    if (this.#decisions.delete(key)) this.#tell();
  }

  #tell(): void {
    const hears = this.#hears;
    this.#hears = [];
    for (const hear of hears) hear();
  }

  /** Takes what the store has of a cell. */
  #refresh(key: ByteString): void {
    const prefix = dkeyPrefixOf(withoutRegion(key));
    const version = this.#store.get(key, EPOCH_MAX);
    const isGone = version === undefined || version.kind === VersionKind.tombstone;
    if (isPartKey(key, prefix)) {
      if (isGone) this.unlock(prefix);
      else this.setLock(prefix, version.epoch, decodeTransactionPart(version.inline ?? NO_BYTES));
    } else if (isGone) this.forget(key);
    else if (version.metaType === MetaType.transactionDecision) {
      this.setDecision(key, decodeTransactionDecision(version.inline ?? NO_BYTES));
    }
  }
}

function placeOf(prefix: string): HeldPlace {
  const object = prefix.slice(0, OBJECT_PREFIX_BYTES);
  return { container: containerOf(prefix), oid: objectOfPrefix(prefix), dkey: nameOfPrefix(prefix, object), prefix };
}

function matters(lock: DkeyLock, epoch: Epoch): boolean {
  return epoch === 0 || lock.epoch <= epoch;
}

function held(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot write to the dkey: a transaction is committing there. Retry.");
}
