/**
 * Targets in memory, for tests of the control plane: what is durable on them (containers' snapshots and bytes) outlives
 * a crash, what is open and the quotas do not.
 */
import { DaosError } from "../../src/base/errors.ts";
import { type Epoch, epochFrom } from "../../src/base/epoch.ts";
import { GIB } from "../../src/base/limits.ts";
import type { TargetControl, TierUsage } from "../../src/control/target-control.ts";
import type { RebuildPolicy, ServedContainer } from "../../src/format/engine-operations.ts";
import type { ScrubSettings } from "../../src/format/scrub.ts";
import type { StoreSpace } from "../../src/store/cell.ts";
import type { CrashPoint } from "./crash-point.ts";

export interface TargetState {
  /** Containers with anything durable on the targets, and their snapshots. */
  readonly containers: Map<number, { snapshots: Set<number>; usage: TierUsage }>;
  readonly destroyed: Set<number>;
  epoch: number;
}

export function emptyTargetState(): TargetState {
  return { containers: new Map(), destroyed: new Set(), epoch: 1000 };
}

export class FakeTargets implements TargetControl {
  readonly state: TargetState;
  readonly #crash: CrashPoint | undefined;
  readonly open = new Map<number, string>();
  readonly quotas = new Map<string, { sizeBytes: number; containers: readonly number[] }>();
  readonly thresholds = new Map<string, number | "auto">();
  readonly scrubs = new Map<string, ScrubSettings>();
  readonly handles = new Map<number, number>();
  readonly calls: string[] = [];
  totals = { scmTotalBytes: 1 * GIB, nvmeTotalBytes: 9 * GIB };
  /** The next call of this name fails so. */
  readonly failures = new Map<string, DaosError>();
  /** Awaited inside each call: lets a test hold one. */
  gate: ((name: string) => Promise<void>) | undefined;

  constructor(state: TargetState = emptyTargetState(), crash?: CrashPoint) {
    this.state = state;
    this.#crash = crash;
  }

  async #step<Result>(name: string, apply: () => Result): Promise<Result> {
    await this.gate?.(name);
    await Promise.resolve();
    this.calls.push(name);
    const failure = this.failures.get(name);
    if (failure !== undefined) throw failure;
    return this.#crash === undefined ? apply() : this.#crash.step(apply);
  }

  async space(): Promise<StoreSpace> {
    this.#crash?.alive();
    return { ...this.totals, scmUsedBytes: 10, logTotalBytes: 100, logUsedBytes: 5, nvmeUsedBytes: 20 };
  }

  async usage(containers: readonly number[]): Promise<ReadonlyMap<number, TierUsage>> {
    this.#crash?.alive();
    return new Map(
      containers.flatMap((number) => {
        const container = this.state.containers.get(number);
        return container === undefined ? [] : [[number, container.usage] as const];
      }),
    );
  }

  openContainer({ number: container }: ServedContainer, pool: string): Promise<void> {
    return this.#step("openContainer", () => {
      if (this.state.destroyed.has(container))
        throw new Error(`container ${container} was destroyed: its number is used`);
      if (!this.state.containers.has(container)) {
        this.state.containers.set(container, { snapshots: new Set(), usage: { scmBytes: 0, nvmeBytes: 0 } });
      }
      this.open.set(container, pool);
    });
  }

  async countHandles(container: number): Promise<number> {
    this.#crash?.alive();
    return this.handles.get(container) ?? 0;
  }

  createSnapshot(container: number): Promise<Epoch> {
    return this.#step("createSnapshot", () => {
      this.state.epoch += 1;
      this.#opened(container).snapshots.add(this.state.epoch);
      return epochFrom(this.state.epoch);
    });
  }

  async listSnapshots(container: number): Promise<readonly Epoch[]> {
    this.#crash?.alive();
    return [...this.#opened(container).snapshots].sort((left, right) => left - right).map(epochFrom);
  }

  destroySnapshot(container: number, _pool: string, epoch: Epoch): Promise<void> {
    return this.#step("destroySnapshot", () => {
      this.#opened(container).snapshots.delete(epoch);
    });
  }

  destroyContainer(container: number): Promise<readonly number[]> {
    return this.#step("destroyContainer", () => {
      this.open.delete(container);
      this.handles.delete(container);
      if (this.state.containers.delete(container)) this.state.destroyed.add(container);
      return [];
    });
  }

  setQuota(
    pool: string,
    sizeBytes: number,
    containers: readonly number[],
    threshold: number | "auto",
    _rebuild: RebuildPolicy,
    scrub: ScrubSettings,
  ): Promise<void> {
    return this.#step("setQuota", () => {
      this.scrubs.set(pool, scrub);
      this.thresholds.set(pool, threshold);
      if (containers.length === 0 && sizeBytes === 0) this.quotas.delete(pool);
      else this.quotas.set(pool, { sizeBytes, containers: [...containers] });
    });
  }

  async keepNotes(): Promise<void> {
    this.#crash?.alive();
  }

  forgetPool(pool: string): Promise<readonly number[]> {
    return this.#step("forgetPool", () => {
      this.thresholds.delete(pool);
      this.quotas.delete(pool);
      return [];
    });
  }

  #opened(container: number): { snapshots: Set<number>; usage: TierUsage } {
    const found = this.state.containers.get(container);
    if (found === undefined || !this.open.has(container)) {
      throw new DaosError("NOT_FOUND", `Cannot use container ${container}: not open.`);
    }
    return found;
  }
}
