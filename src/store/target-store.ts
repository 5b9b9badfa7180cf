/**
 * The store of one target: log, memtables, settled index and extents behind the CellStore interface. Opened by
 * open-store.ts; the hot path is `admit`, `append`, `whenDurable` and `get`.
 *
 * After a failure of the medium the store is read-only: what is durable stays readable until it is closed.
 */
import type { ByteString } from "../base/bytes.ts";
import type { DtxId } from "../base/dtx-id.ts";
import { EPOCH_MAX, type Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { LOG_RECORD_HEADER_BYTES, type RecordSnapshots } from "../format/log-record.ts";
import { LOG_ORIGIN_BYTES } from "../format/log-record-transaction.ts";
import { uint32OfKey } from "../format/settled-row.ts";
import { Admission } from "./admission.ts";
import { raiseAggregated } from "./aggregated-epochs.ts";
import type {
  AdmitOptions,
  AppendOptions,
  CellUsage,
  CellWrite,
  ExtentRef,
  KeyRange,
  ReclaimRange,
  StoreSpace,
  Transactions,
  VerifiedView,
  Version,
} from "./cell.ts";
import { scanCells } from "./cell-scan.ts";
import { Destager } from "./destager.ts";
import type { Extents } from "./extents.ts";
import type { Generations } from "./generations.ts";
import { indexRoom, isIndexCrowded } from "./index-room.ts";
import { Log } from "./log.ts";
import { type LoggedWritesParts, placeWrites } from "./logged-writes.ts";
import { PreparedRecords } from "./prepared-records.ts";
import type { RequestTable } from "./request-table.ts";
import { checkWrites, recordEpoch } from "./record-check.ts";
import type { SettleResult } from "./settle-batch.ts";
import { addedUsage, storeSpace } from "./store-space.ts";
import type { TargetStoreParts } from "./target-store-parts.ts";
import { SettleScheduler } from "./settle-scheduler.ts";
import { ABSENT, ReadCache } from "./read-cache.ts";
import { settledVersionAt, visitSettled } from "./settled-cells.ts";
import type { IndexSpace, SettledIndex } from "./settled-index.ts";
import { checkSnapshots } from "./snapshot-lists.ts";
import { isUndecided } from "./stability.ts";
import { type CheckedStore, StoreChecks } from "./store-checks.ts";

/** Share of the log in use from which on values go to the NVMe tier where they can. */
const LOG_WATERMARK = 0.875;

const NO_RECLAIMS: readonly ReclaimRange[] = [];
const NO_WRITES: readonly CellWrite[] = [];
const NO_SNAPSHOTS: readonly RecordSnapshots[] = [];

export class TargetStore implements CheckedStore {
  readonly #parts: TargetStoreParts;
  readonly #log: Log;
  readonly #generations: Generations;
  readonly #index: SettledIndex;
  readonly #extents: Extents;
  readonly #admission: Admission;
  readonly #scheduler: SettleScheduler;
  readonly #prepared: PreparedRecords;
  readonly requests: RequestTable;
  readonly checks: StoreChecks;
  readonly #cache = new ReadCache();
  readonly #memory: LoggedWritesParts;
  #indexSpace: IndexSpace;
  #closing: Promise<void> | undefined;

  constructor(parts: TargetStoreParts) {
    this.#parts = parts;
    this.#generations = parts.generations;
    this.#index = parts.index;
    this.#extents = parts.extents;
    this.#extents.onFull(() => this.#scheduler.settleForRoom());
    this.#indexSpace = parts.index.space();
    this.requests = parts.requests;
    this.requests.pending = (sequence) => this.pending(sequence);
    this.requests.lastSequence = () => this.#log.lastSequence;
    this.requests.start(parts.timers);
    this.#log = new Log({
      ...parts,
      hooks: {
        segmentOpened: () => this.#scheduler.segmentOpened(),
        persisting: () => this.#prepared.persisting(),
        advanced: () => this.#scheduler.advanced(),
        failed: (error) => this.#stop(error),
      },
    });
    this.#memory = { log: this.#log, generations: this.#generations, cache: this.#cache };
    this.#prepared = new PreparedRecords({
      timers: parts.timers,
      log: this.#log,
      table: parts.prepared,
      freed: (ranges) => this.#extents.freed(ranges),
      requests: this.requests,
    });
    for (const { id, kind } of parts.decided) this.#prepared.decisions.restoreRow(id, kind);
    for (const [decision, sequence] of parts.decisions) this.#prepared.decisions.restore(decision, sequence);
    this.#admission = new Admission(this.#log, parts.timers, {
      settleNow: () => this.#scheduler.settleNow(),
      settleForRoom: () => this.#scheduler.settleForRoom(),
      indexState: (recordBytes) => this.#indexState(recordBytes),
      stuck: () => this.#scheduler.full,
      reservedSegments: () => this.#prepared.reservedSegments,
    });
    this.#scheduler = new SettleScheduler({
      ...parts,
      destager: new Destager({ ...parts, rule: parts.destageRule }),
      log: this.#log,
      prepared: this.#prepared,
      hooks: {
        settling: (lastOrdinal) => this.#raiseAggregated(lastOrdinal),
        settled: (result) => this.#settled(result),
        maintaining: (containers) => this.#cache.bypass(containers),
        maintained: (result) => this.#indexChanged(result),
        maintenanceEnded: () => this.#maintenanceEnded(),
        fullChanged: () => this.#admission.wake(),
        mend: () => this.checks.mendAll(),
        failed: (error) => this.#failed(error),
      },
    });
    this.checks = new StoreChecks({ ...parts, log: this.#log, scheduler: this.#scheduler, store: this });
    this.#scheduler.start();
  }

  get transactions(): Transactions {
    return this.#prepared;
  }

  get durableSequence(): number {
    return this.#log.durableSequence;
  }

  admit(recordBytes: number, options?: AdmitOptions): undefined | Promise<void> {
    return this.#admission.admit(recordBytes, options);
  }

  promise(totalBytes: number): void {
    this.#admission.promise(totalBytes);
  }

  append(writes: readonly CellWrite[], reclaims = NO_RECLAIMS, options?: AppendOptions): number {
    checkWrites(writes, reclaims);
    if (this.#closing !== undefined) throw closed();
    if (options?.prepared === true) return this.#appendPrepared(writes, reclaims, options);
    // What may lie on a decided version is durable only together with the decision.
    if (this.#prepared.decisions.isPending) this.#prepared.decisions.flush();
    if (options?.origin !== undefined) return this.#appendOrigin(writes, reclaims, options.origin, options);
    const sequence = this.#log.append(writes, reclaims, NO_SNAPSHOTS);
    this.#place(sequence, writes, reclaims, this.#log.recordOffset + LOG_RECORD_HEADER_BYTES);
    return sequence;
  }

  #appendPrepared(writes: readonly CellWrite[], reclaims: readonly ReclaimRange[], options: AppendOptions): number {
    const stability = this.#prepared.append(writes, reclaims, options);
    for (const { key } of writes) this.#cache.evict(key);
    return stability;
  }

  #appendOrigin(
    writes: readonly CellWrite[],
    reclaims: readonly ReclaimRange[],
    origin: DtxId,
    { firstIncomplete = 0 }: AppendOptions,
  ): number {
    const sequence = this.#log.append(writes, reclaims, NO_SNAPSHOTS, { origin: { ...origin, firstIncomplete } });
    this.#place(sequence, writes, reclaims, this.#log.recordOffset + LOG_RECORD_HEADER_BYTES + LOG_ORIGIN_BYTES);
    this.requests.add(origin, firstIncomplete, recordEpoch(writes, reclaims), sequence);
    return sequence;
  }

  /** The writes begin at `start` of the log's memory. */
  #place(sequence: number, writes: readonly CellWrite[], reclaims: readonly ReclaimRange[], start: number): void {
    placeWrites(this.#memory, sequence, writes, start);
    if (reclaims.length > 0) this.#generations.addPunches(reclaims);
  }

  whenDurable(sequence: number, callback: (error?: Error) => void): void {
    this.#log.whenDurable(isUndecided(sequence) ? this.#log.lastSequence : sequence, callback);
  }

  whenStable(sequence: number, callback: (error?: Error) => void): void {
    if (isUndecided(sequence)) this.#prepared.whenStable(sequence, callback);
    else this.#log.whenDurable(sequence, callback);
  }

  pending(sequence: number): number {
    if (isUndecided(sequence)) return this.#prepared.pending(sequence);
    return sequence > this.#log.durableSequence ? sequence : 0;
  }

  get(key: ByteString, epoch: Epoch): Version | undefined {
    const logged = this.#generations.get(key, epoch);
    if (logged !== undefined) return logged;
    if (epoch !== EPOCH_MAX) return settledVersionAt(this.#index, key, epoch);
    const cached = this.#cache.get(key);
    if (cached !== undefined) return cached === ABSENT ? undefined : cached;
    const settled = settledVersionAt(this.#index, key, epoch);
    this.#cache.put(key, settled ?? ABSENT);
    return settled;
  }

  versions(key: ByteString, epoch: Epoch, visit: (version: Version) => boolean | undefined): void {
    const limit = this.#generations.visit(key, epoch, visit);
    if (limit !== undefined) visitSettled(this.#index, key, limit, visit);
  }

  scan(
    from: ByteString,
    to: ByteString,
    epoch: Epoch,
    visit: (key: ByteString, version: Version) => boolean | undefined,
    options?: { reverse?: boolean },
  ): void {
    const range = { from, to, epoch, reverse: options?.reverse === true };
    if (to === "" || from < to) scanCells(this.#generations.all, this.#index, range, visit);
  }

  async writeExtent(buffer: Uint8Array, checksum?: number): Promise<ExtentRef> {
    if (this.#closing !== undefined) throw closed();
    if (this.#log.failure !== undefined) throw this.#log.failure;
    return this.#extents.write(buffer, checksum);
  }

  sliceExtent(extent: ExtentRef, offset: number, length: number): ExtentRef {
    return this.#extents.slice(extent, offset, length);
  }

  abandonExtent(extent: ExtentRef): void {
    this.#extents.abandon(extent);
  }

  readExtent(extent: ExtentRef, offset: number, length: number, into: Uint8Array): number | Promise<number> {
    return this.#extents.read(extent, offset, length, into);
  }

  viewExtent(extent: ExtentRef, offset: number, length: number): VerifiedView | undefined {
    return this.#extents.view(extent, offset, length);
  }

  dropCache(): void {
    this.#cache.clear();
  }

  setSnapshots(container: number, epochs: readonly Epoch[]): void {
    const { snapshots } = this.#parts;
    const before = snapshots.get(container);
    if (before.length === epochs.length && before.every((epoch, index) => epoch === epochs[index])) return;
    checkSnapshots(epochs);
    if (this.#closing !== undefined) throw closed();
    const sequence = this.#log.append(NO_WRITES, NO_RECLAIMS, [{ container, epochs }]);
    snapshots.replace(container, epochs, sequence);
    if (before.every((epoch) => epochs.includes(epoch))) return;
    this.#log.whenDurable(sequence, (error) => {
      if (error === undefined) this.#scheduler.wakeReclaims(container);
    });
  }

  get highestEpoch(): Epoch {
    let highest = this.#parts.snapshots.highest;
    for (const epoch of this.#parts.aggregatedTo.values()) if (epoch > highest) highest = epoch;
    for (const memtable of this.#generations.all) {
      for (const share of memtable.shares()) if (share.highestEpoch > highest) highest = share.highestEpoch;
    }
    return highest;
  }

  aggregatedTo(container: number): Epoch {
    return this.#parts.aggregatedTo.get(container) ?? (0 as Epoch);
  }

  setGate(container: number, epoch: Epoch): void {
    if (this.#parts.gates.raise(container, epoch)) this.#scheduler.gateRaised();
  }

  gate(container: number): Epoch {
    return this.#parts.gates.get(container);
  }

  aggregate(container: number): Promise<void> {
    return this.#scheduler.aggregate(container);
  }

  purge(ranges: readonly KeyRange[]): Promise<void> {
    return this.#scheduler.purge(ranges);
  }

  get destagedBytes(): number {
    return this.#scheduler.destagedBytes;
  }

  get isScmCrowded(): boolean {
    const { segmentCount } = this.#log.layout;
    if (this.#log.freeSegments <= segmentCount * (1 - LOG_WATERMARK)) return true;
    return isIndexCrowded(this.#indexSpace, this.#generations.unsettledBytes);
  }

  usage(container: number): CellUsage {
    return addedUsage(this.#parts.usage.get(container), this.#generations.usage(container));
  }

  space(): StoreSpace {
    return storeSpace(this.#log, this.#indexSpace, this.#extents);
  }

  /** Readers are told before it happens: the settler may commit at any moment from now on. */
  #raiseAggregated(lastOrdinal: number): void {
    const generations = this.#generations;
    raiseAggregated(this.#parts.aggregatedTo, [...generations.frozenUpTo(lastOrdinal), generations.carried]);
  }

  #settled(result: SettleResult): void {
    // A generation that is settled in part goes on to show what it has, so its segments stay.
    const lastOrdinal = this.#generations.dropUpTo(result.lastOrdinal);
    if (lastOrdinal !== undefined) {
      const { lastSequence } = this.#log.spans.findLast(({ ordinal }) => ordinal <= lastOrdinal)!;
      for (const { key } of this.#parts.prepared.dropped(lastOrdinal, lastSequence))
        this.#scheduler.wakeReclaims(uint32OfKey(key));
      this.#log.release(lastOrdinal);
    }
    this.#indexChanged(result);
  }

  #maintenanceEnded(): void {
    // It may have failed after its commit.
    this.#index.refresh();
    this.#cache.bypass(undefined);
  }

  #indexChanged(result: Pick<SettleResult, "usage" | "freed" | "space">): void {
    this.#index.refresh();
    for (const [container, usage] of result.usage) {
      if (usage.versions === 0) this.#parts.usage.delete(container);
      else this.#parts.usage.set(container, usage);
    }
    this.#indexSpace = result.space;
    this.#extents.freed(result.freed);
    this.#admission.wake();
  }

  #indexState(recordBytes: number): "room" | "settle" | DaosError {
    if (this.#scheduler.full !== undefined) return this.#scheduler.full;
    if (this.#generations.isCrowded) return "settle";
    return indexRoom(this.#indexSpace, this.#generations.unsettledBytes + recordBytes, !this.#scheduler.isSettled);
  }

  #failed(cause: Error): void {
    if (this.#log.failure !== undefined) return;
    const state = `settling failed (${cause.message}). The target serves reads only; check its medium and restart it.`;
    this.#log.stop(new DaosError("READ_ONLY", `Cannot write: ${state}`, { cause }));
  }

  #stop(error: DaosError): void {
    this.#admission.refuse(error);
    this.#scheduler.stop(error);
    this.#prepared.stop(error);
    this.requests.stop();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { timers, settler, region, device } = this.#parts;
    this.#admission.refuse(closed());
    this.#prepared.decisions.flush();
    await new Promise<void>((resolve) => this.#log.whenDurable(this.#log.lastSequence, () => resolve()));
    this.#prepared.fail(closed());
    await this.#scheduler.drain();
    this.#scheduler.stop(closed());
    this.#prepared.stop(closed());
    this.requests.stop();
    while (this.#scheduler.busy || this.#log.busy) await new Promise<void>((resolve) => timers.soon(resolve));
    await this.#extents.idle();
    await settler.close();
    await this.#index.close();
    region.close();
    await region.closing?.();
    await device.close();
  }
}

function closed(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot use the store: it is closed. Try again when the target has restarted.");
}
