/**
 * Quotas on one target: a pool's containers together may take so many bytes of its tiers. Checked before each write
 * against a sum that is renewed after every QUOTA_RENEW_BYTES of writes or QUOTA_RENEW_MS, so a pool can go over its
 * quota by at most that much, never by an unbounded amount.
 */
import { DaosError } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import type { Clock } from "../contracts/world.ts";
import type { CellStore, CellUsage } from "../store/cell.ts";
import type { TargetQuota } from "./target-calls.ts";

export const QUOTA_RENEW_BYTES = 4 * MIB;
export const QUOTA_RENEW_MS = 200;

export interface PoolQuota {
  readonly pool: string;
  sizeBytes: number;
  containers: Set<number>;
  /** Bytes in use when last summed, plus what was written since. */
  usedBytes: number;
  writtenBytes: number;
  /** When a full pool may be summed again, monotonic milliseconds; 0: it was not summed since it was set. */
  renewAtMs: number;
}

export class QuotaTable {
  readonly #byPool = new Map<string, PoolQuota>();
  readonly #byContainer = new Map<number, PoolQuota>();
  readonly #usage: (container: number) => CellUsage;
  readonly #nowMs: () => number;

  constructor(usage: (container: number) => CellUsage, nowMs: () => number) {
    this.#usage = usage;
    this.#nowMs = nowMs;
  }

  /** Sets or changes a pool's quota; without containers the pool is forgotten. Attachments keep the same PoolQuota. */
  set({ pool, sizeBytes, containers }: Pick<TargetQuota, "pool" | "sizeBytes" | "containers">): void {
    const entry = this.#byPool.get(pool) ?? {
      pool,
      sizeBytes,
      containers: new Set<number>(),
      usedBytes: 0,
      writtenBytes: 0,
      renewAtMs: 0,
    };
    for (const container of entry.containers) this.#byContainer.delete(container);
    entry.sizeBytes = sizeBytes;
    entry.containers = new Set(containers);
    entry.renewAtMs = 0;
    if (containers.length === 0) this.#byPool.delete(pool);
    else this.#byPool.set(pool, entry);
    for (const container of containers) this.#byContainer.set(container, entry);
  }

  /** The quota a container counts against; undefined when the container is not known here. */
  of(container: number): PoolQuota | undefined {
    return this.#byContainer.get(container);
  }

  ofPool(pool: string): Readonly<PoolQuota> | undefined {
    return this.#byPool.get(pool);
  }

  /** Charges a write of `sizeBytes`. Throws NO_SPACE when the pool is full. */
  charge(quota: PoolQuota, sizeBytes: number): void {
    quota.writtenBytes += sizeBytes;
    const isDue = quota.writtenBytes > QUOTA_RENEW_BYTES || quota.renewAtMs === 0;
    if (isDue || quota.usedBytes + quota.writtenBytes > quota.sizeBytes) {
      this.#renew(quota, sizeBytes);
    }
    if (quota.usedBytes + quota.writtenBytes <= quota.sizeBytes) return;
    quota.writtenBytes -= sizeBytes;
    throw new DaosError(
      "NO_SPACE",
      `Cannot write to pool "${quota.pool}": its share of this target, ${formatSize(quota.sizeBytes)}, is full. ` +
        "Remove data or snapshots, or make the pool larger.",
    );
  }

  #renew(quota: PoolQuota, sizeBytes: number): void {
    const now = this.#nowMs();
    if (quota.writtenBytes <= QUOTA_RENEW_BYTES && now < quota.renewAtMs) return;
    quota.renewAtMs = now + QUOTA_RENEW_MS;
    quota.usedBytes = 0;
    for (const container of quota.containers) {
      const usage = this.#usage(container);
      quota.usedBytes += usage.scmBytes + usage.nvmeBytes;
    }
    quota.writtenBytes = sizeBytes;
  }
}

/** Of what a store says that its containers take. */
export function quotasOf(store: Pick<CellStore, "usage">, clock: Pick<Clock, "monotonicNs">): QuotaTable {
  return new QuotaTable(
    (container) => store.usage(container),
    () => clock.monotonicNs() / 1e6,
  );
}
