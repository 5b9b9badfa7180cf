/** Each pool's records, and what its targets know of it; a pool a step. */
import { containerPrefix, mapKey, POOL_PREFIX, poolKey, poolLabelKey } from "../../format/meta-key.ts";
import type { PoolRecord } from "../../format/meta-record.ts";
import type { KeyedLock } from "../keyed-lock.ts";
import type { PoolMapStore } from "../pool-map-store.ts";
import type { CheckReader } from "./check-reader.ts";
import { comparePool } from "./compare-pools.ts";
import type { Difference } from "./difference.ts";
import type { CheckScope, Look, Phase } from "./phase.ts";

/** Position: the key of the pool that was looked at last. */
export class PoolsPhase implements Phase {
  readonly name = "pools";
  readonly #reader: CheckReader;
  readonly #mapStore: PoolMapStore;
  readonly #locks: KeyedLock;

  constructor(reader: CheckReader, mapStore: PoolMapStore, locks: KeyedLock) {
    this.#reader = reader;
    this.#mapStore = mapStore;
    this.#locks = locks;
  }

  async look(position: string, scope: CheckScope, again?: readonly Difference[]): Promise<Look> {
    const pool = await nextPool(this.#reader, position, scope);
    if (pool === undefined) return { differences: [], looked: 0, bytes: 0, next: undefined };
    const { id } = pool;
    const look = (): Promise<Difference[]> => this.#compare(id);
    // Whoever changes its map or quota has done so then.
    const held = (): Promise<Difference[]> => this.#locks.run(`quota/${id}`, look);
    const differences = again === undefined ? await look() : await this.#locks.run(`map/${id}`, held);
    return { differences, looked: 1, bytes: 0, next: scope.pool === undefined ? poolKey(id) : undefined };
  }

  async #compare(id: string): Promise<Difference[]> {
    const { records } = this.#reader;
    const stored = await records.get("pool", poolKey(id));
    if (stored === undefined) return [];
    const pool = stored.record;
    const map = (await this.#mapStore.find(id))?.record ?? (await records.get("map", mapKey(id)))?.record;
    const containers = (await records.all("container", containerPrefix(id))).map(({ record }) => record);
    const isChanged = (await records.get("pool", stored.key))?.revision !== stored.revision;
    const isInFlux = isChanged || containers.some(({ state }) => state !== "ready");
    const view = {
      pool,
      map,
      labelled: (await records.get("label", poolLabelKey(pool.label)))?.record.id,
      containers: isChanged ? pool.containers : containers.length,
      counted: isInFlux ? 0 : containers.length,
      targetBytes: await this.#mapStore.targetShare(id, pool.sizeBytes),
      held: [],
    };
    if (map === undefined || pool.state !== "ready") return comparePool(view);
    const answers = await this.#reader.askAll(this.#reader.targetsOf(map), "pool", { pool: id });
    return comparePool({ ...view, held: answers.map(({ answer, ...target }) => ({ ...target, answer: answer.held })) });
  }
}

/** The pool of the scope, or the next one; undefined when there is none. */
export async function nextPool(
  { records }: CheckReader,
  position: string,
  scope: CheckScope,
): Promise<PoolRecord | undefined> {
  if (scope.pool !== undefined) return (await records.get("pool", poolKey(scope.pool)))?.record;
  const [stored] = await records.page("pool", POOL_PREFIX, 1, position === "" ? undefined : position);
  return stored?.record;
}
