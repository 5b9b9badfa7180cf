/**
 * How a container goes: marked `destroying`, its data removed by the targets, its records removed. Every step may be
 * repeated; whoever meets a marked container may finish it. Used by `container destroy`, by the undoing of a
 * creation, by `pool destroy` and by `resume`. The caller holds the lock `container/<id>`.
 */
import { DaosError } from "../base/errors.ts";
import { containerKey, containerLabelKey, poolKey, removalKey, snapshotPrefix } from "../format/meta-key.ts";
import type { ContainerRecord } from "../format/meta-record.ts";
import type { ControlParts } from "./control-parts.ts";
import { type Change, putRecord, unchanged } from "./meta-records.ts";
import type { PoolQuotas } from "./pool-quotas.ts";
import type { Mark } from "./request-outcomes.ts";

const GONE: Change<void> = { compares: [], operations: [], result: undefined };

export class ContainerRemoval {
  readonly #parts: ControlParts;
  readonly #quotas: PoolQuotas;
  readonly #returned: (rank: number) => Promise<void>;

  /** `returned`: what was written down for an engine is done now, if it has come back meanwhile. */
  constructor(parts: ControlParts, quotas: PoolQuotas, returned: (rank: number) => Promise<void>) {
    this.#parts = parts;
    this.#quotas = quotas;
    this.#returned = returned;
  }

  /** Commits the intent. From then on the container takes no new handles. Without force BUSY when it has snapshots. */
  markDestroying({ pool, id }: ContainerRecord, force: boolean, mark: Mark): Promise<void> {
    const { records } = this.#parts;
    return records.change("destroy a container", async () => {
      const stored = await records.get("container", containerKey(pool, id));
      if (stored === undefined) return GONE;
      if (stored.record.state === "destroying") return mark(GONE, stored.key);
      const { label, snapshots } = stored.record;
      if (!force && snapshots > 0) {
        throw new DaosError(
          "BUSY",
          `Cannot destroy container "${label}": it has ${snapshots} snapshot(s). ` +
            "Destroy those first, or destroy it with --force.",
        );
      }
      const marked: ContainerRecord = { ...stored.record, state: "destroying" };
      const operations = [putRecord("container", stored.key, marked)];
      return mark({ compares: [unchanged(stored)], operations, result: undefined }, stored.key);
    });
  }

  /**
   * Ends a container that was begun or marked and not finished; one that is ready, or gone, is left as it is. So what
   * another process has just completed is never taken away from it.
   */
  async settle({ pool, id }: ContainerRecord): Promise<void> {
    const { records } = this.#parts;
    const unfinished = await records.change("settle a container", async () => {
      const stored = await records.get("container", containerKey(pool, id));
      if (stored === undefined || stored.record.state === "ready") return { ...GONE, result: undefined };
      if (stored.record.state === "destroying") return { ...GONE, result: stored.record };
      const marked: ContainerRecord = { ...stored.record, state: "destroying" };
      return {
        compares: [unchanged(stored)],
        operations: [putRecord("container", stored.key, marked)],
        result: marked,
      };
    });
    if (unfinished !== undefined) await this.finish(unfinished);
  }

  /** Removes a marked container from the targets, from its pool's quota and from the records. */
  async finish(record: ContainerRecord): Promise<void> {
    const away = await this.#parts.targets.destroyContainer(record.number, record.pool);
    await this.#quotas.refresh(record.pool);
    await this.#removeRecords(record, away);
  }

  /** As `finish`, for a container whose pool goes too. */
  async finishWithPool(record: ContainerRecord): Promise<void> {
    const away = await this.#parts.targets.destroyContainer(record.number, record.pool);
    await this.#removeRecords(record, away);
  }

  /** Engines that were away are to remove the container when they are back: written down with the rest. */
  async #removeRecords({ pool, id, number }: ContainerRecord, away: readonly number[]): Promise<void> {
    const { records } = this.#parts;
    const owed = away.map((rank) => putRecord("removal", removalKey(rank, number), { pool }));
    await records.change("destroy a container", async () => {
      const stored = await records.get("container", containerKey(pool, id));
      const parent = await records.get("pool", poolKey(pool));
      if (stored === undefined || parent === undefined) return GONE;
      const snapshots = await records.all("snapshot", snapshotPrefix(id));
      const removed = [stored.key, containerLabelKey(pool, stored.record.label), ...snapshots.map(({ key }) => key)];
      return {
        compares: [unchanged(stored), unchanged(parent)],
        operations: [
          putRecord("pool", parent.key, { ...parent.record, containers: parent.record.containers - 1 }),
          ...removed.map((key) => ({ remove: key })),
          ...owed,
        ],
        result: undefined,
      };
    });
    for (const rank of away) await this.#returned(rank);
  }
}
