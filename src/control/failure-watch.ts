/**
 * Acts on engines that are silent for too long: excludes them from the pools that bear it. A pool that would lose data
 * keeps them in its map, and they are looked at again later.
 *
 * Engines that fall silent together, as those of a host or rack do, are excluded together, in one change of each map: so their pools
 * wait once, and what they bear is decided by all that is gone, not by who was looked at first.
 */
import { SUSPECT_AFTER_MS } from "../base/limits.ts";
import { poolKey } from "../format/meta-key.ts";
import type { Members } from "./members.ts";
import type { MetaRecords } from "./meta-records.ts";
import type { PoolMapService } from "./pool-map-service.ts";
import type { SelfHeal } from "./self-heal.ts";
import type { Verdicts } from "./verdicts.ts";
import { Watch, type WatchParts } from "./watch.ts";

const TICK_MS = 250;
/** A pool that did not bear an exclusion is asked again after this time, milliseconds. */
const RETRY_MS = 5_000;
/** Engines that were heard of last within this time of each other may have died of one cause, milliseconds. */
const AT_ONCE_MS = 1_500;
/** So long one that is due waits for others that seem to die with it, milliseconds: heartbeats, and so leases, are 500 ms apart. */
const COLLECT_MS = 1_000;

export interface FailureWatchParts extends WatchParts {
  readonly members: Members;
  readonly verdicts: Verdicts;
  readonly maps: PoolMapService;
  readonly records: MetaRecords;
  readonly selfHeal: SelfHeal;
}

export class FailureWatch extends Watch {
  readonly #parts: FailureWatchParts;
  readonly #suspects = new Set<number>();
  readonly #dead = new Set<number>();
  readonly #reasons = new Map<number, string>();
  readonly #retryAtMs = new Map<number, number>();
  #rosterVersion = 0;
  /** Since when somebody is due and waits for others. */
  #collectingSinceMs: number | undefined;

  constructor(parts: FailureWatchParts) {
    super(parts, TICK_MS);
    this.#parts = parts;
  }

  /** Why a suspect stays in the maps. */
  reason(rank: number): string | undefined {
    if (this.#parts.members.isHeardOnlyHere(rank)) {
      return "its heartbeats come and its datagrams do not: let UDP through to the port of its address";
    }
    if (!this.#parts.selfHeal.allows("exclude")) {
      return "self-heal flag `exclude` is off: `daos system self-heal set` turns it on";
    }
    return this.#reasons.get(rank);
  }

  /** One look at all engines. */
  async tick(): Promise<void> {
    const { members, verdicts, selfHeal } = this.#parts;
    const roster = members.roster();
    if (roster.version !== this.#rosterVersion) verdicts.adopt(roster);
    this.#rosterVersion = roster.version;
    this.#tellSuspects();
    const nowMs = members.nowMs();
    // Asked for in any case: it is what notices our own stalls.
    const suspected = members.dueExclusions();
    const due = selfHeal.allows("exclude") ? suspected : [];
    if (due.every((rank) => nowMs < (this.#retryAtMs.get(rank) ?? 0))) {
      this.#collectingSinceMs = undefined;
      return;
    }
    this.#collectingSinceMs ??= nowMs;
    if (nowMs - this.#collectingSinceMs < COLLECT_MS && this.#hasCompanions(due)) return;
    this.#collectingSinceMs = undefined;
    await this.#exclude(due);
  }

  /** Whether another suspect fell silent when one of these did, and is not due yet. */
  #hasCompanions(due: readonly number[]): boolean {
    const { members } = this.#parts;
    const heardMs = due.map((rank) => members.life.heardMs(rank));
    return members.list().some(({ rank }) => {
      if (due.includes(rank) || members.state(rank) !== "suspect" || members.isHeardOnlyHere(rank)) return false;
      return heardMs.some((oneMs) => Math.abs(oneMs - members.life.heardMs(rank)) <= AT_ONCE_MS);
    });
  }

  #tellSuspects(): void {
    const { members, event } = this.#parts;
    for (const { rank } of members.list()) {
      const isSuspect = members.state(rank) === "suspect";
      // One whose connection has just ended, as all have that were here under the leader before, is given time to join.
      const isSilent = members.nowMs() - members.life.heardMs(rank) > SUSPECT_AFTER_MS;
      if (isSuspect && !isSilent) continue;
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

  /** These at once, from all pools at once. */
  async #exclude(due: readonly number[]): Promise<void> {
    const { maps, selfHeal } = this.#parts;
    const refusals = new Map<number, string[]>();
    const affected = selfHeal.allows("pool_exclude") ? await maps.poolsOf(due) : [];
    await Promise.all(
      affected.map(async ({ pool, ranks }) => {
        const refusal = await this.#excludeFrom(pool, ranks);
        if (refusal === undefined) return;
        for (const rank of ranks) refusals.set(rank, [...(refusals.get(rank) ?? []), refusal]);
      }),
    );
    for (const rank of due) await this.#settle(rank, refusals.get(rank) ?? []);
  }

  async #excludeFrom(id: string, ranks: readonly number[]): Promise<string | undefined> {
    const pool = await this.#parts.records.get("pool", poolKey(id));
    return pool?.record.state === "ready" ? this.#parts.maps.excludeSilent(pool.record, ranks) : undefined;
  }

  async #settle(rank: number, refusals: readonly string[]): Promise<void> {
    const { members, event, selfHeal } = this.#parts;
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
    const scope = selfHeal.allows("pool_exclude")
      ? "is excluded from all pools"
      : "is excluded from the system; pools keep it, for self-heal flag `pool_exclude` is off";
    event("engine_excluded", `rank ${rank} ${scope}: it was not heard of for too long`, { rank });
  }
}
