/**
 * TargetControl over all engines of the system. What each call does with an engine that is away is told there.
 */
import type { Epoch } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import type { Clock } from "../contracts/world.ts";
import { INLINE_VALUE_BYTES } from "../base/limits.ts";
import type {
  EngineCallName,
  EngineCalls,
  PoolShare,
  RebuildPolicy,
  ServedContainer,
} from "../format/engine-operations.ts";
import type { ScrubSettings } from "../format/scrub.ts";
import type { StoreSpace } from "../store/cell.ts";
import type { EngineLink, Members } from "./members.ts";
import { ranksOf, partakingRanksOf } from "./pool-map-changes.ts";
import type { Notes } from "./notes.ts";
import type { PoolMapStore } from "./pool-map-store.ts";
import { agreeOnEpoch } from "./snapshot-epoch.ts";
import type { TargetControl, TierUsage } from "./target-control.ts";

/** How far ahead of the clock a snapshot's epoch is offered to several engines: the time a call to all of them takes. */
const SNAPSHOT_LEAD_US = 10_000;
const NO_SPACE: StoreSpace = {
  scmTotalBytes: 0,
  scmUsedBytes: 0,
  logTotalBytes: 0,
  logUsedBytes: 0,
  nvmeTotalBytes: 0,
  nvmeUsedBytes: 0,
};

/** Calls that change nothing: an engine that was not reached has missed nothing. */
const QUESTIONS: ReadonlySet<EngineCallName> = new Set([
  "ping",
  "space",
  "usage",
  "countHandles",
  "listSnapshots",
  "fillStatus",
  "scrubStatus",
  "faultyTargets",
]);

type CallResult<Name extends EngineCallName> = ReturnType<EngineCalls[Name]>;

interface Answers<Result> {
  readonly results: readonly { readonly rank: number; readonly result: Result }[];
  /** Ranks that could not be reached. */
  readonly away: readonly number[];
}

export class EngineSet implements TargetControl {
  readonly #members: Members;
  readonly #maps: PoolMapStore;
  readonly #clock: Clock;
  /** What each engine said last. */
  readonly #spaces = new Map<number, StoreSpace>();

  constructor(members: Members, maps: PoolMapStore, clock: Clock) {
    this.#members = members;
    this.#maps = maps;
    this.#clock = clock;
  }

  async space(): Promise<StoreSpace> {
    const spaces = await this.spaceByRank();
    const sum = (of: (space: StoreSpace) => number): number =>
      [...spaces.values()].reduce((total, space) => total + of(space), 0);
    return {
      scmTotalBytes: sum((space) => space.scmTotalBytes),
      scmUsedBytes: sum((space) => space.scmUsedBytes),
      logTotalBytes: sum((space) => space.logTotalBytes),
      logUsedBytes: sum((space) => space.logUsedBytes),
      nvmeTotalBytes: sum((space) => space.nvmeTotalBytes),
      nvmeUsedBytes: sum((space) => space.nvmeUsedBytes),
    };
  }

  async spaceByRank(): Promise<ReadonlyMap<number, StoreSpace>> {
    const members = this.#members.list();
    const { results } = await this.#ask(
      members.map(({ rank }) => rank),
      "space",
      {},
    );
    for (const { rank, result } of results) this.#spaces.set(rank, result);
    return new Map(
      members.map(({ rank, scmBytes, nvmeBytes }) => {
        const unknown = { ...NO_SPACE, scmTotalBytes: scmBytes, nvmeTotalBytes: nvmeBytes };
        return [rank, this.#spaces.get(rank) ?? unknown];
      }),
    );
  }

  async usage(containers: readonly number[], pool: string): Promise<ReadonlyMap<number, TierUsage>> {
    const { results } = await this.#askPool(pool, "usage", { containers });
    return new Map(
      containers.map((container, index) => {
        const usages = results.map(({ result }) => result.usages[index]);
        return [
          container,
          {
            scmBytes: usages.reduce((sum, usage) => sum + (usage?.scmBytes ?? 0), 0),
            nvmeBytes: usages.reduce((sum, usage) => sum + (usage?.nvmeBytes ?? 0), 0),
          },
        ];
      }),
    );
  }

  /** Bytes that these containers take on each engine that answers. */
  async usageByRank(containers: readonly number[], pool: string): Promise<ReadonlyMap<number, number>> {
    const { results } = await this.#askPool(pool, "usage", { containers });
    return new Map(
      results.map(({ rank, result }) => {
        return [rank, result.usages.reduce((sum, used) => sum + (used?.scmBytes ?? 0) + (used?.nvmeBytes ?? 0), 0)];
      }),
    );
  }

  /** An engine that does not know the pool yet is told its map first. */
  async openContainer(container: ServedContainer, pool: string): Promise<void> {
    const stored = await this.#maps.get(pool);
    await Promise.all(
      ranksOf(stored.record).map(async (rank) => {
        const link = this.#members.link(rank);
        if (link === undefined) return;
        try {
          await this.#openOn(link, rank, container, pool);
        } catch (error) {
          if (!isAway(error)) throw error;
          this.#members.missed(rank);
        }
      }),
    );
  }

  async #openOn(link: EngineLink, rank: number, container: ServedContainer, pool: string): Promise<void> {
    try {
      await link.call("openContainer", { container, pool });
    } catch (error) {
      if (!hasCode(error, "STALE")) throw error;
      const { record } = await this.#maps.get(pool);
      const map = this.#maps.addressed(record);
      await link.call("setPool", { pool, map, own: this.#maps.own(record, rank), containers: [container] });
    }
  }

  async countHandles(container: number, pool: string): Promise<number> {
    const { results } = await this.#askPool(pool, "countHandles", { container });
    return results.reduce((total, { result }) => total + result.count, 0);
  }

  async createSnapshot(container: number, pool: string): Promise<Epoch> {
    const ranks = partakingRanksOf((await this.#maps.get(pool)).record);
    if (ranks.length === 1) {
      const { results, away } = await this.#ask(ranks, "createSnapshot", { container });
      if (results[0] === undefined) throw engineAway("take a snapshot", away);
      return results[0].result.epoch;
    }
    const offer = async (at: Epoch): Promise<void> => {
      try {
        const { away } = await this.#ask(ranks, "createSnapshot", { container, at });
        if (away.length > 0) throw engineAway("take a snapshot", away);
      } catch (error) {
        await this.#ask(ranks, "destroySnapshot", { container, epoch: at });
        throw error;
      }
    };
    return agreeOnEpoch(this.#clock, SNAPSHOT_LEAD_US, offer);
  }

  async listSnapshots(container: number, pool: string): Promise<readonly Epoch[]> {
    const { results } = await this.#askPool(pool, "listSnapshots", { containers: [container] });
    const epochs = results.flatMap(({ result }) => result.snapshots[0] ?? []);
    return [...new Set(epochs)].sort((left, right) => left - right);
  }

  async destroySnapshot(container: number, pool: string, epoch: Epoch): Promise<void> {
    await this.#askPool(pool, "destroySnapshot", { container, epoch });
  }

  async destroyContainer(container: number, pool: string): Promise<readonly number[]> {
    return (await this.#askPool(pool, "destroyContainer", { container })).away;
  }

  async keepNotes(pool: string, notes: Notes): Promise<void> {
    const stored = await this.#maps.find(pool);
    const ranks = stored === undefined ? [] : ranksOf(stored.record);
    await Promise.all(ranks.map((rank) => this.keepNotesOn(rank, this.#members.link(rank), notes)));
  }

  /** As `keepNotes`, to one engine. */
  async keepNotesOn(rank: number, link: EngineLink | undefined, notes: Notes): Promise<void> {
    const count = this.#members.get(rank)?.targets.length ?? 0;
    const kept = Array.from({ length: count }, async (_, target) =>
      link?.call("check", { target, name: "keepNotes", value: notes }),
    );
    for (const outcome of await Promise.allSettled(kept)) {
      if (outcome.status === "rejected" && !(outcome.reason instanceof DaosError)) throw outcome.reason;
    }
  }

  async forgetPool(pool: string): Promise<readonly number[]> {
    return (await this.#askPool(pool, "setQuota", goneQuota(pool))).away;
  }

  async setQuota(
    pool: string,
    sizeBytes: number,
    containers: readonly number[],
    thresholdBytes: number | "auto",
    rebuild: RebuildPolicy,
    scrub: ScrubSettings,
  ): Promise<void> {
    const targetBytes = await this.#maps.targetShare(pool, sizeBytes);
    await this.#askPool(pool, "setQuota", { pool, targetBytes, containers, thresholdBytes, rebuild, scrub });
  }

  /** Of a pool that has no map any more: all engines. */
  async #askPool<Name extends EngineCallName>(
    pool: string,
    name: Name,
    value: Parameters<EngineCalls[Name]>[0],
  ): Promise<Answers<CallResult<Name>>> {
    const stored = await this.#maps.find(pool);
    const ranks = stored === undefined ? this.#members.list().map(({ rank }) => rank) : ranksOf(stored.record);
    return this.#ask(ranks, name, value);
  }

  /** Rejects with the first failure that is more than an engine's being away, once all have ended. */
  async #ask<Name extends EngineCallName>(
    ranks: readonly number[],
    name: Name,
    value: Parameters<EngineCalls[Name]>[0],
  ): Promise<Answers<CallResult<Name>>> {
    const results: { rank: number; result: CallResult<Name> }[] = [];
    const away: number[] = [];
    const outcomes = await Promise.allSettled(
      ranks.map(async (rank) => {
        const link = this.#members.link(rank);
        if (link === undefined) return void away.push(rank);
        try {
          results.push({ rank, result: await link.call(name, value) });
        } catch (error) {
          if (!isAway(error)) throw error;
          away.push(rank);
          if (!QUESTIONS.has(name)) this.#members.missed(rank);
        }
      }),
    );
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    return { results, away };
  }
}

/** What an engine is told of a pool that is gone. */
export function goneQuota(pool: string): PoolShare {
  return { pool, targetBytes: 0, containers: [], thresholdBytes: INLINE_VALUE_BYTES };
}

/** The engine could not be asked; what it was to do may or may not have happened. */
export function isAway(error: unknown): boolean {
  return hasCode(error, "UNAVAILABLE") || hasCode(error, "TIMEOUT");
}

function engineAway(action: string, ranks: readonly number[]): DaosError {
  const state = `rank ${ranks.join(", ")} does not answer, and all targets that serve are needed`;
  return new DaosError("UNAVAILABLE", `Cannot ${action}: ${state}. Bring it back or exclude it, then retry.`);
}
