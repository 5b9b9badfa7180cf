/**
 * Pools grow and shrink: targets are added (NEW), and moved away from (DRAIN). What is checked here is that the change
 * can end well; the moving itself is the targets' (src/dtx/filling.ts), its end RebuildWatch's.
 */
import { DaosError } from "../base/errors.ts";
import { objectClassByName } from "../base/object-class.ts";
import { formatSize } from "../base/size.ts";
import { containerPrefix } from "../format/meta-key.ts";
import type { ContainerRecord, MapRecord, PoolRecord } from "../format/meta-record.ts";
import { isSingleAway } from "../format/pool-map.ts";
import type { PoolExtendArguments, PoolTargetsArguments, PoolTargetsReply } from "../format/pool-targets.ts";
import type { EngineSet } from "./engine-set.ts";
import type { MetaRecords } from "./meta-records.ts";
import { drainTargets, extendMap, isKeeping, ranksOf } from "./pool-map-changes.ts";
import type { PoolMapService } from "./pool-map-service.ts";
import type { PoolMapStore } from "./pool-map-store.ts";
import { unmarked } from "./request-outcomes.ts";

/** Share of the others' free space that a drain may take: what is moved is not cut as it was. */
const DRAIN_FILL = 0.9;

export interface PoolElasticityParts {
  readonly records: MetaRecords;
  readonly maps: PoolMapService;
  readonly store: PoolMapStore;
  readonly engines: Pick<EngineSet, "spaceByRank" | "usageByRank">;
}

export class PoolElasticity {
  readonly #parts: PoolElasticityParts;

  constructor(parts: PoolElasticityParts) {
    this.#parts = parts;
  }

  /**
   * Adds all targets of some engines; data moves to them in the background. The pool's size stays. Rejects with NOT_FOUND (no
   * such rank), ALREADY_EXISTS (the pool has it), UNAVAILABLE (its engine is away, or one that may
   * have the only copy of something), TOO_LARGE.
   */
  extend({ pool, ranks }: PoolExtendArguments, mark = unmarked): Promise<PoolTargetsReply> {
    const { maps, store } = this.#parts;
    const decide = async (found: PoolRecord, map: MapRecord): Promise<MapRecord> => {
      const next = extendMap(found.label, map, store.enginesOf(ranks));
      if (next !== map) checkPresent("extend", found, map, await this.#containers(found));
      return next;
    };
    return maps.change({ pool }, "extend", decide, mark);
  }

  async #containers({ id }: PoolRecord): Promise<ContainerRecord[]> {
    const stored = await this.#parts.records.all("container", containerPrefix(id));
    return stored.map(({ record }) => record);
  }

  /**
   * Moves everything away from targets, in the background; they serve until then. Rejects with INVALID_ARGUMENT when the others
   * could not keep shards of a container's class apart, NO_SPACE when they have no room, UNAVAILABLE as
   * extend, BUSY, NOT_FOUND.
   */
  drain(args: PoolTargetsArguments, mark = unmarked): Promise<PoolTargetsReply> {
    const decide = async (pool: PoolRecord, map: MapRecord): Promise<MapRecord> => {
      const next = drainTargets(pool.label, map, args);
      if (next === map) return map;
      const containers = await this.#containers(pool);
      checkPresent("drain targets of", pool, map, containers);
      checkDomains(pool, next, containers);
      await this.#checkRoom(pool, map, next, containers);
      return next;
    };
    return this.#parts.maps.change(args, "drain targets of", decide, mark);
  }

  async #checkRoom(
    pool: PoolRecord,
    before: MapRecord,
    after: MapRecord,
    containers: readonly ContainerRecord[],
  ): Promise<void> {
    const { engines } = this.#parts;
    const numbers = containers.map(({ number }) => number);
    const usage = await engines.usageByRank(numbers, pool.id);
    const spaces = await engines.spaceByRank();
    let movedBytes = 0;
    let freeBytes = 0;
    for (const rank of ranksOf(before)) {
      const [keptBefore, keptAfter] = [before, after].map((map) => keepingOf(map, rank));
      if (keptBefore! > keptAfter!) movedBytes += ((usage.get(rank) ?? 0) * (keptBefore! - keptAfter!)) / keptBefore!;
      const space = spaces.get(rank);
      if (space === undefined || keptAfter === 0) continue;
      const total = before.targets.filter((target) => target.rank === rank).length;
      const usedBytes = space.scmUsedBytes + space.nvmeUsedBytes;
      freeBytes += ((space.scmTotalBytes + space.nvmeTotalBytes - usedBytes) * keptAfter!) / total;
    }
    if (movedBytes <= freeBytes * DRAIN_FILL) return;
    const state = `${formatSize(Math.ceil(movedBytes))} would have to move, the others have ${formatSize(Math.floor(freeBytes))} free`;
    throw new DaosError(
      "NO_SPACE",
      `Cannot drain targets of pool "${pool.label}": ${state}. Extend the pool, or remove data, first.`,
    );
  }
}

function keepingOf({ targets }: MapRecord, rank: number): number {
  return targets.filter((target) => target.rank === rank && isKeeping(target.state)).length;
}

/**
 * Throws UNAVAILABLE when what has one copy may lie on a target that is gone: nobody could bring it to where it belongs
 * then.
 */
function checkPresent(action: string, pool: PoolRecord, map: MapRecord, containers: readonly ContainerRecord[]): void {
  const found = containers.find(({ properties }) => Number(properties["rd_fac"] ?? 0) === 0);
  if (found === undefined || !isSingleAway(map)) return;
  const state = `container "${found.label}" has no redundancy (rd_fac 0), and targets are gone that may have something of it`;
  throw new DaosError("UNAVAILABLE", `Cannot ${action} pool "${pool.label}": ${state}. Reintegrate them first.`);
}

/** Throws INVALID_ARGUMENT when too few engines would be left for the class of a container. */
function checkDomains(pool: PoolRecord, map: MapRecord, containers: readonly ContainerRecord[]): void {
  const left = new Set(map.targets.filter(({ state }) => isKeeping(state)).map(({ rank }) => rank)).size;
  for (const { label, properties } of containers) {
    const { oclass, rd_fac: factor } = properties;
    const shardCount = typeof oclass === "string" ? objectClassByName(oclass).redundancy.shardCount : 1;
    const needed = Math.max(shardCount, Number(factor ?? 0) + 1);
    if (needed <= left) continue;
    const state = `container "${label}" keeps its shards on ${needed} engines, ${left} would be left`;
    throw new DaosError(
      "INVALID_ARGUMENT",
      `Cannot drain targets of pool "${pool.label}": ${state}. Extend the pool with other engines first.`,
    );
  }
}
