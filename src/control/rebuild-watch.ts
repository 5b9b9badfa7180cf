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
import { rebuildPolicy } from "./pool-quotas.ts";
import { RebuildProgress } from "./rebuild-progress.ts";
import type { SelfHeal } from "./self-heal.ts";
import { Watch, type WatchParts } from "./watch.ts";

const TICK_MS = 500;
const NO_PROGRESS = { dkeys: 0, bytes: 0, targetsDone: 0, targets: 0, dkeysPerSecond: 0, bytesPerSecond: 0 };

type RebuildState = PoolRebuild["state"];

export interface RebuildWatchParts extends WatchParts {
  readonly members: Members;
  readonly maps: PoolMapService;
  readonly records: MetaRecords;
  readonly selfHeal: SelfHeal;
}

export class RebuildWatch extends Watch {
  readonly #parts: RebuildWatchParts;
  readonly #progress = new Map<string, RebuildProgress>();
  /** Pools of which something cannot be brought by anybody. */
  readonly #stuck = new Set<string>();
  /** By pool the state that was told last. */
  readonly #told = new Map<string, RebuildState>();
  /** By pool and target, of how many damaged dkeys was told. */
  readonly #damaged = new Map<string, number>();
  /** By pool the map version of which all have said that it is done. */
  readonly #done = new Map<string, number>();

  constructor(parts: RebuildWatchParts) {
    super(parts, TICK_MS);
    this.#parts = parts;
  }

  /** For people. */
  async describe(pool: PoolRecord, map: MapRecord | undefined): Promise<PoolRebuild> {
    const progress = this.#progress.get(pool.id)?.figures ?? NO_PROGRESS;
    if (map === undefined) return { state: "idle", ...NO_PROGRESS };
    if (await this.#isWork(pool.id, map)) return { state: await this.#stateOf(pool, map), ...progress };
    const state = map.targets.some((target) => target.state === "DOWNOUT") ? "done" : "idle";
    return { ...progress, state, dkeysPerSecond: 0, bytesPerSecond: 0 };
  }

  /** While there is work. */
  async #stateOf({ id, properties }: PoolRecord, map: MapRecord): Promise<RebuildState> {
    const { maps, selfHeal } = this.#parts;
    if (this.#stuck.has(id) || (await maps.isTooMuchDown(id, map)) || (await maps.isSingleAway(id, map)))
      return "stuck";
    return rebuildPolicy(properties, selfHeal).isPaused ? "paused" : "busy";
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
      else this.#told.delete(record.id);
    }
  }

  async #look(pool: PoolRecord, map: MapRecord): Promise<void> {
    const { maps, members, event } = this.#parts;
    const statuses = await this.#ask(pool, map);
    const present = statuses.filter((status) => status?.mapVersion === map.version);
    const done = present.filter((status) => status?.isDone === true);
    const progress = this.#progress.get(pool.id) ?? new RebuildProgress();
    this.#progress.set(pool.id, progress);
    const underMap = statuses.map((status) => (status?.mapVersion === map.version ? status : undefined));
    progress.note(new Map(takingPart(map).map(({ index }, at) => [index, underMap[at]])), members.nowMs());
    if (present.some((status) => status?.isStuck === true)) this.#stuck.add(pool.id);
    else this.#stuck.delete(pool.id);
    this.#tellDamaged(pool, map, statuses);
    this.#tell(pool, map, await this.#stateOf(pool, map));
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

  /** Says so when the state is another one than before. */
  #tell({ id, label }: PoolRecord, { version }: MapRecord, state: RebuildState): void {
    const before = this.#told.get(id);
    if (state === before) return;
    this.#told.set(id, state);
    const { event } = this.#parts;
    const what = `pool "${label}", map version ${version}`;
    const place = { pool: label };
    if (state === "stuck") {
      event("pool_rebuild_stuck", `${what}: not all can be rebuilt: too few targets have it`, place);
    } else if (state === "paused") {
      event("pool_rebuild_paused", `${what}: rebuild is paused`, place);
    } else if (before === undefined) {
      event("info", `${what}: rebuild begins`);
    } else event("pool_rebuild_resumed", `${what}: rebuild goes on`, place);
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
