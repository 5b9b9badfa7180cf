/**
 * Looks after pools whose targets are being filled: asks every target that takes part how far it is, and when all have said
 * that everything is where it has to be under the present map, makes the map in which that counts. They have to say so twice:
 * what the ones have brought last the others may not have been asked about at the time. What the targets do by themselves
 * (src/dtx/filling.ts) needs no word from here.
 */
import type { TargetFillStatus } from "../format/engine-operations.ts";
import { containerPrefix, mapKey, POOL_PREFIX } from "../format/meta-key.ts";
import type { MapRecord, PoolRecord } from "../format/meta-record.ts";
import type { PoolRebuild } from "../format/pool-state.ts";
import { isAway } from "./engine-set.ts";
import type { Members } from "./members.ts";
import type { MetaRecords } from "./meta-records.ts";
import { isMoving, isUnderWay, takesPart } from "./pool-map-changes.ts";
import type { PoolMapService } from "./pool-map-service.ts";
import { Watch, type WatchParts } from "./watch.ts";

const TICK_MS = 500;
/** Looks at which a pool has to be stuck before that is told. */
const LOOKS_UNTIL_TOLD = 2;
const NO_PROGRESS = { dkeys: 0, bytes: 0, targetsDone: 0, targets: 0 };

/** How far a pool is, under the map version that is under way or was last. */
interface Progress extends Omit<PoolRebuild, "state"> {
  readonly isStuck: boolean;
}

export interface RebuildWatchParts extends WatchParts {
  readonly members: Members;
  readonly maps: PoolMapService;
  readonly records: MetaRecords;
}

export class RebuildWatch extends Watch {
  readonly #parts: RebuildWatchParts;
  readonly #progress = new Map<string, Progress>();
  /** By pool and target, of how many damaged dkeys was told. */
  readonly #damaged = new Map<string, number>();
  /** By pool at how many looks in a row it was stuck. */
  readonly #stuck = new Map<string, number>();
  /** By pool the map version of which all have said that it is done. */
  readonly #done = new Map<string, number>();

  constructor(parts: RebuildWatchParts) {
    super(parts, TICK_MS);
    this.#parts = parts;
  }

  /** For people. */
  async describe(pool: string, map: MapRecord | undefined): Promise<PoolRebuild> {
    const { isStuck, ...progress } = this.#progress.get(pool) ?? { ...NO_PROGRESS, isStuck: false };
    if (map === undefined) return { state: "idle", ...NO_PROGRESS };
    if (await this.#isWork(pool, map)) {
      const isOver = isStuck || (await this.#lacksEngines(pool, map));
      return { state: isOver ? "stuck" : "busy", ...progress };
    }
    return { state: map.targets.some(({ state }) => state === "DOWNOUT") ? "done" : "idle", ...progress };
  }

  async #lacksEngines(pool: string, map: MapRecord): Promise<boolean> {
    const { maps } = this.#parts;
    return (await maps.isTooMuchDown(pool, map)) || maps.isSingleAway(pool, map);
  }

  /** A target that is DOWN in a pool without copies waits until it is back. */
  async #isWork(pool: string, map: MapRecord): Promise<boolean> {
    if (!isUnderWay(map)) return false;
    return map.targets.some(({ state }) => isMoving(state)) || this.#parts.maps.keepsCopies(pool);
  }

  /** One look at all pools. */
  async tick(): Promise<void> {
    const { records } = this.#parts;
    for (const { record } of await records.all("pool", POOL_PREFIX)) {
      if (record.state !== "ready") continue;
      const map = (await records.get("map", mapKey(record.id)))?.record;
      if (map !== undefined && (await this.#isWork(record.id, map))) await this.#look(record, map);
    }
  }

  async #look(pool: PoolRecord, map: MapRecord): Promise<void> {
    const { maps, event } = this.#parts;
    const statuses = await this.#ask(pool, map);
    const present = statuses.filter((status) => status?.mapVersion === map.version);
    const done = present.filter((status) => status?.isDone === true);
    this.#progress.set(pool.id, {
      dkeys: present.reduce((sum, status) => sum + status!.dkeys, 0),
      bytes: present.reduce((sum, status) => sum + status!.bytes, 0),
      targetsDone: done.length,
      targets: statuses.length,
      isStuck: present.some((status) => status?.isStuck === true),
    });
    this.#tellDamaged(pool, map, statuses);
    await this.#tellStuck(pool, map);
    const wasDone = this.#done.get(pool.id) === map.version;
    this.#done.delete(pool.id);
    if (done.length < statuses.length || (await maps.isTooMuchDown(pool.id, map))) return;
    if (!wasDone) {
      this.#done.set(pool.id, map.version);
      return;
    }
    const { map: next } = await maps.completeFilled(pool.id, map.version);
    if (next.version !== map.version + 1) return;
    const state = `all data is where it belongs (pool map version ${next.version})`;
    event("pool_rebuild_done", `pool "${pool.label}": ${state}`, { pool: pool.label });
  }

  /** At the second look, and once until it goes on. */
  async #tellStuck({ id, label }: PoolRecord, map: MapRecord): Promise<void> {
    const isStuck = this.#progress.get(id)?.isStuck === true;
    const isLacking = await this.#lacksEngines(id, map);
    const looks = isStuck || isLacking ? (this.#stuck.get(id) ?? 0) + 1 : 0;
    this.#stuck.set(id, looks);
    if (looks !== LOOKS_UNTIL_TOLD) return;
    const state = isLacking ? "engines are away that have what is missing" : "too few shards of something can be read";
    this.#parts.event("pool_rebuild_stuck", `pool "${label}" cannot be rebuilt: ${state}`, { pool: label });
  }

  #tellDamaged(pool: PoolRecord, map: MapRecord, statuses: readonly (TargetFillStatus | undefined)[]): void {
    takingPart(map).forEach(({ index, rank }, at) => {
      const damaged = statuses[at]?.damaged ?? 0;
      const name = `${pool.id}/${index}`;
      if (damaged > (this.#damaged.get(name) ?? 0)) {
        const state = `${damaged} dkey(s) that target ${index} (rank ${rank}) leads are damaged`;
        const advice = "Exclude that rank as well, if as many more may be lost: others that have them whole lead then";
        const message = `Cannot rebuild all of pool "${pool.label}": ${state}. ${advice}.`;
        this.#parts.event("pool_data_damaged", message, { pool: pool.label, rank });
      }
      this.#damaged.set(name, damaged);
    });
  }

  /** What each target that takes part says; undefined of one that does not answer. */
  async #ask(pool: PoolRecord, map: MapRecord): Promise<(TargetFillStatus | undefined)[]> {
    const { records } = this.#parts;
    const stored = await records.all("container", containerPrefix(pool.id));
    const containers = stored.filter(({ record }) => record.state === "ready").map(({ record }) => record.number);
    const taking = takingPart(map);
    const byRank = new Map<number, readonly (TargetFillStatus | null)[]>();
    const ranks = [...new Set(taking.map(({ rank }) => rank))];
    await Promise.all(ranks.map(async (rank) => byRank.set(rank, await this.#askEngine(rank, pool.id, containers))));
    return taking.map(({ rank, target }) => byRank.get(rank)?.[target] ?? undefined);
  }

  async #askEngine(
    rank: number,
    pool: string,
    containers: readonly number[],
  ): Promise<readonly (TargetFillStatus | null)[]> {
    const link = this.#parts.members.link(rank);
    if (link === undefined) return [];
    try {
      return (await link.call("fillStatus", { pool, containers })).targets;
    } catch (error) {
      if (!isAway(error)) throw error;
      return [];
    }
  }
}

function takingPart({ targets }: MapRecord): MapRecord["targets"] {
  return targets.filter(({ state }) => takesPart(state));
}
