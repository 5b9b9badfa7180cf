/**
 * One target as a check of the system sees it: answers what TargetQuestions asks. Each answer is bounded; what takes long is
 * asked for in pages.
 */
import { type Epoch, EPOCH_ORIGIN_MS } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import type { Clock } from "../contracts/world.ts";
import { allDurable } from "../dtx/fill-store.ts";
import { type PreparedStore, preparedStore } from "../dtx/prepared-store.ts";
import type { Replication } from "../dtx/replication.ts";
import type {
  DkeyPage,
  HeldContainer,
  HeldPool,
  HeldSnapshots,
  TargetLeftovers,
  TargetQuestionName,
  TargetQuestions,
} from "../format/check-questions.ts";
import type { CellStore } from "../store/cell.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import type { PoolMapTable } from "./pool-map-table.ts";
import type { QuotaTable } from "./quota.ts";

/** Containers of a page, and leftovers that are named one by one. */
const PAGE_CONTAINERS = 256;
const MAX_LEFTOVERS = 256;

export interface TargetCheckParts {
  readonly store: CellStore;
  readonly objects: VersionedObjects;
  readonly maps: PoolMapTable;
  readonly quotas: QuotaTable;
  readonly replication: Replication;
  readonly clock: Clock;
}

type Answers = {
  readonly [Name in TargetQuestionName]: (
    value: Parameters<TargetQuestions[Name]>[0],
  ) => ReturnType<TargetQuestions[Name]> | Promise<ReturnType<TargetQuestions[Name]>>;
};

export class TargetCheck implements Answers {
  readonly #parts: TargetCheckParts;
  readonly #prepared: PreparedStore;

  constructor(parts: TargetCheckParts) {
    this.#parts = parts;
    this.#prepared = preparedStore(parts.store);
  }

  holdings({ after }: { after: number }): ReturnType<TargetQuestions["holdings"]> {
    const noted = this.#parts.objects.notes.containers(after, PAGE_CONTAINERS).map(({ container }) => container);
    const served = this.#parts.maps.containers.filter((container) => container > after);
    const all = [...new Set([...noted, ...served])].toSorted((left, right) => left - right);
    const page = all.slice(0, PAGE_CONTAINERS);
    return {
      containers: this.containers({ containers: page }).containers,
      next: all.length < PAGE_CONTAINERS ? null : page.at(-1)!,
    };
  }

  pools(): { pools: string[] } {
    const { objects, maps } = this.#parts;
    const noted = objects.notes.pools().map(({ pool }) => pool);
    return { pools: [...new Set([...noted, ...maps.pools.keys()])] };
  }

  pool({ pool }: { pool: string }): { held: HeldPool | null } {
    const { objects, maps, quotas } = this.#parts;
    const noted = objects.notes.pools().find((other) => other.pool === pool);
    const served = maps.pools.get(pool);
    if (noted === undefined && served === undefined) return { held: null };
    const quota = quotas.ofPool(pool);
    return {
      held: {
        pool,
        mapVersion: served?.map.version ?? 0,
        own: served?.own ?? -1,
        quota: quota === undefined ? null : { sizeBytes: quota.sizeBytes, containers: quota.containers.size },
        note: noted?.note ?? null,
        map: noted?.map ?? null,
      },
    };
  }

  containers({ containers }: { containers: readonly number[] }): { containers: HeldContainer[] } {
    return { containers: containers.map((container) => this.#container(container)) };
  }

  #container(number: number): HeldContainer {
    const { objects, maps } = this.#parts;
    const pool = maps.mapOf(number);
    const [noted] = objects.notes.containers(number - 1, 1);
    return {
      number,
      pool: pool?.pool ?? null,
      cellBytes: pool?.containers.get(number)?.cellBytes ?? 0,
      note: noted?.container === number ? noted.note : null,
      versions: objects.usage(number).versions,
    };
  }

  snapshots({ containers }: { containers: readonly number[] }): { containers: (HeldSnapshots | null)[] } {
    return { containers: containers.map((container) => this.#snapshots(container)) };
  }

  #snapshots(container: number): HeldSnapshots | null {
    try {
      const epochs = this.#parts.objects.listSnapshots(container);
      return { epochs, aggregatedTo: this.#parts.store.aggregatedTo(container) };
    } catch (error) {
      if (hasCode(error, "NOT_FOUND")) return null;
      throw error;
    }
  }

  leftovers(): TargetLeftovers {
    const { clock } = this.#parts;
    const prepared = this.#prepared;
    const open = prepared.openUpdates();
    const remembered = prepared.decided();
    return {
      undecided: open.slice(0, MAX_LEFTOVERS).map(({ id: { client, sequence }, container, epoch }) => {
        return { client, sequence, container, ageMs: Math.max(0, Math.floor(clock.wallMs() - wallMsOf(epoch))) };
      }),
      undecidedCount: open.length,
      remembered: remembered.slice(0, MAX_LEFTOVERS).map(({ client, sequence }) => ({ client, sequence })),
      rememberedCount: remembered.length,
    };
  }

  async areUndecided({ ids }: Parameters<TargetQuestions["areUndecided"]>[0]): Promise<{ areUndecided: boolean[] }> {
    const prepared = this.#prepared;
    await allDurable(prepared);
    return { areUndecided: ids.map((id) => prepared.stateOf(id) === "prepared") };
  }

  async dkeys({ container, after }: Parameters<TargetQuestions["dkeys"]>[0]): Promise<DkeyPage> {
    const check = this.#parts.replication.check(container);
    if (check !== undefined) return check.page(container, after);
    return { mapVersion: 0, differences: [], dkeys: 0, bytes: 0, unjudged: 0, next: null };
  }

  async dropDkey({ container, oid, dkey }: Parameters<TargetQuestions["dropDkey"]>[0]): Promise<object> {
    await this.#parts.replication.check(container)?.drop(container, oid, dkey);
    return {};
  }

  /** What cannot be written down is left: a check finds it. */
  async keepNotes({ pools, containers }: Parameters<TargetQuestions["keepNotes"]>[0]): Promise<object> {
    const { notes } = this.#parts.objects;
    try {
      for (const { pool, note, map } of pools) await notes.keepPool(pool, note, map);
      for (const { container, note } of containers) await notes.keepContainer(container, note);
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
    }
    return {};
  }

  async forgetPool({ pool }: { pool: string }): Promise<object> {
    await this.#parts.objects.notes.forgetPool(pool);
    return {};
  }

  async adoptSnapshots({ container, epochs }: Parameters<TargetQuestions["adoptSnapshots"]>[0]): Promise<object> {
    await this.#parts.objects.adoptSnapshots(container, epochs);
    return {};
  }

  settle({ orphans }: Parameters<TargetQuestions["settle"]>[0]): object {
    const { replication } = this.#parts;
    const prepared = this.#prepared;
    // The newer ones are undone first.
    for (const id of orphans.toReversed()) if (prepared.stateOf(id) === "prepared") prepared.decide(id, "abort");
    replication.ask();
    return {};
  }

  async forgetDecisions({ ids }: Parameters<TargetQuestions["forgetDecisions"]>[0]): Promise<object> {
    const prepared = this.#prepared;
    await allDurable(prepared);
    for (const id of ids) prepared.forget(id);
    return {};
  }
}

function wallMsOf(epoch: Epoch): number {
  return EPOCH_ORIGIN_MS + epoch / 1000;
}
