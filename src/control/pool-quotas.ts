/**
 * Tells the targets what the containers of a pool may take together, and which of their values live in SCM. The records are the truth: each call sends the
 * state as it is then, one call of a pool after the other, so the last one wins whatever the order of its causes.
 */
import { INLINE_VALUE_BYTES } from "../base/limits.ts";
import { containerPrefix, poolKey } from "../format/meta-key.ts";
import type { ControlParts } from "./control-parts.ts";

export class PoolQuotas {
  readonly #parts: ControlParts;

  constructor(parts: ControlParts) {
    this.#parts = parts;
  }

  /** Sends the pool's size and containers, those on their way out excepted; for a pool that is gone, that it is gone. */
  refresh(pool: string): Promise<void> {
    const { locks, records, targets } = this.#parts;
    return locks.run(`quota/${pool}`, async () => {
      const stored = await records.get("pool", poolKey(pool));
      if (stored === undefined || stored.record.state === "destroying") {
        return targets.setQuota(pool, 0, [], INLINE_VALUE_BYTES);
      }
      const containers = await records.all("container", containerPrefix(pool));
      const kept = containers.filter(({ record }) => record.state !== "destroying").map(({ record }) => record.number);
      const threshold = stored.record.properties["data_threshold"] ?? INLINE_VALUE_BYTES;
      return targets.setQuota(pool, stored.record.sizeBytes, kept, threshold === "auto" ? "auto" : Number(threshold));
    });
  }
}
