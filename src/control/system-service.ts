/**
 * The system itself: its record, made once when the storage is formatted, and what `system query` tells.
 */
import { DaosError } from "../base/errors.ts";
import type { Uuid } from "../base/uuid.ts";
import type { MetaStore } from "../contracts/meta-store.ts";
import type { Clock, Random } from "../contracts/world.ts";
import { mapKey, POOL_PREFIX, SYSTEM_KEY } from "../format/meta-key.ts";
import type { SystemRecord } from "../format/meta-record.ts";
import type { EngineDescription, SystemQueryReply } from "../format/operations.ts";
import { type MapTarget, type PoolMap, servingTarget } from "../format/pool-map.ts";
import type { StoreSpace } from "../store/cell.ts";
import { CAPABILITY_KEY_BYTES } from "./capability-authority.ts";
import { countFitting } from "./control-parts.ts";
import type { Members } from "./members.ts";
import { absent, MetaRecords, putRecord } from "./meta-records.ts";
import type { TargetControl } from "./target-control.ts";

export interface OpenSystemOptions {
  /** Make the record when there is none: the storage is being formatted. */
  readonly create: boolean;
  /** From the storage's superblock. */
  readonly id: Uuid;
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * The system's record, which holds the key that capabilities are signed with. Rejects with CORRUPT when the meta store
 * has none or that of another system: it does not belong to this storage.
 */
export async function openSystem(store: MetaStore, options: OpenSystemOptions): Promise<SystemRecord> {
  const records = new MetaRecords(store);
  const record = await records.change("open the system", async () => {
    const stored = await records.get("system", SYSTEM_KEY);
    if (stored !== undefined) return { compares: [], operations: [], result: stored.record };
    if (!options.create) throw foreign(options, "the meta store has no record of it");
    const key = new Uint8Array(CAPABILITY_KEY_BYTES);
    options.random.fill(key);
    const created: SystemRecord = {
      id: options.id,
      name: options.name,
      createdAtMs: options.clock.wallMs(),
      capabilityKey: Buffer.from(key).toString("hex"),
    };
    const operations = [putRecord("system", SYSTEM_KEY, created)];
    return { compares: [absent(SYSTEM_KEY)], operations, result: created };
  });
  if (record.id === options.id && record.name === options.name) return record;
  throw foreign(options, `the meta store belongs to system "${record.name}" (${record.id})`);
}

/** The key of a system's capabilities, 32 bytes. */
export function capabilityKeyOf(record: SystemRecord): Uint8Array {
  return new Uint8Array(Buffer.from(record.capabilityKey, "hex"));
}

/** What the engine knows about itself. */
export interface EngineFacts {
  /** Name and release, such as `daos 0.1.0`. */
  readonly software: string;
  /** The storage folder. */
  readonly storage: string;
  readonly pid: number;
  /** When it started, on the monotonic clock, nanoseconds. */
  readonly startedAtNs: number;
}

export interface SystemServiceParts {
  readonly name: string;
  readonly facts: EngineFacts;
  readonly targets: TargetControl;
  readonly spaceByRank: () => Promise<ReadonlyMap<number, StoreSpace>>;
  readonly clock: Clock;
  readonly members: Members;
  readonly records: MetaRecords;
  /** Why a suspect is not excluded. */
  readonly reason: (rank: number) => string | undefined;
}

export class SystemService {
  readonly #parts: SystemServiceParts;

  constructor(parts: SystemServiceParts) {
    this.#parts = parts;
  }

  async query(): Promise<SystemQueryReply> {
    const { name, facts, targets, clock } = this.#parts;
    const space = await targets.space();
    return {
      system: name,
      software: facts.software,
      uptimeMs: Math.floor((clock.monotonicNs() - facts.startedAtNs) / 1e6),
      storage: facts.storage,
      pid: facts.pid,
      map: this.#map(),
      scmTotalBytes: space.scmTotalBytes,
      scmUsedBytes: space.scmUsedBytes,
      nvmeTotalBytes: space.nvmeTotalBytes,
      nvmeUsedBytes: space.nvmeUsedBytes,
      engines: await this.#engines(),
      pools: await this.#pools(),
    };
  }

  #map(): PoolMap {
    const targets: MapTarget[] = [];
    for (const { rank, domain, targets: addresses } of this.#parts.members.list()) {
      for (const address of addresses) {
        targets.push(servingTarget({ index: targets.length, ...address }, rank, domain));
      }
    }
    return { version: 1, targets };
  }

  async #engines(): Promise<EngineDescription[]> {
    const { members, reason, spaceByRank } = this.#parts;
    const spaces = await spaceByRank();
    const nowMs = members.nowMs();
    return members.list().map((record): EngineDescription => {
      const { rank, engine, domain, targets } = record;
      const state = members.state(rank);
      const space = spaces.get(rank);
      const exclusionAtMs = state === "suspect" ? members.exclusionAtMs(rank) : undefined;
      const why = state === "suspect" ? reason(rank) : undefined;
      return {
        rank,
        id: engine,
        state,
        domain,
        address: members.addressOf(rank),
        targets: targets.length,
        ...members.releases.get(rank),
        ...(exclusionAtMs !== undefined && why === undefined && { exclusionInMs: Math.max(0, exclusionAtMs - nowMs) }),
        ...(why !== undefined && { reason: why }),
        scmTotalBytes: space?.scmTotalBytes ?? 0,
        scmUsedBytes: space?.scmUsedBytes ?? 0,
        nvmeTotalBytes: space?.nvmeTotalBytes ?? 0,
        nvmeUsedBytes: space?.nvmeUsedBytes ?? 0,
      };
    });
  }

  async #pools(): Promise<NonNullable<SystemQueryReply["pools"]>> {
    const { records } = this.#parts;
    const pools = await records.all("pool", POOL_PREFIX);
    const described = await Promise.all(
      pools.map(async ({ record }) => {
        const map = (await records.get("map", mapKey(record.id)))?.record;
        const down = map?.targets.filter(({ state }) => state === "DOWN" || state === "DOWNOUT").length ?? 0;
        return { label: record.label, mapVersion: map?.version ?? 1, down };
      }),
    );
    return described.slice(0, countFitting(described));
  }
}

function foreign({ name, create }: OpenSystemOptions, state: string): DaosError {
  const advice = create
    ? "Give this one a meta store of its own, or a prefix of its own in it"
    : "Name the meta store that belongs to this storage folder, or bring its records back: `daos system restore`; " +
      "the data in the folder is as it was";
  return new DaosError("CORRUPT", `Cannot open system "${name}": ${state}. ${advice}.`);
}
