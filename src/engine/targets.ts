/**
 * The targets of this engine as the control plane sees them: each call goes to every target's thread, and the answers
 * are joined. A snapshot has one epoch on all targets: with several, an epoch a little ahead is offered to all, and
 * offered anew when one of them has already written beyond it.
 */
import { EPOCH_ORIGIN_MS, type Epoch } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import type { TargetControl, TierUsage } from "../control/target-control.ts";
import type { Clock } from "../contracts/world.ts";
import type { StoreSpace } from "../store/cell.ts";
import type { TargetCalls, TargetCounters } from "./target-calls.ts";
import type { ThreadCaller } from "./thread-call.ts";

/** How far ahead of the clock a common snapshot epoch is chosen: the time a call to all targets takes. */
const SNAPSHOT_LEAD_US = 2_000;
const SNAPSHOT_ATTEMPTS = 16;

export class Targets implements TargetControl {
  readonly #callers: readonly ThreadCaller<TargetCalls>[];
  readonly #clock: Clock;

  constructor(callers: readonly ThreadCaller<TargetCalls>[], clock: Clock) {
    this.#callers = callers;
    this.#clock = clock;
  }

  #all<Result>(call: (caller: ThreadCaller<TargetCalls>) => Promise<Result>): Promise<Result[]> {
    return Promise.all(this.#callers.map(call));
  }

  async space(): Promise<StoreSpace> {
    const spaces = await this.spaceByTarget();
    const sum = (of: (space: StoreSpace) => number): number => spaces.reduce((total, space) => total + of(space), 0);
    return {
      scmTotalBytes: sum((space) => space.scmTotalBytes),
      scmUsedBytes: sum((space) => space.scmUsedBytes),
      nvmeTotalBytes: sum((space) => space.nvmeTotalBytes),
      nvmeUsedBytes: sum((space) => space.nvmeUsedBytes),
    };
  }

  spaceByTarget(): Promise<StoreSpace[]> {
    return this.#all((caller) => caller.call("space", undefined));
  }

  counters(): Promise<TargetCounters[]> {
    return this.#all((caller) => caller.call("counters", undefined));
  }

  async usage(containers: readonly number[]): Promise<ReadonlyMap<number, TierUsage>> {
    const byTarget = await this.#all((caller) => caller.call("usage", containers));
    const sums = new Map<number, TierUsage>();
    for (const [index, container] of containers.entries()) {
      let scmBytes = 0;
      let nvmeBytes = 0;
      for (const usages of byTarget) {
        scmBytes += usages[index]!.scmBytes;
        nvmeBytes += usages[index]!.nvmeBytes;
      }
      sums.set(container, { scmBytes, nvmeBytes });
    }
    return sums;
  }

  async openContainer(container: number): Promise<void> {
    await this.#all((caller) => caller.call("openContainer", container));
  }

  async countHandles(container: number): Promise<number> {
    const counts = await this.#all((caller) => caller.call("countHandles", container));
    return counts.reduce((total, count) => total + count, 0);
  }

  async createSnapshot(container: number): Promise<Epoch> {
    if (this.#callers.length === 1) return this.#callers[0]!.call("createSnapshot", { container });
    for (let attempt = 1; ; attempt += 1) {
      const nowUs = Math.floor((this.#clock.wallMs() - EPOCH_ORIGIN_MS) * 1000);
      const at = (nowUs + SNAPSHOT_LEAD_US * attempt) as Epoch;
      const outcomes = await Promise.allSettled(
        this.#callers.map((caller) => caller.call("createSnapshot", { container, at })),
      );
      const failed = outcomes.find((outcome) => outcome.status === "rejected");
      if (failed === undefined) return at;
      await this.destroySnapshot(container, at);
      if (!hasCode(failed.reason, "CONFLICT") || attempt === SNAPSHOT_ATTEMPTS) throw failed.reason;
    }
  }

  async listSnapshots(container: number): Promise<readonly Epoch[]> {
    const lists = await this.#all((caller) => caller.call("listSnapshots", container));
    return [...new Set(lists.flat())].sort((left, right) => left - right);
  }

  async destroySnapshot(container: number, epoch: Epoch): Promise<void> {
    await this.#all((caller) =>
      caller.call("destroySnapshot", { container, epoch }).catch((error: unknown) => {
        if (!hasCode(error, "NOT_FOUND")) throw error;
      }),
    );
  }

  async destroyContainer(container: number): Promise<void> {
    await this.#all((caller) => caller.call("destroyContainer", container));
  }

  async setQuota(pool: string, sizeBytes: number, containers: readonly number[]): Promise<void> {
    const share = Math.floor(sizeBytes / this.#callers.length);
    await this.#all((caller) => caller.call("setQuota", { pool, sizeBytes: share, containers }));
  }

  /** Stops every target: what runs is finished and what is logged is settled. Rejects with the first failure. */
  async stop(): Promise<void> {
    const outcomes = await Promise.allSettled(this.#callers.map((caller) => caller.call("stop", undefined)));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined)
      throw failed.reason instanceof Error ? failed.reason : new DaosError("IO", String(failed.reason));
  }
}
