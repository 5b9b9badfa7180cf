/**
 * Pool maps as records, and as clients and engines see them: with the addresses where the engines listen now. A pool from
 * before there were several engines gets the map of the first engine when its map is first asked for.
 */
import { DaosError } from "../base/errors.ts";
import { mapKey, poolKey } from "../format/meta-key.ts";
import type { MapRecord } from "../format/meta-record.ts";
import type { PoolMap } from "../format/pool-map.ts";
import { FIRST_RANK, type Members } from "./members.ts";
import { absent, type Change, type MetaRecords, putRecord, type Stored, unchanged } from "./meta-records.ts";
import { isKeeping, type MapEngine, newMap } from "./pool-map-changes.ts";

export class PoolMapStore {
  readonly #records: MetaRecords;
  readonly #members: Members;

  constructor(records: MetaRecords, members: Members) {
    this.#records = records;
    this.#members = members;
  }

  /** The map of a pool that is made now: all targets of all engines that have joined. */
  forNewPool(): MapRecord {
    return newMap(this.#engines((state) => state === "joined"));
  }

  /** Undefined when there is no such pool. */
  async find(pool: string): Promise<Stored<"map"> | undefined> {
    const stored = await this.#records.get("map", mapKey(pool));
    if (stored !== undefined) return stored;
    await this.#records.change("make the map of a pool", async (): Promise<Change<void>> => {
      const owner = await this.#records.get("pool", poolKey(pool));
      const present = await this.#records.get("map", mapKey(pool));
      if (owner === undefined || present !== undefined) return { compares: [], operations: [], result: undefined };
      const first = newMap(this.#engines((_state, rank) => rank === FIRST_RANK));
      return {
        compares: [absent(mapKey(pool)), unchanged(owner)],
        operations: [putRecord("map", mapKey(pool), first)],
        result: undefined,
      };
    });
    return this.#records.get("map", mapKey(pool));
  }

  /** Rejects with NOT_FOUND when there is no such pool. */
  async get(pool: string): Promise<Stored<"map">> {
    const stored = await this.find(pool);
    if (stored !== undefined) return stored;
    throw new DaosError("NOT_FOUND", `Cannot find the map of pool "${pool}": there is no such pool.`);
  }

  /** With the addresses of now. An engine that never told one is left without: nobody can reach it. */
  addressed(map: MapRecord): PoolMap {
    const targets = map.targets.map(({ target, silent: _silent, ...shared }) => {
      const { host = "", port = 0 } = this.#members.get(shared.rank)?.targets[target] ?? {};
      return { ...shared, host, port };
    });
    return { version: map.version, targets };
  }

  /** For each target of an engine its index in the map, or -1. */
  own(map: MapRecord, rank: number): number[] {
    const count = this.#members.get(rank)?.targets.length ?? 0;
    const own = Array.from({ length: count }, () => -1);
    for (const target of map.targets) if (target.rank === rank) own[target.target] = target.index;
    return own;
  }

  /**
   * Engines of these ranks, ascending. Throws NOT_FOUND for one that there is none of, UNAVAILABLE for one that is away.
   */
  enginesOf(ranks: readonly number[]): MapEngine[] {
    for (const rank of ranks) {
      const state = this.#members.state(rank);
      if (this.#members.get(rank) === undefined) {
        const known = this.#members.list().map((member) => member.rank);
        const what = `the system has no rank ${rank}; its ranks are ${known.join(", ")}`;
        throw new DaosError("NOT_FOUND", `Cannot use these ranks: ${what}. See \`daos system query\`.`);
      }
      if (state !== "joined") {
        const away = `the engine of rank ${rank} is ${state}. Start it first`;
        throw new DaosError("UNAVAILABLE", `Cannot use these ranks: ${away}.`);
      }
    }
    return this.#engines((_state, rank) => ranks.includes(rank));
  }

  /** A target's part of the bytes of a pool: those that keep its data share it. */
  async targetShare(pool: string, sizeBytes: number): Promise<number> {
    const keeping = (await this.find(pool))?.record.targets.filter(({ state }) => isKeeping(state)).length ?? 0;
    return Math.floor(sizeBytes / Math.max(1, keeping));
  }

  #engines(wanted: (state: string, rank: number) => boolean): MapEngine[] {
    return this.#members
      .list()
      .filter(({ state, rank }) => wanted(state, rank))
      .map(({ rank, domain, targets }) => ({ rank, domain, targets: targets.length }));
  }
}
