/**
 * The targets of this engine as its EngineService sees them: each call goes to every target's thread, and the answers
 * are joined. A snapshot has one epoch on all targets: with several, an epoch a little ahead is offered to all, and
 * offered anew when one of them has already written beyond it.
 */
import type { Epoch } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { scrubSettings } from "../base/scrub-properties.ts";
import type { TierUsage } from "../control/target-control.ts";
import { agreeOnEpoch } from "../control/snapshot-epoch.ts";
import type { Clock, Timers } from "../contracts/world.ts";
import type { TargetQuestionName } from "../format/check-questions.ts";
import type { PoolAssignment, PoolShare, ServedContainer, TargetFillStatus } from "../format/engine-operations.ts";
import type { PoolScrubArguments, TargetScrubStatus } from "../format/scrub.ts";
import type { StoreSpace } from "../store/cell.ts";
import type { TargetCalls, TargetCounters } from "./target-calls.ts";
import { automaticThreshold, type TierSpeed } from "./storage-speed.ts";
import { withTimeLimit } from "./time-limit.ts";
import type { ThreadCaller } from "./thread-call.ts";

/** How far ahead of the clock a common snapshot epoch is chosen: the time a call to all targets takes. */
const SNAPSHOT_LEAD_US = 2_000;
/** A question that a target answers from memory: one that does not within this time is taken to hang, milliseconds. */
export const TARGET_ANSWER_MS = 2_000;
const NO_SPACE: StoreSpace = {
  scmTotalBytes: 0,
  scmUsedBytes: 0,
  logTotalBytes: 0,
  logUsedBytes: 0,
  nvmeTotalBytes: 0,
  nvmeUsedBytes: 0,
};
const NO_COUNTERS: TargetCounters = {
  connections: 0,
  requests: 0,
  failures: 0,
  fetches: 0,
  updates: 0,
  punches: 0,
  stagedBytes: 0,
  destagedBytes: 0,
  damagedPlaces: 0,
  repairedPlaces: 0,
  lostPlaces: 0,
  damagedFrames: 0,
  damagedWrites: 0,
  damagedReads: 0,
  scmCrowded: 0,
  filledDkeys: 0,
  filledBytes: 0,
  receivedBytes: 0,
};

export class Targets {
  readonly #callers: readonly ThreadCaller<TargetCalls>[];
  readonly #clock: Clock;
  readonly #timers: Timers | undefined;
  readonly #automaticBytes: number;
  /** What each target said last. */
  readonly #spaces: StoreSpace[] = [];
  readonly #counters: TargetCounters[] = [];

  /** `speed` decides what an automatic threshold is. With `timers`, questions are not waited for longer than TARGET_ANSWER_MS. */
  constructor(callers: readonly ThreadCaller<TargetCalls>[], clock: Clock, timers?: Timers, speed?: TierSpeed) {
    this.#automaticBytes = automaticThreshold(speed);
    this.#callers = callers;
    this.#clock = clock;
    this.#timers = timers;
  }

  /** The answer of target `index` to a question that changes nothing. Rejects with TIMEOUT when it hangs. */
  ask<Name extends keyof TargetCalls>(
    index: number,
    name: Name,
    value: Parameters<TargetCalls[Name]>[0],
  ): Promise<Awaited<ReturnType<TargetCalls[Name]>>> {
    const answer = this.#callers[index]!.call(name, value);
    if (this.#timers === undefined) return answer;
    const state = `it has not answered for ${TARGET_ANSWER_MS} ms`;
    const advice = "Look at its device with `daos storage query`";
    return withTimeLimit(this.#timers, TARGET_ANSWER_MS, answer, `Cannot ask target ${index}: ${state}. ${advice}.`);
  }

  /** Resolves with the reason when target `index` finds its device faulty. */
  deviceFault(index: number): Promise<string> {
    return this.#callers[index]!.call("deviceFault", undefined);
  }

  /** Resolves with the reason when target `index` finds its store damaged, see TargetCalls. */
  storeDamage(index: number): Promise<string> {
    return this.#callers[index]!.call("storeDamage", undefined);
  }

  /** Each target's answer; of one that hangs, what it said last. */
  #askAll<Name extends "space" | "counters">(
    name: Name,
    last: Awaited<ReturnType<TargetCalls[Name]>>[],
    nothing: Awaited<ReturnType<TargetCalls[Name]>>,
  ): Promise<Awaited<ReturnType<TargetCalls[Name]>>[]> {
    return Promise.all(
      this.#callers.map(async (_caller, index) => {
        try {
          last[index] = await this.ask(index, name, undefined);
        } catch (error) {
          if (!hasCode(error, "TIMEOUT")) throw error;
        }
        return last[index] ?? nothing;
      }),
    );
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
      logTotalBytes: sum((space) => space.logTotalBytes),
      logUsedBytes: sum((space) => space.logUsedBytes),
      nvmeTotalBytes: sum((space) => space.nvmeTotalBytes),
      nvmeUsedBytes: sum((space) => space.nvmeUsedBytes),
    };
  }

  spaceByTarget(): Promise<StoreSpace[]> {
    return this.#askAll("space", this.#spaces, NO_SPACE);
  }

  counters(): Promise<TargetCounters[]> {
    return this.#askAll("counters", this.#counters, NO_COUNTERS);
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

  get count(): number {
    return this.#callers.length;
  }

  /** Each target's map says which one it is. Opens the pool's containers. */
  async setPool({ pool, map, own, containers }: PoolAssignment): Promise<void> {
    await Promise.all(
      this.#callers.map((caller, index) => caller.call("setMap", { pool, map, own: own[index] ?? -1, containers })),
    );
  }

  async openContainer(container: ServedContainer, pool: string): Promise<void> {
    await this.#all((caller) => caller.call("openContainer", { container, pool }));
  }

  /** Calls `wanted` with each pool whose map a target asks for, until the threads end. Returns at once. */
  watchMaps(wanted: (pool: string) => void): void {
    for (const caller of this.#callers) {
      const next = (): void => {
        caller.call("mapWanted", undefined).then(
          (pool) => {
            wanted(pool);
            next();
          },
          // The thread has ended, and the engine with it.
          () => {},
        );
      };
      next();
    }
  }

  /** Sets the lease of target `index`; answers with its clock. */
  setLease(index: number, untilNs: number): Promise<number> {
    return this.#callers[index]!.call("setLease", untilNs);
  }

  async countHandles(container: number): Promise<number> {
    const counts = await this.#all((caller) => caller.call("countHandles", container));
    return counts.reduce((total, count) => total + count, 0);
  }

  /** At `at`: on all targets or, when one refuses, on none; CONFLICT when one has written beyond it. */
  async createSnapshotAt(container: number, at: Epoch): Promise<void> {
    const outcomes = await Promise.allSettled(
      this.#callers.map((caller) => caller.call("createSnapshot", { container, at })),
    );
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed === undefined) return;
    await this.destroySnapshot(container, at);
    throw failed.reason;
  }

  /** At an epoch that all targets agree on. */
  createSnapshot(container: number): Promise<Epoch> {
    if (this.#callers.length === 1) return this.#callers[0]!.call("createSnapshot", { container });
    return agreeOnEpoch(this.#clock, SNAPSHOT_LEAD_US, (at) => this.createSnapshotAt(container, at));
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

  async setQuota(share: PoolShare): Promise<void> {
    const { pool, targetBytes, containers, thresholdBytes: threshold, rebuild } = share;
    const thresholdBytes = threshold === "auto" ? this.#automaticBytes : threshold;
    const scrub = share.scrub ?? scrubSettings({});
    const quota = { pool, sizeBytes: targetBytes, containers, thresholdBytes, rebuild, scrub };
    await this.#all((caller) => caller.call("setQuota", quota));
  }

  /** Begins or ends a pass of a scrub on all targets that have something of the pool. */
  async scrub(order: PoolScrubArguments): Promise<void> {
    await this.#all((caller) =>
      caller.call("scrub", order).catch((error: unknown) => {
        if (!hasCode(error, "NOT_FOUND")) throw error;
      }),
    );
  }

  /** Of each target; null: it has nothing of the pool. */
  scrubStatus(pool: string): Promise<(TargetScrubStatus | null)[]> {
    return this.#all((caller) => caller.call("scrubStatus", pool));
  }

  /** Targets whose device is faulty; one that does not answer is not among them. */
  async faulty(): Promise<number[]> {
    const reports = await Promise.allSettled(this.#callers.map((_, index) => this.ask(index, "device", undefined)));
    return reports.flatMap((report, index) =>
      report.status === "fulfilled" && report.value.state === "faulty" ? [index] : [],
    );
  }

  /** Of each target; null: it has no part in the pool. */
  fillStatus(pool: string, containers: readonly number[]): Promise<(TargetFillStatus | null)[]> {
    return this.#all((caller) => caller.call("fillStatus", { pool, containers }));
  }

  /** Asks target `index` for a check; NOT_FOUND when there is no such target. */
  check(index: number, name: TargetQuestionName, value: unknown): Promise<object> {
    const caller = this.#callers[index];
    if (caller !== undefined) return caller.call("check", { name, value });
    throw new DaosError("NOT_FOUND", `Cannot ask target ${index}: the engine has ${this.#callers.length}.`);
  }

  /** Stops every target: what runs is finished and what is logged is settled. Rejects with the first failure. */
  async stop(): Promise<void> {
    const outcomes = await Promise.allSettled(this.#callers.map((caller) => caller.call("stop", undefined)));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined)
      throw failed.reason instanceof Error ? failed.reason : new DaosError("IO", String(failed.reason));
  }
}
