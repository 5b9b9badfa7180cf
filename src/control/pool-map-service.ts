/**
 * Pool maps in use: who changes them, who is told, and from when on a change counts.
 *
 * A change is committed first. An exclusion is effective once every engine that it takes something from has the new map,
 * or holds no lease any more, and the others' clocks are past what it has served: only then the others and the clients hear
 * of it, so that never two targets serve the same data by different maps, and no write goes before what was read.
 * `forClients` and `assignment` wait for that, also after a restart of the control plane.
 */
import { EPOCH_MAX_SKEW_US } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { selfHealOf } from "../base/property-values.ts";
import type { TellEvent } from "../base/events.ts";
import type { Clock, Timers } from "../contracts/world.ts";
import type { PoolAssignment } from "../format/engine-operations.ts";
import { containerPrefix, MAP_PREFIX } from "../format/meta-key.ts";
import type { MapRecord, PoolRecord } from "../format/meta-record.ts";
import type { PoolReference } from "../format/operations.ts";
import type { PoolTargetsArguments, PoolTargetsReply } from "../format/pool-targets.ts";
import { outrunsSingles, type PoolMap } from "../format/pool-map.ts";
import type { Catalogue } from "./catalogue.ts";
import { beingDestroyed } from "./control-parts.ts";
import { isAway } from "./engine-set.ts";
import type { KeyedLock } from "./keyed-lock.ts";
import { mapEvents } from "./map-events.ts";
import type { EngineLink, Members } from "./members.ts";
import { type Change, type MetaRecords, putRecord, type Stored, unchanged } from "./meta-records.ts";
import { unmarked } from "./request-outcomes.ts";
import { servedContainer } from "./served-container.ts";
import {
  completeAll,
  completeRebuilds,
  completeTargets,
  downRanksOf,
  excludeTargets,
  ranksOf,
  reintegrateTargets,
} from "./pool-map-changes.ts";
import type { PoolMapStore } from "./pool-map-store.ts";

/** An engine that has not taken an exclusion within this time gets no lease any more, milliseconds. */
const ACKNOWLEDGE_MS = 1_000;
const WAIT_STEP_MS = 50;
/** What an engine has served may be of an epoch so far ahead of the clocks of those that take its place, milliseconds. */
const CLOCKS_MS = EPOCH_MAX_SKEW_US / 1_000;

/** What decides whether targets may be excluded without losing what they hold. */
export interface ExclusionFacts {
  readonly pool: PoolRecord;
  /** As it would be. */
  readonly map: MapRecord;
  /** Faults that every container of the pool survives; undefined: it has none. */
  readonly leastRedundancy: number | undefined;
}
export type ExclusionRule = (facts: ExclusionFacts) => boolean;

/** So many engines may be down at once as the least redundant container survives faults. */
export const tolerates = ({ map, leastRedundancy }: Pick<ExclusionFacts, "map" | "leastRedundancy">): boolean =>
  leastRedundancy === undefined || downRanksOf(map).length <= leastRedundancy;

export interface PoolMapServiceParts {
  readonly records: MetaRecords;
  readonly locks: KeyedLock;
  readonly members: Members;
  readonly store: PoolMapStore;
  readonly catalogue: Catalogue;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly mayExclude: ExclusionRule;
  readonly event: TellEvent;
  /** Shares of the targets follow the map, and so do their notes. */
  readonly changed: (pool: string) => Promise<void>;
}

export class PoolMapService {
  readonly #parts: PoolMapServiceParts;
  /** The version that an engine has acknowledged, by `rank/pool`. */
  readonly #acknowledged = new Map<string, number>();
  /** By pool and version: settles when it is effective. */
  readonly #becoming = new Map<string, Promise<void>>();

  constructor(parts: PoolMapServiceParts) {
    this.#parts = parts;
  }

  async queryTargets(args: PoolReference): Promise<PoolTargetsReply> {
    const { record } = await this.#parts.catalogue.pool(args.pool);
    return { pool: record.label, map: this.#parts.store.addressed((await this.#parts.store.get(record.id)).record) };
  }

  /** Without force BUSY when containers would lose what they hold. Resolves when the change is effective. */
  exclude(args: PoolTargetsArguments, mark = unmarked, isSilent = false): Promise<PoolTargetsReply> {
    return this.change(
      args,
      "exclude targets from",
      async (pool, map) => {
        const next = excludeTargets(pool.label, map, args, isSilent);
        if (next !== map && args.force !== true) await this.#checkTolerated(pool, next);
        return next;
      },
      mark,
    );
  }

  /**
   * Rejects with UNAVAILABLE when an engine of theirs is away, BUSY while others are still being filled with what they had.
   * Targets of pools that keep copies are UP then, and UPIN once they are filled; those of others at once.
   */
  async reintegrate(args: PoolTargetsArguments, mark = unmarked): Promise<PoolTargetsReply> {
    const { record } = await this.#parts.catalogue.pool(args.pool);
    const isFilled = await this.#isFilled(record.id);
    const reply = await this.change(
      args,
      "reintegrate targets of",
      async (pool, map) => {
        const next = reintegrateTargets(pool.label, map, args, isFilled);
        this.#checkHere(pool, map, next);
        return next;
      },
      mark,
    );
    return isFilled ? reply : this.#completeUnfilled(record.id, reply);
  }

  /** Of targets that were taken back: as `reintegrate` ends. */
  async reintegrateAgain(pool: string): Promise<PoolTargetsReply> {
    const reply = await this.changeAgain(pool);
    return (await this.#isFilled(pool)) ? reply : this.#completeUnfilled(pool, reply);
  }

  /** Whether targets that come back are to be filled with what they missed. */
  async #isFilled(pool: string): Promise<boolean> {
    const { record } = await this.#parts.store.get(pool);
    return (await this.keepsCopies(pool)) || record.targets.some(({ drained }) => drained !== undefined);
  }

  /** Throws UNAVAILABLE when an engine is away whose targets come back. */
  #checkHere(pool: PoolRecord, before: MapRecord, after: MapRecord): void {
    for (const [place, { rank, state }] of after.targets.entries()) {
      if (state !== "UP" || before.targets[place]!.state === "UP" || this.#parts.members.link(rank) !== undefined)
        continue;
      const away = `the engine of rank ${rank} is ${this.#parts.members.state(rank)}. Start it first`;
      throw new DaosError("UNAVAILABLE", `Cannot reintegrate targets of pool "${pool.label}": ${away}.`);
    }
  }

  async #completeUnfilled(id: string, reply: PoolTargetsReply): Promise<PoolTargetsReply> {
    const targets = reply.map.targets.filter(({ state }) => state === "UP").map(({ index }) => index);
    if (targets.length === 0) return reply;
    return this.change({ pool: id }, "complete the reintegration of", async (pool, map) =>
      completeTargets(pool.label, map, { targets }),
    );
  }

  /**
   * All is filled under this version of the map, of what can be reached. Nothing happens when there is a newer one, and targets
   * take nothing over whose only copy may be away.
   */
  completeFilled(pool: string, version: number): Promise<PoolTargetsReply> {
    return this.change({ pool }, "complete the rebuild of", async (found, map) => {
      if (map.version !== version) return map;
      return (await this.isSingleAway(pool, map)) ? completeRebuilds(found.label, map) : completeAll(found.label, map);
    });
  }

  /** Whether what has one copy waits for targets that are gone before it is moved. */
  async isSingleAway(pool: string, map: MapRecord): Promise<boolean> {
    return outrunsSingles(map) && (await this.#redundancies(pool)).includes(0);
  }

  /** Whether a container of the pool may hold copies. */
  async keepsCopies(pool: string): Promise<boolean> {
    const containers = await this.#parts.records.all("container", containerPrefix(pool));
    return containers.some(({ record: { properties } }) => Number(properties["rd_fac"] ?? 0) > 0);
  }

  /** More engines are down than a container with redundancy survives: what they had is not to be had elsewhere. */
  async isTooMuchDown(pool: string, map: MapRecord): Promise<boolean> {
    const factors = (await this.#redundancies(pool)).filter((factor) => factor > 0);
    return factors.length > 0 && !tolerates({ map, leastRedundancy: Math.min(...factors) });
  }

  /**
   * Excludes silent engines from one pool, those that it has all at once, or none of them: what is lost together is judged
   * together. Resolves with the reason when that must not be.
   */
  excludeSilent(pool: PoolRecord, ranks: readonly number[]): Promise<string | undefined> {
    return this.#excludeIfBorne(pool, { ranks });
  }

  /** The same of targets whose device is faulty. */
  excludeFaulty(pool: PoolRecord, targets: readonly number[]): Promise<string | undefined> {
    return this.#excludeIfBorne(pool, { targets });
  }

  async #excludeIfBorne(
    pool: PoolRecord,
    selection: Pick<PoolTargetsArguments, "ranks" | "targets">,
  ): Promise<string | undefined> {
    if (!selfHealOf(pool.properties).has("exclude")) return `property self_heal of pool "${pool.label}" has no exclude`;
    try {
      await this.exclude({ pool: pool.id, ...selection }, unmarked, true);
      return undefined;
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      return error.message;
    }
  }

  /** Pools whose maps name some of these ranks, and which. */
  async poolsOf(ranks: readonly number[]): Promise<{ readonly pool: string; readonly ranks: readonly number[] }[]> {
    const maps = await this.#parts.records.all("map", MAP_PREFIX);
    return maps.flatMap(({ key, record }) => {
      const named = ranksOf(record).filter((rank) => ranks.includes(rank));
      return named.length === 0 ? [] : [{ pool: key.slice(MAP_PREFIX.length), ranks: named }];
    });
  }

  /** Which pool may need what these targets of an engine have; undefined: all of it is elsewhere. */
  async needOf(rank: number, targets: readonly number[]): Promise<string | undefined> {
    for (const { key, record } of await this.#parts.records.all("map", MAP_PREFIX)) {
      const own = record.targets.filter((target) => target.rank === rank && targets.includes(target.target));
      const needed = own.find(({ state }) => state !== "DOWNOUT");
      if (needed !== undefined)
        return `target ${needed.index} of pool ${key.slice(MAP_PREFIX.length)} is ${needed.state}`;
    }
    return undefined;
  }

  /** The map to work by now. Rejects with UNAVAILABLE when an exclusion takes too long to become effective. */
  async forClients(pool: string): Promise<PoolMap> {
    const { record } = await this.#parts.store.get(pool);
    await this.#effective(pool, record);
    return this.#parts.store.addressed(record);
  }

  /**
   * What an engine must know of a pool, once the map is effective unless it takes something from this engine; undefined when
   * the pool is gone or the engine has no part in it.
   */
  async assignment(pool: string, rank: number): Promise<PoolAssignment | undefined> {
    const { store, records } = this.#parts;
    const stored = await store.find(pool);
    if (stored === undefined || !ranksOf(stored.record).includes(rank)) return undefined;
    if (stored.record.taken?.includes(rank) !== true) await this.#effective(pool, stored.record);
    const containers = await records.all("container", containerPrefix(pool));
    return {
      pool,
      map: store.addressed(stored.record),
      own: store.own(stored.record, rank),
      containers: containers
        .filter(({ record }) => record.state !== "destroying")
        .map(({ record }) => servedContainer(record)),
    };
  }

  /** Tells an engine a pool's map and containers; false when it is away. */
  async give(pool: string, rank: number): Promise<boolean> {
    const assignment = await this.assignment(pool, rank);
    const link = this.#parts.members.link(rank);
    if (assignment === undefined) return true;
    if (link === undefined) return false;
    try {
      await this.giveTo(link, rank, assignment);
      return true;
    } catch (error) {
      if (!isAway(error)) throw error;
      this.#parts.members.missed(rank);
      return false;
    }
  }

  /** As `give`; rejects when the engine cannot be reached. */
  async giveTo(link: EngineLink, rank: number, assignment: PoolAssignment): Promise<void> {
    await link.call("setPool", assignment);
    const key = `${rank}/${assignment.pool}`;
    this.#acknowledged.set(key, Math.max(assignment.map.version, this.#acknowledged.get(key) ?? 0));
  }

  /** Tells every engine of a pool its map; those that are away hear of it when they join. */
  async publish(pool: string): Promise<void> {
    const stored = await this.#parts.store.find(pool);
    if (stored === undefined) return;
    await Promise.all(ranksOf(stored.record).map((rank) => this.give(pool, rank)));
  }

  /** Changes a pool's map, and tells everybody; resolves when the change is effective. `action` is for messages. */
  async change(
    args: PoolReference,
    action: string,
    decide: (pool: PoolRecord, map: MapRecord) => Promise<MapRecord>,
    mark = unmarked,
  ): Promise<PoolTargetsReply> {
    const { catalogue, locks, records, store } = this.#parts;
    const { id } = (await catalogue.pool(args.pool)).record;
    return locks.run(`map/${id}`, async () => {
      const { record: present } = await store.get(id);
      // Who that one takes something from is not looked at any more under the next.
      await this.#effective(id, present);
      const { record: pool } = await catalogue.pool(id);
      let before = present;
      const map = await records.change(`${action} pool "${pool.label}"`, async (): Promise<Change<MapRecord>> => {
        const owner: Stored<"pool"> = await catalogue.pool(id);
        if (owner.record.state !== "ready") throw beingDestroyed(action, "pool", owner.record.label);
        const stored = await store.get(id);
        before = stored.record;
        const next = await decide(owner.record, stored.record);
        if (next === stored.record) return { compares: [], operations: [], result: next };
        // Whoever makes a container meanwhile has seen the map of before: he is to look again.
        const operations = [putRecord("map", stored.key, next), putRecord("pool", owner.key, owner.record)];
        return mark({ compares: [unchanged(stored), unchanged(owner)], operations, result: next }, id);
      });
      if (map.version !== before.version) {
        await this.#tellEvents(pool, before, map);
        await this.#tell(id, map);
      }
      return { pool: pool.label, map: store.addressed(map) };
    });
  }

  /** Of a change that was made: resolves when the map, as it is now, is effective and everybody was told. */
  async changeAgain(pool: string): Promise<PoolTargetsReply> {
    const { catalogue, locks, store } = this.#parts;
    return locks.run(`map/${pool}`, async () => {
      const { record } = await catalogue.pool(pool);
      const { record: map } = await store.get(pool);
      await this.#tell(pool, map);
      return { pool: record.label, map: store.addressed(map) };
    });
  }

  async #tell(pool: string, map: MapRecord): Promise<void> {
    await this.#effective(pool, map);
    await this.publish(pool);
    await this.#parts.changed(pool);
  }

  async #tellEvents({ id, label }: PoolRecord, before: MapRecord, map: MapRecord): Promise<void> {
    for (const { id: event, message, rank } of mapEvents(label, before, map, await this.keepsCopies(id))) {
      this.#parts.event(event, message, { pool: label, ...(rank !== undefined && { rank }) });
    }
  }

  async #checkTolerated(pool: PoolRecord, map: MapRecord): Promise<void> {
    const factors = await this.#redundancies(pool.id);
    const leastRedundancy = factors.length === 0 ? undefined : Math.min(...factors);
    if (this.#parts.mayExclude({ pool, map, leastRedundancy })) return;
    const down = `rank ${downRanksOf(map).join(", ")} would be down`;
    const state = `a container in it survives ${leastRedundancy} fault(s), and ${down} together`;
    throw new DaosError(
      "BUSY",
      `Cannot exclude targets from pool "${pool.label}": ${state}. Their data would be out of reach; ` +
        "use --force if that is meant.",
    );
  }

  async #redundancies(pool: string): Promise<number[]> {
    const containers = await this.#parts.records.all("container", containerPrefix(pool));
    return containers.map(({ record }) => Number(record.properties["rd_fac"] ?? 0));
  }

  /** Resolves when others than the engines that it takes something from may work by the map; that it is so is written down. */
  async #effective(pool: string, map: MapRecord): Promise<void> {
    const { taken = [] } = map;
    if (taken.length === 0 || map.isEffective === true) return;
    const key = `${pool}/${map.version}`;
    const known = this.#becoming.get(key);
    if (known !== undefined) return known;
    const becoming = this.#becomeEffective(pool, map, taken).finally(() => this.#becoming.delete(key));
    this.#becoming.set(key, becoming);
    return becoming;
  }

  async #becomeEffective(pool: string, { version }: MapRecord, taken: readonly number[]): Promise<void> {
    const { records, store, timers } = this.#parts;
    await Promise.all(taken.map((rank) => this.#fence(pool, rank, version)));
    await new Promise<void>((resolve) => timers.after(CLOCKS_MS, resolve));
    await records.change("note that a pool map is effective", async (): Promise<Change<void>> => {
      const stored = await store.find(pool);
      if (stored?.record.version !== version) return { compares: [], operations: [], result: undefined };
      const next = { ...stored.record, isEffective: true };
      return { compares: [unchanged(stored)], operations: [putRecord("map", stored.key, next)], result: undefined };
    });
  }

  /** Resolves when the engine works by this version of the map, or cannot serve by an older one any more. */
  async #fence(pool: string, rank: number, version: number): Promise<void> {
    const { members, clock, timers } = this.#parts;
    const isTold = (): boolean => (this.#acknowledged.get(`${rank}/${pool}`) ?? 0) >= version;
    const isOver = (): boolean => clock.monotonicNs() / 1e6 >= members.life.leaseUntilMs(rank);
    const pause = (delayMs: number): Promise<void> => new Promise((resolve) => timers.after(delayMs, resolve));
    if (isTold()) return;
    const given = this.give(pool, rank);
    await Promise.race([given, pause(ACKNOWLEDGE_MS)]);
    if (isTold()) return;
    members.life.withhold(rank);
    while (!isTold() && !isOver()) await pause(WAIT_STEP_MS);
  }
}
