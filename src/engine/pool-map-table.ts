/**
 * The pool maps that one target works by: which containers belong to which pool, the pool's map as it is now, and which
 * target of the map this one is. Replication, rebuild and the check of requests read it; the engine sets it.
 *
 * A request that was placed by a newer map is no error of the sender's: the target learns that map first.
 */
import { DaosError } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import type { ServedContainer } from "../format/engine-operations.ts";
import type { PoolMap } from "../format/pool-map.ts";

/** How long a request waits for a map that its sender has and this target does not, milliseconds. */
const LEARN_TIMEOUT_MS = 2_000;

/** A pool as one target sees it. One object for as long as the pool is known here: `map` is always the present one. */
export interface TargetPool {
  readonly pool: string;
  readonly map: PoolMap;
  /** Index of this target in the map; -1: it is not in it. */
  readonly own: number;
  readonly containers: ReadonlyMap<number, ServedContainer>;
}

/** Hears of each new map, of the same version with other addresses, and of containers that were not known. */
export type PoolMapListener = (changed: TargetPool, previous: PoolMap | undefined) => void;

/** What replication and rebuild see of it. */
export interface PoolMaps {
  /** The pool of a container; undefined when the container is not served here. */
  mapOf(container: number): TargetPool | undefined;
  /** Called in the turn in which a map is set, before any request is judged by it. Returns what takes it away. */
  onChange(listener: PoolMapListener): () => void;
}

/** A request came with a newer map than this target has. */
export class NewerMap extends DaosError {
  readonly pool: string;
  readonly version: number;

  constructor(pool: TargetPool, version: number) {
    const state = `it was placed by pool map ${version}, the target has ${pool.map.version} and cannot get a newer one`;
    super("UNAVAILABLE", `Cannot serve the request: ${state}. Retry.`);
    this.pool = pool.pool;
    this.version = version;
  }
}

/** What `setMap` brings to a target. */
export interface TargetMap {
  readonly pool: string;
  readonly map: PoolMap;
  readonly own: number;
  readonly containers: readonly ServedContainer[];
}

interface Entry {
  readonly pool: string;
  map: PoolMap;
  own: number;
  readonly containers: Map<number, ServedContainer>;
}

interface Waiter {
  readonly pool: string;
  readonly version: number;
  settle(error?: DaosError): void;
}

export class PoolMapTable implements PoolMaps {
  readonly #timers: Timers;
  readonly #byPool = new Map<string, Entry>();
  readonly #byContainer = new Map<number, Entry>();
  readonly #listeners = new Set<PoolMapListener>();
  readonly #waiters = new Set<Waiter>();
  /** Pools whose maps the engine is to bring, and who waits to hear of one. */
  readonly #wanted = new Set<string>();
  #hear: ((pool: string) => void) | undefined;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** All pools that are known here. */
  get pools(): ReadonlyMap<string, TargetPool> {
    return this.#byPool;
  }

  /** All containers that are served here. */
  get containers(): number[] {
    return [...this.#byContainer.keys()];
  }

  mapOf(container: number): TargetPool | undefined {
    return this.#byContainer.get(container);
  }

  /** The size of erasure-coded cells in a container. Throws STALE when it is not served here. */
  cellBytesOf(container: number): number {
    const served = this.#byContainer.get(container)?.containers.get(container);
    if (served !== undefined) return served.cellBytes;
    throw new DaosError("STALE", `Cannot use container ${container}: it is not served here. Open the container again.`);
  }

  onChange(listener: PoolMapListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Adds the containers; a map older than the one that is known changes nothing else. */
  set({ pool, map, own, containers }: TargetMap): void {
    const known = this.#byPool.get(pool);
    const entry: Entry = known ?? { pool, map, own, containers: new Map() };
    this.#byPool.set(pool, entry);
    for (const container of containers) this.#place(container, entry);
    const previous = known?.map;
    if (previous === undefined || previous.version <= map.version) {
      entry.map = map;
      entry.own = own;
    }
    this.#tell(entry, previous);
    for (const waiter of this.#waiters) {
      if (waiter.pool === pool && waiter.version <= map.version) waiter.settle();
    }
  }

  /** Adds a container to a pool that is known. Throws STALE when it is not. */
  add(container: ServedContainer, pool: string): void {
    const entry = this.#byPool.get(pool);
    if (entry === undefined) {
      throw new DaosError("STALE", `Cannot open container ${container.number}: the map of its pool is not known here.`);
    }
    if (entry.containers.has(container.number)) return;
    this.#place(container, entry);
    this.#tell(entry, entry.map);
  }

  #place(container: ServedContainer, entry: Entry): void {
    entry.containers.set(container.number, container);
    this.#byContainer.set(container.number, entry);
  }

  #tell(entry: Entry, previous: PoolMap | undefined): void {
    for (const listener of this.#listeners) listener(entry, previous);
  }

  remove(container: number): void {
    this.#byContainer.get(container)?.containers.delete(container);
    this.#byContainer.delete(container);
  }

  forget(pool: string): void {
    const entry = this.#byPool.get(pool);
    if (entry === undefined) return;
    for (const container of entry.containers.keys()) this.#byContainer.delete(container);
    this.#byPool.delete(pool);
  }

  /** Resolves when the pool's map has at least this version. Rejects with UNAVAILABLE when it does not come. */
  learn({ pool, version }: NewerMap): Promise<void> {
    if ((this.#byPool.get(pool)?.map.version ?? 0) >= version) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        pool,
        version,
        settle: (error) => {
          cancel();
          this.#waiters.delete(waiter);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      const cancel = this.#timers.after(LEARN_TIMEOUT_MS, () => {
        const state = `its pool map ${version} has not come within ${LEARN_TIMEOUT_MS} ms`;
        waiter.settle(new DaosError("UNAVAILABLE", `Cannot serve the request: ${state}. Retry.`));
      });
      this.#waiters.add(waiter);
      this.#want(pool);
    });
  }

  /** The next pool whose map is wanted. One caller at a time. */
  nextWanted(): Promise<string> {
    return new Promise((resolve) => {
      const [first] = this.#wanted;
      if (first === undefined) {
        this.#hear = resolve;
        return;
      }
      this.#wanted.delete(first);
      resolve(first);
    });
  }

  #want(pool: string): void {
    const hear = this.#hear;
    if (hear === undefined) {
      this.#wanted.add(pool);
      return;
    }
    this.#hear = undefined;
    hear(pool);
  }
}

/** Throws STALE for a request placed by an older map than the pool's, NewerMap for one placed by a newer map. */
export function checkMapVersion(version: number, pool: TargetPool): void {
  const { version: present } = pool.map;
  if (version === present || version === 0) return;
  if (version > present) throw new NewerMap(pool, version);
  throw new DaosError(
    "STALE",
    `Cannot serve the request: it was placed by pool map ${version}, the target has ${present}. ` +
      "Open the container again.",
  );
}
