/**
 * Tells the targets what the containers of a pool may take together, which of their values live in SCM, what rebuilding
 * may do, and when they are scrubbed. The records are the truth: each call sends the state as it is then, one call of a pool after the
 * other, so the last one wins whatever the order of its causes.
 */
import { DEFAULT_REBUILD_SHARE, INLINE_VALUE_BYTES } from "../base/limits.ts";
import { REBUILD_PAUSED, selfHealOf } from "../base/property-values.ts";
import { scrubSettings } from "../base/scrub-properties.ts";
import type { RebuildPolicy } from "../format/engine-operations.ts";
import type { PoolRecord } from "../format/meta-record.ts";
import { containerPrefix, poolKey } from "../format/meta-key.ts";
import type { ScrubSettings } from "../format/scrub.ts";
import type { ControlParts } from "./control-parts.ts";
import { goneQuota } from "./engine-set.ts";
import type { EngineLink } from "./members.ts";
import type { SelfHeal } from "./self-heal.ts";

/** A pool's size, containers and threshold, as the targets are told. */
interface Quota {
  readonly sizeBytes: number;
  readonly containers: readonly number[];
  readonly threshold: number | "auto";
  readonly rebuild: RebuildPolicy;
  readonly scrub: ScrubSettings;
}

/** What the properties of a pool, and the system, say of rebuilding. */
export function rebuildPolicy(properties: PoolRecord["properties"], selfHeal: SelfHeal): RebuildPolicy {
  return {
    share: Number(properties["rebuild_share"] ?? DEFAULT_REBUILD_SHARE),
    isPaused:
      properties["rebuild"] === REBUILD_PAUSED ||
      !selfHealOf(properties).has("rebuild") ||
      !selfHeal.allows("pool_rebuild"),
  };
}

export class PoolQuotas {
  readonly #parts: ControlParts;

  constructor(parts: ControlParts) {
    this.#parts = parts;
  }

  /** Sends the pool's size and containers, those on their way out excepted; for a pool that is gone, that it is gone. */
  async refresh(pool: string): Promise<void> {
    await this.#refresh(pool);
  }

  /** As `refresh`, of a pool that is on its way out; resolves with the ranks that were away. */
  async forget(pool: string): Promise<readonly number[]> {
    return (await this.#refresh(pool)) ?? [];
  }

  #refresh(pool: string): Promise<readonly number[] | undefined> {
    const { locks, targets } = this.#parts;
    return locks.run(`quota/${pool}`, async () => {
      const quota = await this.#quota(pool);
      if (quota === undefined) return targets.forgetPool(pool);
      const { sizeBytes, containers, threshold, rebuild, scrub } = quota;
      await targets.setQuota(pool, sizeBytes, containers, threshold, rebuild, scrub);
      return undefined;
    });
  }

  /** As `refresh`, to one engine. */
  refreshOn(pool: string, link: EngineLink): Promise<void> {
    return this.#parts.locks.run(`quota/${pool}`, async () => {
      const quota = await this.#quota(pool);
      if (quota === undefined) {
        await link.call("setQuota", goneQuota(pool));
        return;
      }
      const { sizeBytes, containers, threshold: thresholdBytes, rebuild, scrub } = quota;
      const targetBytes = await this.#parts.mapStore.targetShare(pool, sizeBytes);
      await link.call("setQuota", { pool, targetBytes, containers, thresholdBytes, rebuild, scrub });
    });
  }

  /** Undefined: it is gone, or on its way out. */
  async #quota(pool: string): Promise<Quota | undefined> {
    const { records } = this.#parts;
    const stored = await records.get("pool", poolKey(pool));
    if (stored === undefined || stored.record.state === "destroying") return undefined;
    const all = await records.all("container", containerPrefix(pool));
    const containers = all.filter(({ record }) => record.state !== "destroying").map(({ record }) => record.number);
    const { properties } = stored.record;
    const threshold = properties["data_threshold"] ?? INLINE_VALUE_BYTES;
    return {
      sizeBytes: stored.record.sizeBytes,
      containers,
      threshold: threshold === "auto" ? "auto" : Number(threshold),
      scrub: scrubSettings(properties),
      rebuild: rebuildPolicy(properties, this.#parts.selfHeal),
    };
  }
}
