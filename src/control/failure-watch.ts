/**
 * Acts on engines that are silent for too long: excludes them from the pools that bear it. A pool that would lose data
 * keeps them in its map, and they are looked at again later.
 */
import { poolKey } from "../format/meta-key.ts";
import type { Members } from "./members.ts";
import type { MetaRecords } from "./meta-records.ts";
import type { PoolMapService } from "./pool-map-service.ts";
import type { Verdicts } from "./verdicts.ts";
import { Watch, type WatchParts } from "./watch.ts";

const TICK_MS = 250;
/** A pool that did not bear an exclusion is asked again after this time, milliseconds. */
const RETRY_MS = 5_000;

export interface FailureWatchParts extends WatchParts {
  readonly members: Members;
  readonly verdicts: Verdicts;
  readonly maps: PoolMapService;
  readonly records: MetaRecords;
}

export class FailureWatch extends Watch {
  readonly #parts: FailureWatchParts;
  readonly #suspects = new Set<number>();
  readonly #dead = new Set<number>();
  readonly #reasons = new Map<number, string>();
  readonly #retryAtMs = new Map<number, number>();
  #rosterVersion = 0;

  constructor(parts: FailureWatchParts) {
    super(parts, TICK_MS);
    this.#parts = parts;
  }

  /** Why a suspect stays in the maps. */
  reason(rank: number): string | undefined {
    if (this.#parts.members.isHeardOnlyHere(rank)) {
      return "its heartbeats come and its datagrams do not: let UDP through to the port of its address";
    }
    return this.#reasons.get(rank);
  }

  /** One look at all engines. */
  async tick(): Promise<void> {
    const { members, verdicts } = this.#parts;
    const roster = members.roster();
    if (roster.version !== this.#rosterVersion) verdicts.adopt(roster);
    this.#rosterVersion = roster.version;
    this.#tellSuspects();
    const nowMs = members.nowMs();
    for (const rank of members.dueExclusions()) {
      if (nowMs < (this.#retryAtMs.get(rank) ?? 0)) continue;
      await this.#exclude(rank);
    }
  }

  #tellSuspects(): void {
    const { members, event } = this.#parts;
    for (const { rank } of members.list()) {
      const isSuspect = members.state(rank) === "suspect";
      if (isSuspect && !this.#suspects.has(rank)) {
        event("engine_suspect", `rank ${rank} is suspect: it is not heard of`, { rank });
      }
      if (isSuspect && members.isFoundDead(rank) && !this.#dead.has(rank)) {
        this.#dead.add(rank);
        event("engine_dead", `rank ${rank} is dead, as the other engines find`, { rank });
      }
      if (!isSuspect && this.#suspects.delete(rank)) {
        this.#reasons.delete(rank);
        this.#retryAtMs.delete(rank);
        this.#dead.delete(rank);
        const state = members.state(rank);
        event(state === "joined" ? "engine_recovered" : "info", `rank ${rank} is ${state}`, { rank });
      }
      if (isSuspect) this.#suspects.add(rank);
    }
  }

  async #exclude(rank: number): Promise<void> {
    const { members, maps, records, event } = this.#parts;
    const refusals: string[] = [];
    for (const id of await maps.poolsOf(rank)) {
      const pool = await records.get("pool", poolKey(id));
      if (pool?.record.state !== "ready") continue;
      const refusal = await maps.excludeSilent(pool.record, rank);
      if (refusal !== undefined) refusals.push(refusal);
    }
    if (members.state(rank) !== "suspect") return;
    if (refusals.length > 0) {
      const isNew = !this.#reasons.has(rank);
      this.#reasons.set(rank, refusals[0]!);
      this.#retryAtMs.set(rank, members.nowMs() + RETRY_MS);
      if (isNew) event("engine_kept", `rank ${rank} stays in ${refusals.length} pool map(s): ${refusals[0]}`, { rank });
      return;
    }
    members.life.left(rank);
    members.away(rank);
    await members.setState(rank, "excluded");
    event("engine_excluded", `rank ${rank} is excluded from all pools: it was not heard of for too long`, { rank });
  }
}
