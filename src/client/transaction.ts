/**
 * Transactions: reads of one moment, and writes to any number of dkeys of a container that all happen at another one, or
 * not at all (docs/transactions.md). Optimistic: nothing is locked until `commit`, which fails with CONFLICT when something
 * that was read has changed meanwhile. runTransaction does it again then.
 */
import type { DkeyPlace } from "../base/key-place.ts";
import { notBytes } from "../base/bytes-argument.ts";
import { bytesOf, type ByteString } from "../base/bytes.ts";
import { type Epoch, EPOCH_NONE } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { akeyOf, dkeyOf, type Key } from "../base/key.ts";
import { MAX_ARRAY_IO_BYTES, MAX_SINGLE_VALUE_BYTES, MAX_TRANSACTION_DKEYS } from "../base/limits.ts";
import { objectClassOf, type ObjectId } from "../base/object-id.ts";
import type { Condition, FetchedValue } from "../contracts/interface.ts";
import { Opcode } from "../format/operations.ts";
import type { PartWrite } from "../format/transaction-part.ts";
import type { ContainerSession } from "./container-session.ts";
import { checkHolds } from "./held-class.ts";
import { keyPages } from "./key-pages.ts";
import { momentOf } from "./moment.ts";
import { ObjectOperations, transferTooLarge, valueTooLarge } from "./object-operations.ts";
import { punchParts } from "./object-punch.ts";
import { rangeRefusal, type RecordRange } from "./record-range.ts";
import { canceled } from "./retry.ts";
import { type AkeyChange, covers, DkeyChanges, overlay } from "./transaction-changes.ts";
import { type CommitPart, TransactionCommit } from "./transaction-commit.ts";

export interface TransactionOptions {
  readonly signal?: AbortSignal | undefined;
}

interface TouchedDkey extends DkeyPlace {
  readonly changes: DkeyChanges;
}

export class Transaction {
  readonly #session: ContainerSession;
  readonly #signal: AbortSignal | undefined;
  readonly #settling: (settled: Promise<void>) => void;
  readonly #dkeys = new Map<string, TouchedDkey>();
  /** Objects that it punches. */
  readonly #punched = new Set<ObjectId>();
  #snapshot: Promise<Epoch> | undefined;
  #seen: Epoch | undefined;
  #isOver = false;

  /** `settling` hears of what goes on after a commit was acknowledged. */
  constructor(session: ContainerSession, settling: (settled: Promise<void>) => void, options: TransactionOptions = {}) {
    this.#session = session;
    this.#settling = settling;
    this.#signal = options.signal;
  }

  /** The moment that it sees; undefined until it has read something. */
  get snapshot(): Epoch | undefined {
    return this.#seen;
  }

  /**
   * The object of this id in the transaction. Throws INVALID_ARGUMENT for an id without object class, or of a class that the
   * pool cannot hold.
   */
  object(id: ObjectId): TransactionObject {
    checkHolds(this.#session, objectClassOf(id));
    return new TransactionObject(id, {
      of: (dkey) => this.#touched(id, dkey),
      at: (dkey) => this.#operationsAt(id, dkey),
      punch: () => this.#punch(id),
      signal: this.#signal,
    });
  }

  #punch(oid: ObjectId): void {
    if (this.#isOver) throw over();
    this.#punched.add(oid);
    for (const touched of this.#dkeys.values()) if (touched.oid === oid) touched.changes.punchDkey();
  }

  #touched(oid: ObjectId, dkey: ByteString): DkeyChanges {
    if (this.#isOver) throw over();
    const name = oid + dkey;
    const known = this.#dkeys.get(name);
    if (known !== undefined) return known.changes;
    if (this.#dkeys.size >= MAX_TRANSACTION_DKEYS) throw tooManyDkeys();
    const changes = new DkeyChanges();
    if (this.#punched.has(oid)) changes.punchDkey();
    this.#dkeys.set(name, { oid, dkey, changes });
    return changes;
  }

  /** Reads of the one moment that the transaction sees: when it read first. */
  async #operationsAt(oid: ObjectId, dkey: ByteString): Promise<ObjectOperations> {
    this.#snapshot ??= momentOf(this.#session, { oid, dkey }, this.#signal);
    this.#seen = await this.#snapshot;
    return new ObjectOperations(this.#session, this.#seen);
  }

  /**
   * Everything that was written happens, at the epoch that is returned; EPOCH_NONE when there is nothing to write. Durable
   * when resolved. CONFLICT: nothing happened, for something that was read has changed or others are committing there;
   * run the transaction again from the start. UNAVAILABLE, TIMEOUT, CANCELED: it may have happened.
   */
  async commit(): Promise<Epoch> {
    if (this.#isOver) throw over();
    if (this.#session.readOnly) throw readOnly();
    if (this.#signal?.aborted === true) throw canceled();
    const writes = ({ oid, changes }: TouchedDkey): boolean => changes.hasWrites && !this.#punched.has(oid);
    const touched = [...this.#dkeys.values()].filter((dkey) => writes(dkey) || dkey.changes.hasReads);
    if (this.#punched.size === 0 && !touched.some(writes)) {
      this.#isOver = true;
      return EPOCH_NONE;
    }
    const parts: CommitPart[] = [];
    for (const { oid, dkey, changes } of touched) {
      const { reads } = changes;
      if (this.#punched.has(oid)) parts.push({ oid, dkey, reads, writes: [] });
      else parts.push({ oid, dkey, reads, writes: await this.#writesOf(oid, dkey, changes) });
    }
    for (const oid of this.#punched) {
      const taken = new Set(parts.filter((part) => part.oid === oid).map(({ dkey }) => dkey));
      parts.push(...punchParts(this.#session.placement, oid, taken));
    }
    this.#isOver = true;
    const commit = new TransactionCommit(this.#session, this.#seen ?? EPOCH_NONE, parts, this.#signal);
    try {
      return await commit.run();
    } finally {
      this.#settling(commit.settled);
    }
  }

  #writesOf(oid: ObjectId, dkey: ByteString, changes: DkeyChanges): Promise<PartWrite[]> {
    const object = this.object(oid);
    return changes.writes((akey, range) => object.readArray(bytesOf(dkey), bytesOf(akey), range));
  }

  /** Ends it; nothing happened. */
  abort(): void {
    this.#isOver = true;
    this.#dkeys.clear();
  }
}

interface TransactionAccess {
  /** Throws INVALID_ARGUMENT when the transaction has ended. */
  readonly of: (dkey: ByteString) => DkeyChanges;
  readonly at: (dkey: ByteString) => Promise<ObjectOperations>;
  /** Throws as `of`. */
  readonly punch: () => void;
  readonly signal: AbortSignal | undefined;
}

export interface TransactionWriteOptions {
  /** About the akey. Fails with ALREADY_EXISTS or DOES_NOT_EXIST at once, as of the moment that the transaction sees. */
  readonly condition?: Condition | undefined;
}

/** One object in a transaction: what is read is of one moment, with the transaction's own writes over it. */
export class TransactionObject {
  readonly id: ObjectId;
  readonly #access: TransactionAccess;

  constructor(id: ObjectId, access: TransactionAccess) {
    this.id = id;
    this.#access = access;
  }

  /** The single value and the epoch that wrote it, EPOCH_NONE for the transaction itself; undefined when there is none. */
  async fetch(dkey: Key, akey: Key): Promise<FetchedValue | undefined> {
    const [at, name] = [dkeyOf(dkey), akeyOf(akey)];
    const changes = this.#access.of(at);
    const own = changes.of(name);
    if (own?.kind === "value") return { value: new Uint8Array(own.value), epoch: EPOCH_NONE };
    if (own?.kind === "punched") return undefined;
    if (own !== undefined) throw holdsArray();
    const operations = await this.#access.at(at);
    const found = await operations.fetchValue(this.id, at, name, { signal: this.#access.signal });
    changes.noteValue(name, found?.epoch ?? EPOCH_NONE);
    return found;
  }

  /** `condition`: ifAbsent and ifExists are about a single value. */
  async update(dkey: Key, akey: Key, value: Uint8Array, options: TransactionWriteOptions = {}): Promise<void> {
    if (!(value instanceof Uint8Array)) throw notBytes("update the value", value);
    if (value.length > MAX_SINGLE_VALUE_BYTES) throw valueTooLarge(value.length);
    await this.#check(dkey, akey, options.condition);
    this.#access.of(dkeyOf(dkey)).update(akeyOf(akey), value);
  }

  async punchAkey(dkey: Key, akey: Key, options: TransactionWriteOptions = {}): Promise<void> {
    await this.#check(dkey, akey, options.condition);
    this.#access.of(dkeyOf(dkey)).punchAkey(akeyOf(akey));
  }

  /** Removes everything of the object, also what others write until the transaction is committed. */
  async punch(): Promise<void> {
    this.#access.punch();
  }

  async punchDkey(dkey: Key): Promise<void> {
    this.#access.of(dkeyOf(dkey)).punchDkey();
  }

  /** Records from `recordIndex` on; zeros where there are none. At most MAX_ARRAY_IO_BYTES, more is TOO_LARGE. */
  async readArray(dkey: Key, akey: Key, range: RecordRange): Promise<Uint8Array> {
    const [at, name] = [dkeyOf(dkey), akeyOf(akey)];
    const refusal = rangeRefusal(range);
    if (refusal !== undefined) throw refusal;
    if (range.recordCount * range.recordBytes > MAX_ARRAY_IO_BYTES) throw transferTooLarge("read");
    const changes = this.#access.of(at);
    const own = changes.of(name);
    const empty = new Uint8Array(range.recordCount * range.recordBytes);
    if (own?.kind === "value") throw holdsValue();
    if (own?.kind === "punched") return empty;
    if (own !== undefined && own.recordBytes !== range.recordBytes) throw holdsOtherRecords(own);
    if (own !== undefined && covers(own, range)) {
      overlay(empty, range, own);
      return empty;
    }
    const operations = await this.#access.at(at);
    const bytes = await operations.readRecords(this.id, at, name, range, { signal: this.#access.signal });
    changes.noteRecords(name, range);
    const seen = bytes === undefined ? empty : new Uint8Array(bytes);
    if (own !== undefined) overlay(seen, range, own);
    return seen;
  }

  /** Writes whole records from `recordIndex` on. What is written of one array must lie within MAX_ARRAY_IO_BYTES. */
  async writeArray(dkey: Key, akey: Key, at: Omit<RecordRange, "recordCount">, bytes: Uint8Array): Promise<void> {
    if (!(bytes instanceof Uint8Array)) throw notBytes("write the records", bytes);
    const range = { ...at, recordCount: bytes.length / at.recordBytes };
    const refusal = rangeRefusal(range);
    if (refusal !== undefined) throw refusal;
    this.#access.of(dkeyOf(dkey)).write(akeyOf(akey), range, bytes);
  }

  /** Records that lie between others that the transaction writes read as zeros then, and may be listed as written. */
  async punchArray(dkey: Key, akey: Key, range: RecordRange): Promise<void> {
    const refusal = rangeRefusal(range);
    if (refusal !== undefined) throw refusal;
    this.#access.of(dkeyOf(dkey)).write(akeyOf(akey), range, undefined);
  }

  /** All akeys of a dkey, in byte order. */
  async listAkeys(dkey: Key): Promise<Uint8Array[]> {
    const at = dkeyOf(dkey);
    const changes = this.#access.of(at);
    const { isPunched, akeys } = changes.listed();
    const found = new Set<ByteString>();
    if (!isPunched) {
      const operations = await this.#access.at(at);
      const subject = { opcode: Opcode.akeyList, oid: this.id, dkey: at };
      const { signal } = this.#access;
      for await (const page of keyPages(operations, subject, { signal })) for (const akey of page) found.add(akey);
      changes.noteAkeys();
    }
    for (const [akey, isThere] of akeys) {
      if (isThere) found.add(akey);
      else found.delete(akey);
    }
    return [...found].toSorted().map(bytesOf);
  }

  async #check(dkey: Key, akey: Key, condition: Condition | undefined): Promise<void> {
    if (condition === undefined || condition === "always") return;
    const isThere = (await this.fetch(dkey, akey)) !== undefined;
    if (condition === "ifAbsent" && isThere) throw alreadyThere();
    if (condition === "ifExists" && !isThere) throw notThere();
  }
}

function over(): DaosError {
  return new DaosError("INVALID_ARGUMENT", "Cannot use the transaction: it has ended. Begin another one.");
}

function readOnly(): DaosError {
  const state = "the container was opened read-only";
  return new DaosError("PERMISSION", `Cannot commit the transaction: ${state}. Open it for writing.`);
}

function tooManyDkeys(): DaosError {
  const state = `it has ${MAX_TRANSACTION_DKEYS} dkeys`;
  return new DaosError("TOO_LARGE", `Cannot go on with the transaction: ${state}. Use several.`);
}

function holdsArray(): DaosError {
  return new DaosError("INVALID_ARGUMENT", "Cannot fetch a value: the akey holds an array. Read it as an array.");
}

function holdsValue(): DaosError {
  return new DaosError("INVALID_ARGUMENT", "Cannot read an array: the akey holds a single value. Fetch it.");
}

function holdsOtherRecords({ recordBytes }: AkeyChange & { kind: "records" }): DaosError {
  const state = `the array has records of ${recordBytes} bytes`;
  return new DaosError("INVALID_ARGUMENT", `Cannot read the array: ${state}. Use those.`);
}

function alreadyThere(): DaosError {
  return new DaosError("ALREADY_EXISTS", "Cannot write: the akey exists already. Drop the condition to overwrite it.");
}

function notThere(): DaosError {
  return new DaosError("DOES_NOT_EXIST", "Cannot go on: the akey does not exist. Drop the condition to go on.");
}
