/**
 * What the control plane does once at start, before any request: containers are opened on the targets, quotas set, and
 * whatever a crash cut off is brought to an end. Creations are undone, for nobody was told of them; destructions are
 * finished. May itself be cut off and run again.
 */
import { DaosError } from "../base/errors.ts";
import { containerPrefix, POOL_PREFIX } from "../format/meta-key.ts";
import type { ContainerRecord, PoolRecord } from "../format/meta-record.ts";
import type { ContainerRemoval } from "./container-removal.ts";
import type { ControlParts } from "./control-parts.ts";
import { notesOf } from "./notes.ts";
import type { PoolMapService } from "./pool-map-service.ts";
import type { PoolQuotas } from "./pool-quotas.ts";
import type { PoolService } from "./pool-service.ts";
import type { SnapshotService } from "./snapshot-service.ts";
import { servedContainer } from "./served-container.ts";

export interface ResumeReport {
  readonly pools: number;
  /** Containers that are open now. */
  readonly containers: number;
  /** What was brought to an end, one line each. */
  readonly finished: readonly string[];
  /** What could not be opened or finished, with the reason; the same operation tries again. */
  readonly failures: readonly { readonly what: string; readonly error: DaosError }[];
}

export class Resumption {
  readonly #parts: ControlParts;
  readonly #quotas: PoolQuotas;
  readonly #removal: ContainerRemoval;
  readonly #pools: PoolService;
  readonly #snapshots: SnapshotService;
  readonly #maps: PoolMapService;
  readonly #finished: string[] = [];
  readonly #failures: { what: string; error: DaosError }[] = [];

  constructor(
    parts: ControlParts,
    quotas: PoolQuotas,
    removal: ContainerRemoval,
    pools: PoolService,
    snapshots: SnapshotService,
    maps: PoolMapService,
  ) {
    this.#maps = maps;
    this.#parts = parts;
    this.#quotas = quotas;
    this.#removal = removal;
    this.#pools = pools;
    this.#snapshots = snapshots;
  }

  async run(): Promise<ResumeReport> {
    const stored = await this.#parts.records.all("pool", POOL_PREFIX);
    let pools = 0;
    let containers = 0;
    for (const { record } of stored) {
      if (record.state === "destroying") await this.#finishPool(record);
      else {
        pools += 1;
        containers += await this.#openPool(record);
      }
    }
    return { pools, containers, finished: this.#finished, failures: this.#failures };
  }

  async #finishPool(pool: PoolRecord): Promise<void> {
    await this.#attempt(`destruction of pool "${pool.label}"`, async () => {
      await this.#pools.finishDestroy(pool.id);
      this.#finished.push(`destroyed pool "${pool.label}"`);
    });
  }

  /** Returns the number of containers opened. */
  async #openPool(pool: PoolRecord): Promise<number> {
    await this.#attempt(`map of pool "${pool.label}"`, () => this.#maps.publish(pool.id));
    const containers = await this.#parts.records.all("container", containerPrefix(pool.id));
    let opened = 0;
    for (const { record } of containers) {
      const what = `container "${record.label}" of pool "${pool.label}"`;
      const done = await this.#attempt(what, () => this.#openOrEnd(record, what));
      if (done && record.state === "ready") opened += 1;
    }
    await this.#attempt(`quota of pool "${pool.label}"`, () => this.#quotas.refresh(pool.id));
    await this.#attempt(`notes of pool "${pool.label}"`, () => this.#keepNotes(pool.id));
    return opened;
  }

  async #keepNotes(pool: string): Promise<void> {
    for await (const notes of notesOf(this.#parts.records, pool)) await this.#parts.targets.keepNotes(pool, notes);
  }

  async #openOrEnd(container: ContainerRecord, what: string): Promise<void> {
    if (container.state === "ready") {
      await this.#parts.targets.openContainer(servedContainer(container), container.pool);
      return this.#snapshots.settle(container);
    }
    await this.#removal.settle(container);
    this.#finished.push(`${container.state === "creating" ? "undid the creation of" : "destroyed"} ${what}`);
  }

  /** False when it failed; the failure is in the report. A bug is no failure and goes up. */
  async #attempt(what: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      this.#failures.push({ what, error });
      return false;
    }
  }
}
