/**
 * Acts on devices that engines found faulty (src/engine/device-faults.ts): their targets are excluded from the pools that bear it, so that
 * others are filled with what they have. A pool that would lose data keeps them, and they are looked at again later; one without copies of
 * anything does, too: its data can be read nowhere else.
 */
import { hasCode } from "../base/errors.ts";
import { poolKey } from "../format/meta-key.ts";
import { isAway } from "./engine-set.ts";
import type { Members } from "./members.ts";
import type { MetaRecords } from "./meta-records.ts";
import { takesPart } from "./pool-map-changes.ts";
import type { PoolMapService } from "./pool-map-service.ts";
import type { PoolMapStore } from "./pool-map-store.ts";
import { Watch, type WatchParts } from "./watch.ts";

const TICK_MS = 2_000;

export interface DeviceWatchParts extends WatchParts {
  readonly members: Members;
  readonly maps: Pick<PoolMapService, "excludeFaulty" | "keepsCopies" | "poolsOf">;
  readonly store: Pick<PoolMapStore, "find">;
  readonly records: Pick<MetaRecords, "get">;
}

export class DeviceWatch extends Watch {
  readonly #parts: DeviceWatchParts;
  /** By rank, target and pool, why it stays in the map. */
  readonly #refusals = new Map<string, string>();

  constructor(parts: DeviceWatchParts) {
    super(parts, TICK_MS);
    this.#parts = parts;
  }

  /** One look at all engines. */
  async tick(): Promise<void> {
    for (const { rank } of this.#parts.members.list()) {
      const faulty = await this.#faultyOf(rank);
      if (faulty.length > 0) await this.#excludeAll(rank, faulty);
    }
  }

  /** Targets of the engine, by their numbers there; none when it does not answer, or is of a release that does not tell. */
  async #faultyOf(rank: number): Promise<readonly number[]> {
    const { members } = this.#parts;
    if (members.state(rank) !== "joined") return [];
    try {
      return (await members.link(rank)?.call("faultyTargets", {}))?.targets ?? [];
    } catch (error) {
      if (isAway(error) || hasCode(error, "UNSUPPORTED")) return [];
      throw error;
    }
  }

  async #excludeAll(rank: number, faulty: readonly number[]): Promise<void> {
    const { maps, records, store } = this.#parts;
    for (const { pool: id } of await maps.poolsOf([rank])) {
      const pool = await records.get("pool", poolKey(id));
      const map = await store.find(id);
      if (pool?.record.state !== "ready" || map === undefined || !(await maps.keepsCopies(id))) continue;
      const targets = map.record.targets
        .filter((target) => target.rank === rank && faulty.includes(target.target) && takesPart(target.state))
        .map(({ index }) => index);
      if (targets.length > 0)
        this.#told(rank, pool.record.label, targets, await maps.excludeFaulty(pool.record, targets));
    }
  }

  #told(rank: number, label: string, targets: readonly number[], refusal: string | undefined): void {
    const { event } = this.#parts;
    const name = `${rank}/${label}/${targets.join(",")}`;
    const which = `target(s) ${targets.join(", ")} of pool "${label}" (rank ${rank})`;
    if (refusal === undefined) event("warn", `${which} are excluded: their device is faulty`);
    else if (this.#refusals.get(name) !== refusal)
      event("error", `${which} have a faulty device and stay in: ${refusal}`);
    if (refusal === undefined) this.#refusals.delete(name);
    else this.#refusals.set(name, refusal);
  }
}
