/**
 * An open container, and views of it at a moment in the past. Objects are reached by id; a container of type `kv` also
 * through `kv()`. Everything here uses connections that the System shares and opens as they are needed.
 */
import { bytesOf } from "../base/bytes.ts";
import { type Epoch, EPOCH_NONE, epochFrom } from "../base/epoch.ts";
import { checkStripe, stripeBytesOf, wholeStripes } from "../base/erasure-cell.ts";
import { DaosError } from "../base/errors.ts";
import { DEFAULT_CHUNK_BYTES, DEFAULT_ERASURE_CELL_BYTES } from "../base/limits.ts";
import { type ObjectClass, objectClassByName } from "../base/object-class.ts";
import { type ObjectId, objectClassOf, objectId, objectIdFromBytes, type ObjectType } from "../base/object-id.ts";
import type { InterfaceProvider } from "../contracts/interface.ts";
import type { KeyValue } from "../contracts/key-value.ts";
import { type ContainerDescription, Opcode, type SnapshotDescription } from "../format/operations.ts";
import type { Placement } from "../placement/placement.ts";
import { ArrayHandle, type SignalOptions } from "./array-handle.ts";
import { type Change, containerChanges } from "./container-changes.ts";
import type { ContainerSession } from "./container-session.ts";
import { checkHolds } from "./held-class.ts";
import { keyPages } from "./key-pages.ts";
import { ObjectHandle } from "./object-handle.ts";
import { ObjectOperations } from "./object-operations.ts";
import type { SystemCalls } from "./system-calls.ts";
import type { Transaction, TransactionOptions } from "./transaction.ts";
import { type RunTransactionOptions, Transactions } from "./transactions.ts";

/** A snapshot's name, or an epoch. */
export type Moment = string | Epoch;

export interface ArrayOptions {
  /** Bytes of a record; 1. An array that has others is refused with INVALID_ARGUMENT; so with chunkBytes. */
  readonly recordBytes?: number;
  /** Bytes of a chunk of an array that is new; the container's property `chunk_size`. */
  readonly chunkBytes?: number;
}

export interface ContainerParts {
  readonly session: ContainerSession;
  readonly calls: SystemCalls;
  readonly interfaces: readonly InterfaceProvider[];
}

/** What can be read of a container, as of an epoch. Ends with the container it belongs to. */
export class ContainerView {
  /** The epoch it shows; EPOCH_NONE: the latest. */
  readonly epoch: Epoch;
  protected readonly parts: ContainerParts;
  readonly #operations: ObjectOperations;
  #kv: KeyValue | undefined;

  constructor(parts: ContainerParts, epoch: Epoch) {
    this.parts = parts;
    this.epoch = epoch;
    this.#operations = new ObjectOperations(parts.session, epoch);
  }

  /**
   * The object of this id; nothing is asked of the engine. Throws INVALID_ARGUMENT for an id without object class, or of a
   * class that the pool cannot hold.
   */
  object(id: ObjectId): ObjectHandle {
    checkHolds(this.parts.session, objectClassOf(id));
    return new ObjectHandle(this.#operations, id);
  }

  /** The object of this id as an array. Throws INVALID_ARGUMENT as `object`, and when the sizes named cannot be. */
  array(id: ObjectId, options: ArrayOptions = {}): ArrayHandle {
    const objectClass = objectClassOf(id);
    checkHolds(this.parts.session, objectClass);
    const property = this.parts.session.container.properties["chunk_size"];
    const chunkBytes = typeof property === "number" ? property : DEFAULT_CHUNK_BYTES;
    // The container's class may be another one, with other stripes.
    const defaultChunkBytes = wholeStripes(chunkBytes, stripeBytesOf(objectClass, cellBytesOf(this.parts.session)));
    return new ArrayHandle(this.#operations, id, { ...options, defaultChunkBytes });
  }

  /** The container as one map. Throws UNSUPPORTED when its type is not `kv` or the interface `kv` is not there. */
  kv(): KeyValue {
    this.#kv ??= this.#openInterface("kv") as KeyValue;
    return this.#kv;
  }

  /** Ids of the objects with something visible, ascending. */
  async *listObjects(options: SignalOptions = {}): AsyncGenerator<ObjectId, void, void> {
    for await (const page of keyPages(this.#operations, { opcode: Opcode.objectList }, options)) {
      for (const id of page) yield objectIdFromBytes(bytesOf(id));
    }
  }

  #openInterface(type: string): unknown {
    const { label, type: actual } = this.parts.session.container;
    if (actual !== type) {
      const state = `it is of type ${actual}`;
      const advice = `Create a container with --type ${type}.`;
      throw new DaosError("UNSUPPORTED", `Cannot open container "${label}" as ${type}: ${state}. ${advice}`);
    }
    const provider = this.parts.interfaces.find(({ containerTypes }) => containerTypes.includes(type));
    if (provider !== undefined) return provider.open(this.#operations);
    const state = "no interface plugin for it was given to connect()";
    throw new DaosError("UNSUPPORTED", `Cannot open container "${label}" as ${type}: ${state}. Give it one.`);
  }
}

/** An open container. Close it when done. */
export class Container extends ContainerView {
  readonly #transactions: Transactions;

  constructor(parts: ContainerParts) {
    super(parts, EPOCH_NONE);
    this.#transactions = new Transactions(parts.session);
  }

  /** As it was when the container was last opened; see `query`. */
  get description(): ContainerDescription {
    return this.parts.session.container;
  }

  get readOnly(): boolean {
    return this.parts.session.readOnly;
  }

  /** Where objects lie, by the pool map as it was when the container was last opened. */
  get placement(): Placement {
    return this.parts.session.placement;
  }

  /** What the engine says of the container now. */
  async query(options: SignalOptions = {}): Promise<ContainerDescription> {
    return this.parts.calls.queryContainer(this.#reference, options);
  }

  /**
   * An id for a new object: random in its 96 user bits, so that no two clients make the same. The class is the
   * container's (property `oclass`) unless named. INVALID_ARGUMENT for a class that the pool cannot hold, or that survives
   * less than the container promises (`rd_fac`); UNSUPPORTED for redundancy where the container has none (`rd_fac` 0): its
   * pool may have nobody who fills what is lost.
   */
  newObjectId(type: ObjectType, objectClass?: ObjectClass | string): ObjectId {
    const named = objectClass ?? String(this.description.properties["oclass"] ?? "SX");
    const bytes = Buffer.alloc(12);
    this.parts.session.world.random.fill(bytes);
    const chosen = typeof named === "string" ? objectClassByName(named) : named;
    checkHolds(this.parts.session, chosen);
    checkStripe(chosen, cellBytesOf(this.parts.session));
    const factor = Number(this.description.properties["rd_fac"] ?? 0);
    const { toleratedFailures } = chosen.redundancy;
    if (toleratedFailures < factor) {
      const state = `it survives ${toleratedFailures} fault(s), the container promises ${factor} (rd_fac)`;
      throw new DaosError(
        "INVALID_ARGUMENT",
        `Cannot make an object of class ${chosen.name}: ${state}. Use RP_${factor + 1}GX, or another container.`,
      );
    }
    if (toleratedFailures > 0 && factor === 0) {
      const state = "the container keeps no redundancy (property rd_fac)";
      throw new DaosError(
        "UNSUPPORTED",
        `Cannot make an object of class ${chosen.name}: ${state}. Use a class such as SX, or another container.`,
      );
    }
    return objectId(type, chosen, bytes.readUInt32BE(0), bytes.readBigUInt64BE(4));
  }

  /** Keeps the container as it is now. Named after its epoch when no name is given. ALREADY_EXISTS, TOO_LARGE. */
  async createSnapshot(name = "", options: SignalOptions = {}): Promise<SnapshotDescription> {
    return this.parts.calls.createSnapshot({ ...this.#reference, name }, options);
  }

  async listSnapshots(options: SignalOptions = {}): Promise<readonly SnapshotDescription[]> {
    return this.parts.calls.listSnapshots(this.#reference, options);
  }

  /** What only this snapshot shows is dropped. NOT_FOUND. */
  async destroySnapshot(name: string, options: SignalOptions = {}): Promise<void> {
    await this.parts.calls.destroySnapshot({ ...this.#reference, name }, options);
  }

  /** The container as it was at a snapshot (NOT_FOUND) or at an epoch; reads of an epoch that is none may fail with EPOCH_AGGREGATED. */
  async at(moment: Moment, options: SignalOptions = {}): Promise<ContainerView> {
    return new ContainerView(this.parts, await this.#epochOf(moment, options));
  }

  /** What differs between two moments, ascending by object, dkey and akey; `to` is the latest when absent. */
  async *changes(from: Moment, to?: Moment, options: SignalOptions = {}): AsyncGenerator<Change, void, void> {
    const fromEpoch = await this.#epochOf(from, options);
    const toEpoch = to === undefined ? EPOCH_NONE : await this.#epochOf(to, options);
    yield* containerChanges(this.parts.session, fromEpoch, toEpoch, options.signal);
  }

  /** Begins a transaction: see Transaction. It costs nothing until something is read. */
  transaction(options: TransactionOptions = {}): Transaction {
    return this.#transactions.begin(options);
  }

  /** Runs a transaction and commits it, again after conflicts: see Transactions.run. */
  runTransaction<T>(body: (transaction: Transaction) => Promise<T>, options: RunTransactionOptions = {}): Promise<T> {
    return this.#transactions.run(body, options);
  }

  /** Lets go of the container. What is under way finishes, or fails with CANCELED. */
  async close(): Promise<void> {
    await this.#transactions.settled();
    await this.parts.session.close();
  }

  get #reference(): { readonly pool: string; readonly container: string } {
    return { pool: this.description.pool, container: this.description.id };
  }

  async #epochOf(moment: Moment, options: SignalOptions): Promise<Epoch> {
    if (typeof moment === "number") return epochFrom(moment);
    const snapshots = await this.listSnapshots(options);
    const snapshot = snapshots.find(({ name }) => name === moment);
    if (snapshot !== undefined) return snapshot.epoch;
    const names = snapshots.map(({ name }) => name).join(", ") || "none";
    throw new DaosError("NOT_FOUND", `Cannot find snapshot "${moment}": not there. The snapshots are: ${names}.`);
  }
}

/** Cells of the container's erasure-coded arrays. */
function cellBytesOf({ container }: ContainerSession): number {
  const property = container.properties["ec_cell_sz"];
  return typeof property === "number" ? property : DEFAULT_ERASURE_CELL_BYTES;
}
