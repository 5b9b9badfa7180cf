/**
 * What maintenance there is to do, in its order: checks of rows, parked reclaims to wake, reclaims to work off, purges, aggregation passes. Passes
 * are asked for, or come by themselves when a container's epoch gate has passed what was kept for it.
 */
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_MAX, type Epoch } from "../base/epoch.ts";
import type { Timers } from "../contracts/world.ts";
import type { KeyRange } from "./cell.ts";
import type { GateTable } from "./gate-table.ts";
import { type MaintenanceResult, type MaintenanceTask, reclaimTask } from "./maintenance.ts";
import { hasParked, type ParkedReclaims } from "./reclaim-table.ts";
import type { RowCheckResult, RowRange } from "./row-check.ts";
import type { IndexReader } from "./settled-index.ts";

/** So long after a pass for a container's gate is due, or ended, the next one begins. */
export const GATE_PASS_PAUSE_MS = 30_000;

interface Aggregation {
  readonly container: number;
  cursor: ByteString;
  resolve(): void;
  reject(error: Error): void;
}

interface Check {
  readonly range: RowRange;
  resolve(result: CheckedSlice): void;
  reject(error: Error): void;
}

/** `next`: where the check goes on; undefined: it is done. */
export type CheckedSlice = RowCheckResult & { readonly next: ByteString | undefined };

interface Purge {
  ranges: readonly KeyRange[];
  /** It begins when all records up to this sequence are settled. */
  readonly sequence: number;
  resolve(): void;
  reject(error: Error): void;
}

export interface MaintenanceQueueOptions {
  readonly timers: Timers;
  /** The target's thread's. */
  readonly index: IndexReader;
  readonly gates: GateTable;
  /** The last record of those that are settled without a gap. */
  readonly settledTo: () => number;
  /** Something was added. */
  readonly added: () => void;
}

export class MaintenanceQueue {
  readonly #options: MaintenanceQueueOptions;
  #reclaimsPending = true;
  /** By container. All at first, for what parked them may be gone since. */
  readonly #wakes = new Map<number | undefined, ParkedReclaims>();
  readonly #aggregations: Aggregation[] = [];
  readonly #purges: Purge[] = [];
  readonly #checks: Check[] = [];
  #passTimer: (() => void) | undefined;
  #isStopped = false;

  constructor(options: MaintenanceQueueOptions) {
    this.#options = options;
    this.wakeReclaims(undefined);
  }

  /** Parked reclaims of the container, or of all, may have become able to go on. */
  wakeReclaims(container: number | undefined): void {
    this.#wake({ container, from: 0 as Epoch, to: EPOCH_MAX });
  }

  #wake(parked: ParkedReclaims): void {
    const { container, from, to } = this.#wakes.get(parked.container) ?? parked;
    this.#wakes.set(container, {
      container,
      from: Math.min(from, parked.from) as Epoch,
      to: Math.max(to, parked.to) as Epoch,
    });
  }

  reclaimsAdded(): void {
    this.#reclaimsPending = true;
  }

  /** Resolves when the container was gone through. */
  aggregate(container: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#aggregations.push({ container, cursor: "" as ByteString, resolve, reject });
    });
  }

  /** See CellStore.purge. `sequence`: of the last record that may have something in the ranges. */
  purge(ranges: readonly KeyRange[], sequence: number): Promise<void> {
    if (ranges.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#purges.push({ ranges, sequence, resolve, reject });
    });
  }

  /** Resolves when a slice of the rows was checked. */
  check(range: RowRange): Promise<CheckedSlice> {
    return new Promise((resolve, reject) => this.#checks.push({ range, resolve, reject }));
  }

  get #isPurgeDue(): boolean {
    const purge = this.#purges[0];
    return purge !== undefined && this.#options.settledTo() >= purge.sequence;
  }

  /** While nothing is being settled or maintained: takes in what raised gates have come to. */
  lookAtGates(): void {
    const { gates, index } = this.#options;
    for (const reached of gates.takeReached()) if (hasParked(index, reached)) this.#wake(reached);
    this.#armPasses();
  }

  #armPasses(): void {
    const { gates, timers } = this.#options;
    if (this.#passTimer !== undefined || this.#isStopped || gates.due().length === 0) return;
    this.#passTimer = timers.after(GATE_PASS_PAUSE_MS, () => {
      this.#passTimer = undefined;
      for (const container of gates.due()) this.#pass(container);
      this.#options.added();
    });
  }

  #pass(container: number): void {
    const { gates } = this.#options;
    const ended = (isDone: boolean) => () => {
      gates.passEnded(container, isDone);
      this.#armPasses();
    };
    gates.passBegun(container);
    const cursor = "" as ByteString;
    this.#aggregations.push({ container, cursor, resolve: ended(true), reject: ended(false) });
  }

  get isDue(): boolean {
    if (this.#wakes.size > 0 || this.#reclaimsPending || this.#aggregations.length > 0) return true;
    return this.#isPurgeDue || this.#checks.length > 0;
  }

  next(): MaintenanceTask | undefined {
    // Somebody may wait for what it mends, and it is a moment's work.
    const check = this.#checks[0];
    if (check !== undefined) return { kind: "check", ...check.range };
    for (const parked of this.#wakes.values()) return { kind: "wake", parked };
    const reclaim = this.#reclaimsPending ? reclaimTask(this.#options.index) : undefined;
    if (reclaim !== undefined) return reclaim;
    this.#reclaimsPending = false;
    if (this.#isPurgeDue) return { kind: "purge", ranges: this.#purges[0]!.ranges };
    const aggregation = this.#aggregations[0];
    if (aggregation === undefined) return undefined;
    return { kind: "aggregate", container: aggregation.container, cursor: aggregation.cursor };
  }

  /** A slice of the task that `next` gave is done. */
  sliceDone(task: MaintenanceTask, { cursor, checked }: MaintenanceResult): void {
    if (task.kind === "check") this.#checks.shift()?.resolve({ ...checked!, next: cursor });
    else if (task.kind === "wake" && cursor === undefined) {
      const { container } = task.parked;
      // It may have become another one meanwhile.
      if (this.#wakes.get(container) === task.parked) this.#wakes.delete(container);
      this.#reclaimsPending = true;
    } else if (task.kind === "aggregate") {
      const aggregation = this.#aggregations[0]!;
      if (cursor !== undefined) aggregation.cursor = cursor;
      else this.#aggregations.shift()?.resolve();
    } else if (task.kind === "purge") {
      if (cursor === undefined) this.#purges.shift()?.resolve();
      else this.#purges[0]!.ranges = rangesFrom(task.ranges, cursor);
    }
  }

  /** Rejects aggregations, purges and checks. */
  rejectAll(error: Error): void {
    const waiting = [...this.#aggregations.splice(0), ...this.#purges.splice(0), ...this.#checks.splice(0)];
    for (const work of waiting) work.reject(error);
  }

  stop(error: Error): void {
    this.#isStopped = true;
    this.#passTimer?.();
    this.rejectAll(error);
  }
}

/** What of the ranges, ascending, is not below the key. */
function rangesFrom(ranges: readonly KeyRange[], key: ByteString): KeyRange[] {
  return ranges.filter(({ to }) => to > key).map(({ from, to }) => ({ from: from < key ? key : from, to }));
}
