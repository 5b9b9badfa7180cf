/**
 * Takes engines back into their pools that were excluded because nobody heard of them, once they are there again and stay: so
 * a host that restarts needs nobody. What an administrator has excluded or drained stays out. One that comes and goes
 * is left out for longer each time.
 */
import { DaosError } from "../base/errors.ts";
import { selfHealOf } from "../base/property-values.ts";
import { mapKey, POOL_PREFIX } from "../format/meta-key.ts";
import type { MapRecord, PoolRecord } from "../format/meta-record.ts";
import type { Members } from "./members.ts";
import type { MetaRecords } from "./meta-records.ts";
import type { PoolMapService } from "./pool-map-service.ts";
import type { SelfHeal } from "./self-heal.ts";
import { Watch, type WatchParts } from "./watch.ts";

const TICK_MS = 1_000;
/** An engine has to be there for so long; each time it is taken back again within CALM_MS twice as long, up to the most. */
const STAY_MS = 5_000;
const MOST_STAY_MS = 600_000;
const CALM_MS = 3_600_000;

interface Returning {
  /** Since when it is there; undefined: it is not. */
  sinceMs: number | undefined;
  stayMs: number;
  takenBackMs: number;
}

export interface ReturnWatchParts extends WatchParts {
  readonly members: Members;
  readonly maps: PoolMapService;
  readonly records: MetaRecords;
  readonly selfHeal: SelfHeal;
}

export class ReturnWatch extends Watch {
  readonly #parts: ReturnWatchParts;
  readonly #returning = new Map<number, Returning>();
  /** Pools of which was told that something cannot be taken back, with what. */
  readonly #told = new Map<string, string>();

  constructor(parts: ReturnWatchParts) {
    super(parts, TICK_MS);
    this.#parts = parts;
  }

  /** One look at all pools. */
  async tick(): Promise<void> {
    const { records, selfHeal } = this.#parts;
    this.#lookAtEngines();
    if (!selfHeal.allows("pool_reintegrate")) return;
    for (const { record } of await records.all("pool", POOL_PREFIX)) {
      if (record.state !== "ready" || !selfHealOf(record.properties).has("reintegrate")) continue;
      const map = (await records.get("map", mapKey(record.id)))?.record;
      if (map !== undefined) await this.#takeBack(record, map);
    }
  }

  #lookAtEngines(): void {
    const { members } = this.#parts;
    const now = members.nowMs();
    for (const { rank } of members.list()) {
      const isThere = members.state(rank) === "joined";
      const known = this.#returning.get(rank) ?? { sinceMs: undefined, stayMs: STAY_MS, takenBackMs: 0 };
      if (!isThere) known.sinceMs = undefined;
      else known.sinceMs ??= now;
      if (now - known.takenBackMs > CALM_MS) known.stayMs = STAY_MS;
      this.#returning.set(rank, known);
    }
  }

  async #takeBack(pool: PoolRecord, map: MapRecord): Promise<void> {
    const { maps, members } = this.#parts;
    const back = map.targets.filter((target) => isSilent(target) && this.#stays(target.rank));
    if (back.length === 0) return;
    try {
      await maps.reintegrate({ pool: pool.id, targets: back.map(({ index }) => index) });
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      // While others are filled with what it had it is BUSY.
      if (error.code !== "BUSY") this.#tell(pool, error.message);
      return;
    }
    this.#told.delete(pool.id);
    for (const rank of new Set(back.map((target) => target.rank))) {
      const returning = this.#returning.get(rank)!;
      const now = members.nowMs();
      if (now - returning.takenBackMs > TICK_MS) returning.stayMs = Math.min(MOST_STAY_MS, 2 * returning.stayMs);
      returning.takenBackMs = now;
      const what = `pool "${pool.label}" takes rank ${rank} back: it is heard of again`;
      this.#parts.event("pool_engine_returns", what, { pool: pool.label, rank });
    }
  }

  #stays(rank: number): boolean {
    const { sinceMs, stayMs } = this.#returning.get(rank) ?? {};
    return sinceMs !== undefined && this.#parts.members.nowMs() - sinceMs >= stayMs!;
  }

  #tell({ id, label }: PoolRecord, reason: string): void {
    if (this.#told.get(id) === reason) return;
    this.#told.set(id, reason);
    this.#parts.event("warn", `pool "${label}" cannot take back what was excluded: ${reason}`);
  }
}

/** It went because nobody heard of its engine, and is out of service. */
function isSilent({ state, silent }: MapRecord["targets"][number]): boolean {
  return silent === true && (state === "DOWN" || state === "DOWNOUT");
}
