/**
 * The versioned object store of one target: objects of dkeys, dkeys of akeys, under each akey a single value or an array;
 * every update and punch with an epoch, every read at one. Built on a CellStore; owns the meaning of its cells.
 *
 * Every operation decides and appends in one turn of the event loop, so operations are atomic and in the order of their
 * epochs. Results come at once when nothing has to be waited for, else as a promise. Each carries `sequence`: nothing of
 * the result, a refusal included, may be told to anybody before `CellStore.whenStable(sequence)`.
 */
import type { DkeyPlace } from "../base/key-place.ts";
import type { DtxId } from "../base/dtx-id.ts";
import { EPOCH_MAX, EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { PartBytes } from "../format/prepare-request.ts";
import type { TransactionStep } from "../format/transaction-part.ts";
import type { CellUsage } from "../store/cell.ts";
import { type ArrayReadOutcome, ArrayReads, type RecordRange } from "./array-read.ts";
import { ArrayWrites } from "./array-write.ts";
import { type ChangeListRequest, ChangeLists, type ChangePage } from "./change-list.ts";
import { DkeyCopies, type StoredDkey } from "./dkey-copy.ts";
import { DkeySummaries } from "./dkey-summary.ts";
import { type DkeyPresence, dkeyPresence } from "./dkey-presence.ts";
import {
  type AkeyListRequest,
  type DkeyListRequest,
  Enumerations,
  type KeyPage,
  type ObjectPage,
  type PageRequest,
} from "./enumeration.ts";
import { type ExtentListRequest, ExtentLists, type ExtentPage } from "./extent-list.ts";
import { FillMarks } from "./fill-marks.ts";
import { HoldingNotes } from "./holding-notes.ts";
import { KeyHistories } from "./key-history.ts";
import { KeyQueries, type KeyQueryOutcome, type KeyQueryRequest } from "./key-query.ts";
import { MovingObjects } from "./moving-objects.ts";
import { type DkeyRequest, type ObjectRequestKeys, Punches } from "./punch.ts";
import {
  type AkeyReadRequest,
  type AkeyRequest,
  type FetchOutcome,
  SingleValues,
  type WriteOutcome,
} from "./single-value.ts";
import { ScrubMarks } from "./scrub-marks.ts";
import type { StagedWrite } from "./staged-write.ts";
import { TargetObjects, type TargetObjectsOptions } from "./target-objects.ts";
import { type ShardReadOutcome, type ShardRange, ShardReads } from "./shard-read.ts";
import { type ShardUpdate, ShardWrites } from "./shard-write.ts";
import type { ReadBound } from "./read-bound.ts";
import type { TransactionLocks } from "./transaction-locks.ts";
import type { TransactionOutcome } from "./transaction-state.ts";
import { type TransactionRequest, Transactions } from "./transactions.ts";
import { type MergeCounters, WindowMerges } from "./window-merge.ts";

export class VersionedObjects {
  /** For those who fill targets. */
  readonly copies: DkeyCopies;
  readonly scrubMarks: ScrubMarks;
  readonly fillMarks: FillMarks;
  /** Of what this target holds. */
  readonly notes: HoldingNotes;
  readonly keyHistories: KeyHistories;
  readonly summaries: DkeySummaries;
  readonly moving: MovingObjects;
  readonly #target: TargetObjects;
  readonly #values: SingleValues;
  readonly #arrayReads: ArrayReads;
  readonly #arrayWrites: ArrayWrites;
  readonly #punches: Punches;
  readonly #shardReads: ShardReads;
  readonly #shardWrites: ShardWrites;
  readonly #enumerations: Enumerations;
  readonly #extents: ExtentLists;
  readonly #queries: KeyQueries;
  readonly #changes: ChangeLists;
  readonly #transactions: Transactions;
  readonly #merges: WindowMerges;

  /**
   * Takes over a store that was just opened, and moves the clock past every epoch in it. Call it in the turn in which the
   * store is handed over: snapshots are loaded before anything is read.
   */
  constructor(options: TargetObjectsOptions) {
    const target = new TargetObjects(options);
    this.#target = target;
    this.#merges = new WindowMerges(target);
    const crowded = this.#merges.request.bind(this.#merges);
    this.#values = new SingleValues(target);
    this.#arrayReads = new ArrayReads(target, crowded);
    this.#arrayWrites = new ArrayWrites(target, crowded);
    this.#punches = new Punches(target);
    this.#shardReads = new ShardReads(target, this.#values);
    this.#shardWrites = new ShardWrites(target, crowded);
    const shards = this.#shardWrites;
    const operations = { values: this.#values, arrays: this.#arrayWrites, punches: this.#punches, shards };
    this.#transactions = new Transactions(target, operations);
    this.#enumerations = new Enumerations(target);
    this.#extents = new ExtentLists(target);
    this.#queries = new KeyQueries(target, this.#extents);
    this.#changes = new ChangeLists(target);
    this.copies = new DkeyCopies(target);
    this.fillMarks = new FillMarks(target);
    this.notes = new HoldingNotes(target);
    this.scrubMarks = new ScrubMarks(target);
    this.keyHistories = new KeyHistories(target);
    const read = { values: this.#values, arrays: this.#arrayReads, extents: this.#extents, keys: this.keyHistories };
    this.summaries = new DkeySummaries(target, read);
    this.moving = new MovingObjects(target);
  }

  /** Values of the container up to this size are to live in SCM from now on, bytes. */
  setThreshold(container: number, thresholdBytes: number): void {
    this.#target.setThreshold(container, thresholdBytes);
  }

  /** A value up to this size, written in this turn, goes to SCM. */
  inlineBytes(container: number): number {
    return this.#target.inlineBytes(container);
  }

  /** See SingleValues.fetch: `value` may be a view, valid until the caller awaits. */
  fetchValue(container: number, request: AkeyReadRequest): FetchOutcome | Promise<FetchOutcome> {
    return this.#values.fetch(container, request);
  }

  /** See SingleValues.update. */
  updateValue(container: number, request: AkeyRequest, value: Uint8Array): WriteOutcome | Promise<WriteOutcome> {
    return this.#values.update(container, request, value);
  }

  /** See ArrayReads.read: `bytes` may be a view, valid until the caller awaits. */
  readArray(container: number, request: AkeyReadRequest & RecordRange): ArrayReadOutcome | Promise<ArrayReadOutcome> {
    return this.#arrayReads.read(container, request);
  }

  /** See ArrayWrites.write. */
  writeArray(
    container: number,
    request: AkeyRequest & RecordRange,
    bytes: Uint8Array,
  ): WriteOutcome | Promise<WriteOutcome> {
    return this.#arrayWrites.write(container, request, bytes);
  }

  /** See ArrayWrites.punch. */
  punchArray(container: number, request: AkeyRequest & RecordRange): WriteOutcome | Promise<WriteOutcome> {
    return this.#arrayWrites.punch(container, request);
  }

  /** See ShardWrites.write. */
  writeShard(
    container: number,
    update: ShardUpdate,
    parts: readonly PartBytes[],
  ): WriteOutcome | Promise<WriteOutcome> {
    return this.#shardWrites.write(container, update, parts);
  }

  /** See SingleValues.stage. */
  stageValue(container: number, request: AkeyRequest, value: Uint8Array): Promise<StagedWrite> {
    return this.#values.stage(container, request, value);
  }

  /** See ArrayWrites.stage. */
  stageArray(container: number, request: AkeyRequest & RecordRange, bytes: Uint8Array): Promise<StagedWrite> {
    return this.#arrayWrites.stage(container, request, bytes);
  }

  /** See ShardWrites.stage. */
  stageShard(container: number, update: ShardUpdate, parts: readonly PartBytes[]): Promise<StagedWrite> {
    return this.#shardWrites.stage(container, update, parts);
  }

  /** See ShardReads. */
  readShardArray(
    container: number,
    request: AkeyReadRequest,
    range: ShardRange,
  ): ShardReadOutcome | Promise<ShardReadOutcome> {
    return this.#shardReads.readArray(container, request, range);
  }

  showsWritten(container: number, request: AkeyReadRequest, range: ShardRange, written: Epoch): boolean {
    return this.#shardReads.showsWritten(container, request, range, written);
  }

  readShardValue(container: number, request: AkeyReadRequest): Promise<ShardReadOutcome> {
    return this.#shardReads.readValue(container, request);
  }

  /** See Punches. */
  punchAkey(container: number, request: AkeyRequest): WriteOutcome | Promise<WriteOutcome> {
    return this.#punches.punchAkey(container, request);
  }

  punchDkey(container: number, request: DkeyRequest): WriteOutcome | Promise<WriteOutcome> {
    return this.#punches.punchDkey(container, request);
  }

  punchObject(container: number, request: ObjectRequestKeys): WriteOutcome | Promise<WriteOutcome> {
    return this.#punches.punchObject(container, request);
  }

  /** See Transactions.step. */
  transactionStep(container: number, request: TransactionRequest, step: TransactionStep): Promise<WriteOutcome> {
    return this.#transactions.step(container, request, step);
  }

  /** See Transactions.stateOf. */
  transactionState(container: number, place: DkeyPlace, id: DtxId): TransactionOutcome {
    return this.#transactions.stateOf(container, place, id);
  }

  /** See Transactions.isSwept. */
  isSwept(container: number, oid: ObjectId, epoch: Epoch): boolean {
    return this.#transactions.isSwept(container, oid, epoch);
  }

  /** See dkeyPresence. */
  presenceOf(container: number, dkey: StoredDkey): DkeyPresence {
    return dkeyPresence(this.#target, container, dkey);
  }

  /** What transactions hold here. */
  get locks(): TransactionLocks {
    return this.#target.locks;
  }

  /** What was read so far at epochs; no answer may leave before that is durable. */
  get reads(): ReadBound {
    return this.#target.containers.reads;
  }

  /** Later than every epoch given or observed so far. */
  newEpoch(): Epoch {
    return this.#target.clock.next();
  }

  /** See Enumerations. */
  listDkeys(container: number, request: DkeyListRequest): KeyPage | Promise<KeyPage> {
    return this.#enumerations.listDkeys(container, request);
  }

  listAkeys(container: number, request: AkeyListRequest): KeyPage | Promise<KeyPage> {
    return this.#enumerations.listAkeys(container, request);
  }

  listObjects(container: number, request: PageRequest): ObjectPage | Promise<ObjectPage> {
    return this.#enumerations.listObjects(container, request);
  }

  /** See ExtentLists.list. */
  listExtents(container: number, request: ExtentListRequest): Promise<ExtentPage> {
    return this.#extents.list(container, request);
  }

  /** See KeyQueries.query. */
  queryKey(container: number, request: KeyQueryRequest): Promise<KeyQueryOutcome> {
    return this.#queries.query(container, request);
  }

  /** See ChangeLists.list. */
  listChanges(container: number, request: ChangeListRequest): Promise<ChangePage> {
    return this.#changes.list(container, request);
  }

  /** Serves the container; its snapshots are loaded. Harmless when it is open. NOT_FOUND after destroyContainer. */
  openContainer(container: number): void {
    this.#target.containers.open(container);
    this.#target.containers.get(container);
    this.#target.locks.open(container);
  }

  /** See Containers.destroyContainer. */
  destroyContainer(container: number): Promise<void> {
    this.#target.locks.removeContainer(container);
    return this.#target.containers.destroyContainer(container);
  }

  /** See Containers.createSnapshot. */
  createSnapshot(container: number, at?: Epoch): Promise<Epoch> {
    return this.#target.containers.createSnapshot(container, at);
  }

  /** See Containers.destroySnapshot. */
  destroySnapshot(container: number, epoch: Epoch): Promise<void> {
    return this.#target.containers.destroySnapshot(container, epoch);
  }

  /** Epochs of the snapshots, ascending. */
  listSnapshots(container: number): Epoch[] {
    return this.#target.containers.listSnapshots(container);
  }

  /** See Containers.adoptSnapshots. */
  adoptSnapshots(container: number, epochs: readonly Epoch[]): Promise<void> {
    return this.#target.containers.adoptSnapshots(container, epochs);
  }

  /** Epoch of the newest snapshot before an epoch, also of one that is being made; EPOCH_NONE without one. */
  newestSnapshot(container: number, before: Epoch = EPOCH_MAX): Epoch {
    const { containers } = this.#target;
    return containers.keptSnapshots(containers.get(container)).findLast((epoch) => epoch < before) ?? EPOCH_NONE;
  }

  /** See ContainerState.filledAt; 0 for a container that is not open. */
  filledAt(container: number): Epoch {
    return this.#target.containers.filledAt(container);
  }

  /** Raises the container's gate; see CellStore.setGate. */
  setGate(container: number, epoch: Epoch): void {
    this.#target.store.setGate(container, epoch);
  }

  /** Space the container takes here; what is hidden counts until it is reclaimed. */
  usage(container: number): CellUsage {
    return this.#target.store.usage(container);
  }

  /** Counts of merged windows since start. */
  get mergeCounters(): Readonly<MergeCounters> {
    return this.#merges.counters;
  }

  /** Resolves when no background merge is waiting or running. */
  idle(): Promise<void> {
    return this.#merges.idle();
  }
}
