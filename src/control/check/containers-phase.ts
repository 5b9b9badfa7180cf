/** Each container's records, and what the targets of its pool know of it; a page of a pool's containers a step. */
import {
  CONTAINER_COUNTER_KEY,
  containerKey,
  containerLabelKey,
  containerPrefix,
  mapKey,
  poolKey,
  snapshotPrefix,
} from "../../format/meta-key.ts";
import type { ContainerRecord, MapRecord, PoolRecord } from "../../format/meta-record.ts";
import type { KeyedLock } from "../keyed-lock.ts";
import type { CheckReader } from "./check-reader.ts";
import { compareContainer } from "./compare-containers.ts";
import type { Difference } from "./difference.ts";
import type { CheckScope, Look, Phase } from "./phase.ts";
import { nextPool } from "./pools-phase.ts";

/** Each may have MAX_SNAPSHOTS, which all targets tell. */
const PAGE_CONTAINERS = 32;

/** Position: the key of the last container, or of the pool whose containers are through. */
export class ContainersPhase implements Phase {
  readonly name = "containers";
  readonly #reader: CheckReader;
  readonly #locks: KeyedLock;

  constructor(reader: CheckReader, locks: KeyedLock) {
    this.#reader = reader;
    this.#locks = locks;
  }

  async look(position: string, scope: CheckScope, again?: readonly Difference[]): Promise<Look> {
    const [, inPool] = /^container\/([^/]+)\//.exec(position) ?? [];
    const { records } = this.#reader;
    const pool =
      inPool === undefined
        ? await nextPool(this.#reader, position, position === "" ? scope : { pool: undefined })
        : (await records.get("pool", poolKey(inPool)))?.record;
    const over = inPool === undefined || scope.pool !== undefined ? undefined : poolKey(inPool);
    if (pool === undefined) return { differences: [], looked: 0, bytes: 0, next: over };
    const page = await records.page(
      "container",
      containerPrefix(pool.id),
      PAGE_CONTAINERS,
      inPool === undefined ? undefined : position,
    );
    const last = scope.pool === undefined ? poolKey(pool.id) : undefined;
    const next = page.length < PAGE_CONTAINERS ? last : page.at(-1)!.key;
    const containers = page.map(({ record }) => record);
    const look = { looked: containers.length, bytes: 0, next };
    if (pool.state !== "ready") return { ...look, differences: [] };
    if (again === undefined) return { ...look, differences: await this.#compare(pool, containers) };
    const found = new Set(again.map(({ subject }) => subject.container?.id));
    const differences: Difference[] = [];
    for (const { id } of containers.filter((container) => found.has(container.id))) {
      differences.push(...(await this.#compareAlone(pool, id)));
    }
    return { ...look, differences };
  }

  /** Whoever makes, destroys or takes a snapshot of it has done so then. */
  #compareAlone(pool: PoolRecord, id: string): Promise<Difference[]> {
    return this.#locks.run(`container/${id}`, async () => {
      const stored = await this.#reader.records.get("container", containerKey(pool.id, id));
      return stored === undefined ? [] : this.#compare(pool, [stored.record]);
    });
  }

  async #compare(pool: PoolRecord, containers: readonly ContainerRecord[]): Promise<Difference[]> {
    const { records } = this.#reader;
    const map = (await records.get("map", mapKey(pool.id)))?.record;
    if (map === undefined || containers.length === 0) return [];
    const targets = this.#reader.targetsOf(map);
    const numbers = { containers: containers.map(({ number }) => number) };
    const held = await this.#reader.askAll(targets, "containers", numbers);
    const snapshots = await this.#reader.askAll(targets, "snapshots", numbers);
    const lastNumber = (await records.get("counter", CONTAINER_COUNTER_KEY))?.record.value ?? 0;
    const differences: Difference[] = [];
    for (const [at, container] of containers.entries()) {
      const view = {
        ...(await this.#recordsOf(pool, map, container)),
        lastNumber,
        held: held.map(({ answer, ...target }) => ({ ...target, answer: answer.containers[at]! })),
        heldSnapshots: snapshots.map(({ answer, ...target }) => ({ ...target, answer: answer.containers[at] ?? null })),
      };
      differences.push(...compareContainer(view));
    }
    return differences;
  }

  async #recordsOf(pool: PoolRecord, map: MapRecord, container: ContainerRecord) {
    const { records } = this.#reader;
    return {
      pool,
      map,
      container,
      labelled: (await records.get("label", containerLabelKey(pool.id, container.label)))?.record.id,
      snapshots: await records.all("snapshot", snapshotPrefix(container.id)),
    };
  }
}
