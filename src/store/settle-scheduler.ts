/**
 * When background work happens: settling (the log is half full, idle for a while, somebody waits for room), and
 * between settles reclaim slices and aggregation passes. One piece of work at a time; foreground never waits for it
 * except where the log is full. A settle takes one generation, the oldest; only when that finds the index full it takes
 * everything at once, for punches logged later may make the room.
 */
import type { ByteString } from "../base/bytes.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import type { CellChanges } from "./cell-rewriter.ts";
import type { KeyRange } from "./cell.ts";
import type { Destager } from "./destager.ts";
import type { GateTable } from "./gate-table.ts";
import type { Generations } from "./generations.ts";
import type { KeptViews } from "./kept-views.ts";
import type { Log } from "./log.ts";
import { changedContainers, type MaintenanceResult } from "./maintenance.ts";
import { type CheckedSlice, MaintenanceQueue } from "./maintenance-queue.ts";
import type { ContainerRange } from "./reclaim-table.ts";
import type { PreparedRecords } from "./prepared-records.ts";
import type { RequestTable } from "./request-table.ts";
import type { RowRange } from "./row-check.ts";
import { SettleHold } from "./settle-hold.ts";
import { withMending } from "./settle-mending.ts";
import type { SettleResult, TransactionPages } from "./settle-batch.ts";
import type { IndexReader } from "./settled-index.ts";
import type { Settler } from "./settler.ts";
import type { SnapshotRegistry } from "./snapshot-lists.ts";

/** Settle when this share of the log's segments is in use. */
const SETTLE_SHARE = 0.5;
/** With so small a share of the log's segments free, settling waits for no decision. */
const URGENT_SHARE = 0.25;
/** Settle what is logged after so long without writes. */
export const IDLE_SETTLE_MS = 2000;
/** Write a durable mark after so long without writes. */
export const DURABLE_MARK_MS = 50;
/** Try again after the index was full. */
const FULL_RETRY_MS = 1000;

const ALL_AT_ONCE: TransactionPages = { usual: Number.MAX_SAFE_INTEGER, smallIndex: Number.MAX_SAFE_INTEGER };

export interface SchedulerHooks {
  /** The generations up to the segment of this ordinal are about to be settled. */
  settling(lastOrdinal: number): void;
  settled(result: SettleResult): void;
  /** Maintenance is about to change cells of these containers, and may have until `maintenanceEnded`. */
  maintaining(containers: ContainerRange): void;
  maintained(result: MaintenanceResult): void;
  /** Whatever the last maintenance changed is to be seen from now on. */
  maintenanceEnded(): void;
  /** The index is full, or no longer. */
  fullChanged(error: DaosError | undefined): void;
  /** Something stored is damaged: mends what can be. True when the work may succeed now. */
  mend(): Promise<boolean>;
  /** Background work failed for good. */
  failed(error: Error): void;
}

export interface SchedulerOptions {
  readonly log: Log;
  /** The target's thread's; current when a hook has returned that says what changed. */
  readonly index: IndexReader;
  readonly timers: Timers;
  readonly settler: Settler;
  readonly generations: Generations;
  readonly prepared: PreparedRecords;
  readonly requests: RequestTable;
  readonly destager: Destager;
  readonly snapshots: SnapshotRegistry;
  readonly gates: GateTable;
  readonly storeId: ByteString;
  /** See SettleRequest. */
  readonly transactionPages: TransactionPages;
  readonly hooks: SchedulerHooks;
}

export class SettleScheduler {
  readonly #options: SchedulerOptions;
  #busy = false;
  #stopped: Error | undefined;
  /** What is logged up to this sequence is to be settled. */
  #settleUpTo = 0;
  /** The last settle of one generation found the index full. */
  #settleAll = false;
  #checkScheduled = false;
  readonly #maintenance: MaintenanceQueue;
  #draining = false;
  #maintenancePostponed = false;
  #drainWaiters: (() => void)[] = [];
  #full: DaosError | undefined;
  /** The last record that this opening has settled. */
  #settledSequence = 0;
  /** Records that the last settle that found the index full included. */
  #fullSequence = 0;
  #markTimer: (() => void) | undefined;
  #idleTimer: (() => void) | undefined;
  #retryTimer: (() => void) | undefined;
  #idleSequence = 0;
  readonly #hold: SettleHold;
  /** Bytes that were destaged since the store was opened. */
  destagedBytes = 0;
  /** Last record of the log when it was settled last for want of room. */
  #settledForRoom = 0;
  /** Last record of the log when it was moved for a settle that succeeded since. */
  #quietSequence = Number.NEGATIVE_INFINITY;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    const settledTo = (): number => (options.log.spans[0]?.firstSequence ?? options.log.lastSequence + 1) - 1;
    this.#maintenance = new MaintenanceQueue({ ...options, settledTo, added: () => this.#schedule() });
    this.#hold = new SettleHold(options.timers, options.prepared, () => this.#schedule());
  }

  /** Some records became durable. */
  advanced(): void {
    if (this.#stopped !== undefined) return;
    this.#markTimer ??= this.#options.timers.after(DURABLE_MARK_MS, () => {
      this.#markTimer = undefined;
      if (this.#options.log.spans.length > 0) this.#options.log.mark();
    });
    if (this.#idleTimer === undefined) this.#armIdle();
  }

  #armIdle(): void {
    this.#idleSequence = this.#options.log.lastSequence;
    this.#idleTimer = this.#options.timers.after(IDLE_SETTLE_MS, () => {
      this.#idleTimer = undefined;
      if (this.isSettled) return;
      if (this.#options.log.lastSequence === this.#idleSequence) this.settleNow();
      else this.#armIdle();
    });
  }

  /** True when the log has nothing to settle: nothing at all, or what was moved, and maybe a mark. */
  get isSettled(): boolean {
    const { log } = this.#options;
    return log.spans.length === 0 || log.lastSequence <= this.#quietSequence + 1;
  }

  /** The log goes on in another segment; the record that is the first in it comes next. */
  segmentOpened(): void {
    const { log, generations } = this.#options;
    const ended = log.spans.at(-2)?.ordinal;
    if (ended === undefined) return;
    generations.segmentEnded(ended);
    if (this.#logIsLong) this.settleNow();
  }

  get #logIsLong(): boolean {
    const { log } = this.#options;
    return log.spans.length > log.layout.segmentCount * SETTLE_SHARE;
  }

  /** Background work goes on, if there is any. */
  start(): void {
    if (this.#options.log.spans.length > 0) this.#armIdle();
    if (this.#logIsLong) this.settleNow();
    this.#schedule();
  }

  /** Settles what is logged now as soon as possible. */
  settleNow(): void {
    this.#settleUpTo = this.#options.log.lastSequence;
    this.#schedule();
  }

  /**
   * Something was refused for want of room: what is logged since the last time may hold punches, which make room once
   * settled.
   */
  settleForRoom(): void {
    const { lastSequence } = this.#options.log;
    if (lastSequence === this.#settledForRoom) return;
    this.#settledForRoom = lastSequence;
    this.settleNow();
  }

  /** A snapshot of the container is gone: what was kept for it may be reclaimed. */
  wakeReclaims(container: number): void {
    this.#maintenance.wakeReclaims(container);
    this.#schedule();
  }

  /** The gate of a container was raised. */
  gateRaised(): void {
    this.#schedule();
  }

  /** See CellStore.aggregate. */
  aggregate(container: number): Promise<void> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    const passed = this.#maintenance.aggregate(container);
    this.settleNow();
    return passed;
  }

  /** See CellStore.purge. */
  purge(ranges: readonly KeyRange[]): Promise<void> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    const purged = this.#maintenance.purge(ranges, this.#options.log.lastSequence);
    this.settleNow();
    return purged;
  }

  check(range: RowRange): Promise<CheckedSlice> {
    if (this.#stopped !== undefined || this.#draining) return Promise.reject(this.#stopped ?? closing());
    const checked = this.#maintenance.check(range);
    this.#schedule();
    return checked;
  }

  /** Why the index takes nothing now. */
  get full(): DaosError | undefined {
    return this.#full;
  }

  #schedule(): void {
    if (this.#checkScheduled || this.#busy || this.#stopped !== undefined) return;
    this.#checkScheduled = true;
    this.#options.timers.soon(() => {
      this.#checkScheduled = false;
      this.#next();
    });
  }

  #next(): void {
    if (this.#busy || this.#stopped !== undefined) return;
    this.#maintenance.lookAtGates();
    if (this.#settleDue()) this.#run(() => this.#settle());
    else if (this.#maintenanceDue) this.#run(() => this.#maintain());
    else this.#releaseDrained();
  }

  #run(work: () => Promise<void>): void {
    this.#busy = true;
    const done = (): void => {
      this.#busy = false;
      this.#schedule();
    };
    withMending(work, () => this.#options.hooks.mend()).then(done, (error: unknown) => {
      this.#options.hooks.failed(error as Error);
      done();
    });
  }

  #settleDue(): boolean {
    const { log } = this.#options;
    const oldest = log.spans[0];
    if (oldest === undefined || oldest.firstSequence > this.#settleUpTo) return false;
    if (this.#hold.isWaiting(this.#isUrgent)) return false;
    // While the index is full only further records, punches among them, can change anything.
    return this.#full === undefined || log.lastSequence > this.#fullSequence;
  }

  get #isUrgent(): boolean {
    const { log } = this.#options;
    return this.#draining || log.freeSegments <= log.layout.segmentCount * URGENT_SHARE;
  }

  async #settle(): Promise<void> {
    const { log, settler, destager, hooks, storeId } = this.#options;
    const isWhole = this.#settleAll;
    const lastOrdinal = this.#freeze();
    const spans = log.spans.filter(({ ordinal }) => ordinal <= lastOrdinal);
    const { lastSequence } = spans.at(-1)!;
    if (!this.#hold.clears(lastSequence, this.#isUrgent, () => log.lastSequence)) return;
    hooks.settling(lastOrdinal);
    const destaging = await destager.destage(lastOrdinal, this.#settledSequence);
    await log.durable(log.lastSequence);
    const { requests } = this.#options;
    const [forgottenClients, forgottenTo] = [requests.forgotten(), requests.forgottenTo];
    const decisions = this.#options.prepared.decisions.rows(lastSequence);
    try {
      const result = await settler.settle({
        storeId,
        granularityBytes: log.layout.granularityBytes,
        spans,
        transactionPages: isWhole ? ALL_AT_ONCE : this.#options.transactionPages,
        views: this.#views(),
        skipped: this.#options.prepared.skipped(lastSequence),
        forgottenClients,
        forgottenTo,
        decided: decisions.added,
        forgotten: decisions.closed,
        destaged: destaging.list(),
      });
      this.#settledSequence = result.lastSequence;
      this.destagedBytes += destaging.settledTo(result.lastSequence);
      decisions.settled();
      if (result.lastOrdinal === lastOrdinal) this.#quietSequence = this.#hold.movedSequence;
      requests.forgottenSettled(forgottenClients, result.lastSequence);
      if (result.reclaimsAdded > 0) this.#maintenance.reclaimsAdded();
      this.#noteKept(result);
      this.#maintenancePostponed = false;
      this.#settleAll = result.lastOrdinal < lastOrdinal;
      this.#setFull(undefined);
      hooks.settled(result);
    } catch (error) {
      decisions.failed();
      // After any other failure the index may name what was destaged: it stays taken until the next start.
      if (!hasCode(error, "NO_SPACE")) throw error;
      destaging.settledTo(this.#settledSequence);
      this.#settleAll = true;
      if (!isWhole) return;
      this.#settleUpTo = 0;
      this.#fullSequence = lastSequence;
      this.#setFull(error);
      this.#retryTimer ??= this.#options.timers.after(FULL_RETRY_MS, () => {
        this.#retryTimer = undefined;
        this.settleNow();
      });
    }
  }

  #views(): KeptViews {
    const { log, snapshots, gates } = this.#options;
    return { snapshots: snapshots.kept(log.durableSequence), gates: gates.list() };
  }

  #noteKept({ keptForGates }: CellChanges): void {
    for (const [container, epoch] of keptForGates) this.#options.gates.noteKept(container, epoch);
  }

  /** Freezes what is to be settled next, the oldest generation or all; returns the ordinal of its last segment. */
  #freeze(): number {
    const { log, generations } = this.#options;
    const oldest = generations.oldestFrozen;
    if (oldest !== undefined && !this.#settleAll) return oldest.lastOrdinal;
    const lastOrdinal = log.seal().at(-1)!.ordinal;
    generations.freeze(lastOrdinal);
    return lastOrdinal;
  }

  #setFull(error: DaosError | undefined): void {
    this.#full = error;
    this.#options.hooks.fullChanged(error);
  }

  get #maintenanceDue(): boolean {
    if (this.#draining || this.#maintenancePostponed) return false;
    return this.#maintenance.isDue;
  }

  async #maintain(): Promise<void> {
    const { settler, hooks } = this.#options;
    const task = this.#maintenance.next();
    if (task === undefined) return;
    const containers = changedContainers(task);
    if (containers !== undefined) hooks.maintaining(containers);
    try {
      const carried = this.#options.prepared.carriedCells();
      const result = await settler.maintain({ task, views: this.#views(), carried });
      hooks.maintained(result);
      this.#noteKept(result);
      if (this.#full !== undefined) this.#fullSequence = 0;
      this.#maintenance.sliceDone(task, result);
    } catch (error) {
      // Rewriting needs some room too. It goes on after the next settle, which may have brought punches.
      if (!hasCode(error, "NO_SPACE")) throw error;
      this.#maintenancePostponed = true;
      this.#maintenance.rejectAll(error);
    } finally {
      hooks.maintenanceEnded();
    }
  }

  /** Settles all that is logged; resolves when it is done or cannot be done. Maintenance may stay for the next start. */
  async drain(): Promise<void> {
    if (this.#stopped !== undefined) return;
    this.#draining = true;
    this.#maintenance.rejectAll(closing());
    this.settleNow();
    await new Promise<void>((resolve) => this.#drainWaiters.push(resolve));
  }

  #releaseDrained(): void {
    for (const resolve of this.#drainWaiters.splice(0)) resolve();
  }

  /** Starts nothing any more. */
  stop(error: Error): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = error;
    this.#markTimer?.();
    this.#idleTimer?.();
    this.#retryTimer?.();
    this.#hold.stop();
    this.#maintenance.stop(error);
    this.#releaseDrained();
  }

  get busy(): boolean {
    return this.#busy;
  }
}

function closing(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot go through the index: the store closes. Open it again.");
}
