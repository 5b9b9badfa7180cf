/** Scrubbing on request: asks the engines of a pool to begin or end a pass, and how far they are. */
import { DaosError, hasCode } from "../base/errors.ts";
import { scrubSettings } from "../base/scrub-properties.ts";
import type { PoolScrubArguments, PoolScrubReply, TargetScrubStatus } from "../format/scrub.ts";
import type { Catalogue } from "./catalogue.ts";
import { isAway } from "./engine-set.ts";
import type { Members } from "./members.ts";
import { takesPart } from "./pool-map-changes.ts";
import type { PoolMapStore } from "./pool-map-store.ts";

export interface PoolScrubsParts {
  readonly catalogue: Catalogue;
  readonly maps: PoolMapStore;
  readonly members: Members;
}

export class PoolScrubs {
  readonly #parts: PoolScrubsParts;

  constructor(parts: PoolScrubsParts) {
    this.#parts = parts;
  }

  /**
   * Does it, and tells how far each target is. Engines that are away, or of a release that cannot, hear nothing of it: it is said who does not answer. Rejects
   * with NOT_FOUND, and UNAVAILABLE when nobody could be told.
   */
  async run({ pool, action, bytesPerSecond }: PoolScrubArguments): Promise<PoolScrubReply> {
    const { record } = await this.#parts.catalogue.pool(pool);
    const stored = await this.#parts.maps.find(record.id);
    const targets = (stored?.record.targets ?? []).filter(({ state }) => takesPart(state));
    const ranks = [...new Set(targets.map(({ rank }) => rank))];
    const order = { pool: record.id, action, ...(bytesPerSecond !== undefined && { bytesPerSecond }) };
    const told = action === "status" ? [] : await Promise.all(ranks.map((rank) => this.#tell(rank, order)));
    if (told.length > 0 && !told.includes(true)) throw nobody(record.label, action);
    const byRank = new Map<number, readonly (TargetScrubStatus | null)[]>();
    await Promise.all(ranks.map(async (rank) => byRank.set(rank, await this.#ask(rank, record.id))));
    return {
      pool: record.label,
      ...scrubSettings(record.properties),
      targets: targets.map(({ index, rank, target }) => {
        const status = byRank.get(rank)?.[target];
        return { index, rank, ...(status !== undefined && status !== null && { status }) };
      }),
    };
  }

  async #tell(rank: number, order: PoolScrubArguments): Promise<boolean> {
    try {
      await this.#parts.members.link(rank)?.call("scrub", order);
      return this.#parts.members.link(rank) !== undefined;
    } catch (error) {
      if (!isAway(error) && !hasCode(error, "UNSUPPORTED")) throw error;
      return false;
    }
  }

  async #ask(rank: number, pool: string): Promise<readonly (TargetScrubStatus | null)[]> {
    try {
      return (await this.#parts.members.link(rank)?.call("scrubStatus", { pool }))?.targets ?? [];
    } catch (error) {
      if (!isAway(error) && !hasCode(error, "UNSUPPORTED")) throw error;
      return [];
    }
  }
}

function nobody(label: string, action: string): DaosError {
  const state = "none of its engines answers";
  return new DaosError(
    "UNAVAILABLE",
    `Cannot ${action} the scrub of pool "${label}": ${state}. See \`daos system query\`.`,
  );
}
