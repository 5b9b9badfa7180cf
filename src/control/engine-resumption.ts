/**
 * Gives an engine that joins what it must know and what it missed while it was away: its pools with their maps and
 * containers, quotas, and the removal of containers and snapshots that were destroyed meanwhile. May be cut off at any
 * moment and run again.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import { epochFrom } from "../base/epoch.ts";
import type { TellEvent } from "../base/events.ts";
import { containerPrefix, POOL_PREFIX, removalPrefix, snapshotPrefix } from "../format/meta-key.ts";
import type { ContainerRecord } from "../format/meta-record.ts";
import { type EngineSet, goneQuota, isAway } from "./engine-set.ts";
import type { KeyedLock } from "./keyed-lock.ts";
import type { EngineLink, Members } from "./members.ts";
import type { MetaRecords } from "./meta-records.ts";
import { notesOf } from "./notes.ts";
import type { PoolMapService } from "./pool-map-service.ts";
import type { PoolQuotas } from "./pool-quotas.ts";

export interface EngineResumptionParts {
  readonly records: MetaRecords;
  readonly locks: KeyedLock;
  readonly members: Members;
  readonly maps: PoolMapService;
  readonly quotas: PoolQuotas;
  readonly engines: Pick<EngineSet, "keepNotesOn">;
  /** Hears of what an engine cannot do; it is asked again when it joins the next time. */
  readonly event: TellEvent;
}

export class EngineResumption {
  readonly #parts: EngineResumptionParts;

  constructor(parts: EngineResumptionParts) {
    this.#parts = parts;
  }

  /** Rejects with UNAVAILABLE or TIMEOUT when the engine cannot be reached. */
  async run(rank: number, link: EngineLink): Promise<void> {
    await this.#removeContainers(rank, link);
    for (const { record } of await this.#parts.records.all("pool", POOL_PREFIX)) {
      if (record.state !== "ready") continue;
      const assignment = await this.#parts.maps.assignment(record.id, rank);
      if (assignment === undefined) continue;
      await this.#parts.maps.giveTo(link, rank, assignment);
      await this.#attempt(`snapshots of pool "${record.label}" on rank ${rank}`, () =>
        this.#reconcileSnapshots(record.id, link),
      );
      await this.#parts.quotas.refreshOn(record.id, link);
      for await (const notes of notesOf(this.#parts.records, record.id)) {
        await this.#parts.engines.keepNotesOn(rank, link, notes);
      }
    }
  }

  /** Containers that were destroyed while an engine was away, if it is here now. */
  async removeContainers(rank: number): Promise<void> {
    const link = this.#parts.members.link(rank);
    if (link === undefined) return;
    try {
      await this.#removeContainers(rank, link);
    } catch (error) {
      if (!isAway(error)) throw error;
    }
  }

  async #removeContainers(rank: number, link: EngineLink): Promise<void> {
    const { records } = this.#parts;
    const prefix = removalPrefix(rank);
    for (const { key } of await records.all("removal", prefix)) {
      const name = key.slice(prefix.length);
      const container = Number(name);
      const isPool = Number.isNaN(container);
      await this.#attempt(`removal of ${isPool ? "pool" : "container"} ${name} from rank ${rank}`, async () => {
        if (isPool) await link.call("setQuota", goneQuota(name));
        else await link.call("destroyContainer", { container });
        await records.change("remove what was destroyed from an engine", async () => ({
          compares: [],
          operations: [{ remove: key }],
          result: undefined,
        }));
      });
    }
  }

  /** What fails on the engine is told and left for the next time; that it is away goes up. */
  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof DaosError) || isAway(error)) throw error;
      this.#parts.event("error", `${what}: ${error.message}`);
    }
  }

  /** Destroys what the records do not know: snapshots destroyed meanwhile, or taken and never told to anybody. */
  async #reconcileSnapshots(pool: string, link: EngineLink): Promise<void> {
    const { records, locks } = this.#parts;
    const stored = await records.all("container", containerPrefix(pool));
    const ready = stored.map(({ record }) => record).filter(({ state }) => state === "ready");
    if (ready.length === 0) return;
    const { snapshots } = await link.call("listSnapshots", { containers: ready.map(({ number }) => number) });
    for (const [index, container] of ready.entries()) {
      if ((snapshots[index] ?? []).length === 0) continue;
      await locks.run(`container/${container.id}`, () => this.#reconcile(container, link));
    }
  }

  async #reconcile({ id, number }: ContainerRecord, link: EngineLink): Promise<void> {
    const known = new Set(
      (await this.#parts.records.all("snapshot", snapshotPrefix(id)))
        .filter(({ record }) => record.state !== "destroying")
        .map(({ record }) => record.epoch),
    );
    const { snapshots } = await link.call("listSnapshots", { containers: [number] });
    for (const epoch of snapshots[0] ?? []) {
      if (known.has(epoch)) continue;
      try {
        await link.call("destroySnapshot", { container: number, epoch: epochFrom(epoch) });
      } catch (error) {
        if (!hasCode(error, "NOT_FOUND")) throw error;
      }
    }
  }
}
