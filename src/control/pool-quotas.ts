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

const GONE: Quota = {
  sizeBytes: 0,
  containers: [],
  threshold: INLINE_VALUE_BYTES,
  rebuild: { share: DEFAULT_REBUILD_SHARE, isPaused: false },
  scrub: scrubSettings({}),
};

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
  refresh(pool: string): Promise<void> {
    const { locks, targets } = this.#parts;
    return locks.run(`quota/${pool}`, async () => {
      const { sizeBytes, containers, threshold, rebuild, scrub } = await this.#quota(pool);
      await targets.setQuota(pool, sizeBytes, containers, threshold, rebuild, scrub);
    });
  }

  /** As `refresh`, to one engine. */
  refreshOn(pool: string, link: EngineLink): Promise<void> {
    return this.#parts.locks.run(`quota/${pool}`, async () => {
      const { sizeBytes, containers, threshold: thresholdBytes, rebuild, scrub } = await this.#quota(pool);
      const targetBytes = await this.#parts.mapStore.targetShare(pool, sizeBytes);
      await link.call("setQuota", { pool, targetBytes, containers, thresholdBytes, rebuild, scrub });
    });
  }

  async #quota(pool: string): Promise<Quota> {
    const { records } = this.#parts;
    const stored = await records.get("pool", poolKey(pool));
    if (stored === undefined || stored.record.state === "destroying") return GONE;
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
