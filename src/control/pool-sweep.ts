/**
 * An operation on the targets of some engines in all pools, some pools a call: each pool has its outcome, and one that
 * refuses does not keep the others from it.
 */
import { DaosError } from "../base/errors.ts";
import { poolKey, poolLabelKey } from "../format/meta-key.ts";
import type { PoolTargetsArguments, PoolTargetsReply } from "../format/pool-targets.ts";
import type { PoolOutcome, SystemRanksArguments, SystemRanksReply } from "../format/system-operations.ts";
import type { Members } from "./members.ts";
import type { MetaRecords } from "./meta-records.ts";
import { ranksOf } from "./pool-map-changes.ts";
import type { PoolMapStore } from "./pool-map-store.ts";

/** Pools that one call works on, all at once: each may take a second or two. */
const PAGE_POOLS = 32;

export interface PoolSweepParts {
  readonly records: MetaRecords;
  readonly members: Members;
  readonly store: PoolMapStore;
}

export class PoolSweep {
  readonly #parts: PoolSweepParts;

  constructor(parts: PoolSweepParts) {
    this.#parts = parts;
  }

  /** Rejects with NOT_FOUND for a rank that the system does not have. May be repeated. */
  async run(
    { ranks, force, after }: SystemRanksArguments,
    change: (args: PoolTargetsArguments) => Promise<PoolTargetsReply>,
  ): Promise<SystemRanksReply> {
    for (const rank of ranks) this.#parts.members.check(rank);
    const prefix = poolLabelKey("");
    const from = after === undefined ? undefined : `${prefix}${after}`;
    const labels = await this.#parts.records.page("label", prefix, PAGE_POOLS, from);
    const outcomes = await Promise.all(
      labels.map(({ record }) => this.#changePool(record.id, ranks, force === true, change)),
    );
    const pools = outcomes.filter((outcome) => outcome !== undefined);
    return labels.length < PAGE_POOLS ? { pools } : { pools, anchor: labels.at(-1)!.key.slice(prefix.length) };
  }

  /** Undefined for a pool that has no part of the ranks, or is being destroyed. */
  async #changePool(
    id: string,
    ranks: readonly number[],
    force: boolean,
    change: (args: PoolTargetsArguments) => Promise<PoolTargetsReply>,
  ): Promise<PoolOutcome | undefined> {
    const { records, store } = this.#parts;
    const pool = await records.get("pool", poolKey(id));
    const map = pool?.record.state === "ready" ? (await store.find(id))?.record : undefined;
    if (pool === undefined || map === undefined) return undefined;
    const own = ranksOf(map).filter((rank) => ranks.includes(rank));
    if (own.length === 0) return undefined;
    const { label } = pool.record;
    try {
      const { map: now } = await change({ pool: id, ranks: own, ...(force && { force }) });
      const outcome = now.version === map.version ? "unchanged" : "changed";
      return { pool: label, outcome, mapVersion: now.version };
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      return { pool: label, outcome: "failed", code: error.code, message: error.message };
    }
  }
}
