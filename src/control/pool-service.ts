/**
 * Pools: create, list, query, destroy, properties. A pool is a quota over the targets' space; the sum of all pools never
 * exceeds what the devices hold, also when several admins create pools at once: each change of a size compares the
 * counter that all of them move.
 */
import { DaosError } from "../base/errors.ts";
import { checkLabel } from "../base/label.ts";
import { MAX_POOL_TARGETS, MAX_POOLS, MIN_POOL_BYTES } from "../base/limits.ts";
import { checkProperties, checkUserAttributeCount } from "../base/properties.ts";
import { formatSize } from "../base/size.ts";
import {
  containerPrefix,
  mapKey,
  POOL_COUNTER_KEY,
  POOL_PREFIX,
  poolKey,
  poolLabelKey,
  removalKey,
} from "../format/meta-key.ts";
import type { MapRecord, PoolRecord } from "../format/meta-record.ts";
import type {
  PoolCreateArguments,
  PoolDescription,
  PoolDestroyArguments,
  PoolListArguments,
  PoolListReply,
  PoolReference,
  PoolSetPropertiesArguments,
  PropertiesReply,
} from "../format/operations.ts";
import type { ClassCapacity, DataHealth, TierSpace } from "../format/pool-state.ts";
import type { Catalogue } from "./catalogue.ts";
import type { ContainerRemoval } from "./container-removal.ts";
import {
  beingDestroyed,
  type ControlParts,
  countFitting,
  destroyedSince,
  describeProperties,
  isoTime,
  mergeProperties,
  newUuid,
} from "./control-parts.ts";
import { absent, type Change, putRecord, type Stored, unchanged } from "./meta-records.ts";
import { keepPoolNotes } from "./notes.ts";
import { capacityOf, healthOf, worstHealth } from "./pool-health.ts";
import type { PoolQuotas } from "./pool-quotas.ts";
import type { RebuildWatch } from "./rebuild-watch.ts";
import { type Mark, unmarked } from "./request-outcomes.ts";
import type { TierUsage } from "./target-control.ts";

const LIST_PAGE = 256;
/** Properties that the targets go by. */
const TOLD = ["data_threshold", "rebuild_share", "rebuild", "self_heal", "scrub", "scrub_freq", "scrub_rate"];

export class PoolService {
  readonly #parts: ControlParts;
  readonly #catalogue: Catalogue;
  readonly #quotas: PoolQuotas;
  readonly #removal: ContainerRemoval;
  readonly #rebuild: RebuildWatch;

  constructor(
    parts: ControlParts,
    catalogue: Catalogue,
    quotas: PoolQuotas,
    removal: ContainerRemoval,
    rebuild: RebuildWatch,
  ) {
    this.#rebuild = rebuild;
    this.#parts = parts;
    this.#catalogue = catalogue;
    this.#quotas = quotas;
    this.#removal = removal;
  }

  /** Rejects with ALREADY_EXISTS (label), NO_SPACE, INVALID_ARGUMENT, UNSUPPORTED, TOO_LARGE. */
  async create(args: PoolCreateArguments, mark = unmarked): Promise<PoolDescription> {
    checkLabel("pool", args.label);
    if (args.sizeBytes < MIN_POOL_BYTES) {
      const state = `${formatSize(args.sizeBytes)} is too small. Use at least ${formatSize(MIN_POOL_BYTES)}`;
      throw new DaosError("INVALID_ARGUMENT", `Cannot create pool "${args.label}": ${state}.`);
    }
    const properties = mergeProperties({}, checkProperties("pool", args.properties ?? {}, "creation"));
    checkUserAttributeCount("pool", properties);
    const { records, random, clock } = this.#parts;
    const record: PoolRecord = {
      id: newUuid(random),
      label: args.label,
      state: "ready",
      sizeBytes: args.sizeBytes,
      containers: 0,
      createdAtMs: clock.wallMs(),
      properties,
    };
    const labelKey = poolLabelKey(record.label);
    await records.change(`create pool "${record.label}"`, async () => {
      if ((await records.get("label", labelKey)) !== undefined) throw exists(record.label);
      const sized = await this.#resize("create", record);
      const created: Change<void> = {
        compares: [...sized.compares, absent(labelKey), absent(poolKey(record.id)), absent(mapKey(record.id))],
        operations: [
          ...sized.operations,
          putRecord("label", labelKey, { id: record.id }),
          putRecord("map", mapKey(record.id), this.#newMap(record)),
        ],
        result: undefined,
      };
      return mark(created, record.id);
    });
    await keepPoolNotes(this.#parts.records, this.#parts.targets, record.id);
    this.#parts.event("pool_created", `pool "${record.label}" was created`, { pool: record.label });
    return this.#describe(record, [], []);
  }

  async list(args: PoolListArguments): Promise<PoolListReply> {
    const { records } = this.#parts;
    const prefix = poolLabelKey("");
    const limit = args.limit ?? LIST_PAGE;
    const after = args.after === undefined ? undefined : `${prefix}${args.after}`;
    const labels = await records.page("label", prefix, limit, after);
    const described: PoolDescription[] = [];
    for (const { record } of labels) {
      const pool = await records.get("pool", poolKey(record.id));
      if (pool !== undefined) described.push(await this.#describeStored(pool, "in a list"));
    }
    const pools = described.slice(0, countFitting(described));
    const cut = pools.length < described.length ? pools.at(-1)!.label : undefined;
    const anchor = cut ?? (labels.length < limit ? undefined : labels.at(-1)!.key.slice(prefix.length));
    return anchor === undefined ? { pools } : { pools, anchor };
  }

  async query(args: PoolReference): Promise<PoolDescription> {
    return this.#describeStored(await this.#catalogue.pool(args.pool));
  }

  /** Without force refused with BUSY while there are containers. A destruction that was cut off is finished. */
  async destroy(args: PoolDestroyArguments, mark = unmarked): Promise<void> {
    const { id } = (await this.#catalogue.pool(args.pool)).record;
    await this.#parts.locks.run(`pool/${id}`, async () => {
      await this.#markDestroying(id, args.force, mark);
      await this.finishDestroy(id);
    });
  }

  /** The one that was made. Rejects with NOT_FOUND when it has been destroyed since. */
  async queryAgain(id: string): Promise<PoolDescription> {
    const stored = await this.#parts.records.get("pool", poolKey(id));
    if (stored === undefined) throw destroyedSince("pool", id);
    return this.#describeStored(stored);
  }

  /** Of one whose destruction was begun: finishes it, if it still is there. */
  destroyAgain(id: string): Promise<void> {
    return this.#parts.locks.run(`pool/${id}`, async () => {
      if ((await this.#parts.records.get("pool", poolKey(id))) !== undefined) await this.finishDestroy(id);
    });
  }

  async getProperties(args: PoolReference): Promise<PropertiesReply> {
    return { properties: (await this.query(args)).properties };
  }

  /** All of them or none; a new size is told to the targets before the answer. INVALID_ARGUMENT for less than is used. */
  async setProperties(args: PoolSetPropertiesArguments, mark = unmarked): Promise<PropertiesReply> {
    const { label, size, ...changed } = checkProperties("pool", args.properties, "later");
    const { records } = this.#parts;
    const { id } = (await this.#catalogue.pool(args.pool)).record;
    if (size !== undefined) await this.#checkUsed(id, size as number);
    await records.change(`set properties of pool "${args.pool}"`, async () => {
      const pool = await this.#catalogue.pool(id);
      if (pool.record.state !== "ready") throw beingDestroyed("set properties of", "pool", pool.record.label);
      const properties = mergeProperties(pool.record.properties, changed);
      checkUserAttributeCount("pool", properties);
      const record: PoolRecord = {
        ...pool.record,
        properties,
        label: (label as string | undefined) ?? pool.record.label,
        sizeBytes: (size as number | undefined) ?? pool.record.sizeBytes,
      };
      return mark(await this.#replace(pool, record), id);
    });
    if (size !== undefined || TOLD.some((name) => name in changed)) await this.#quotas.refresh(id);
    await keepPoolNotes(records, this.#parts.targets, id);
    return this.getProperties({ pool: id });
  }

  /** Of those that were set: the targets are told, and what they are now. */
  async setPropertiesAgain(id: string): Promise<PropertiesReply> {
    await this.#quotas.refresh(id);
    await keepPoolNotes(this.#parts.records, this.#parts.targets, id);
    return { properties: (await this.queryAgain(id)).properties };
  }

  /** Removes a marked pool with all in it. The caller holds the lock `pool/<id>`, or is `resume`. */
  async finishDestroy(id: string): Promise<void> {
    const { records, locks } = this.#parts;
    for (const { record } of await records.all("container", containerPrefix(id))) {
      await locks.run(`container/${record.id}`, () => this.#removal.finishWithPool(record));
    }
    const away = await this.#quotas.forget(id);
    const label = await records.change("destroy a pool", async () => {
      const pool = await records.get("pool", poolKey(id));
      const counter = await records.get("counter", POOL_COUNTER_KEY);
      if (pool === undefined) return { compares: [], operations: [], result: undefined };
      return {
        compares: [unchanged(pool), { key: POOL_COUNTER_KEY, revision: counter?.revision ?? 0 }],
        operations: [
          { remove: pool.key },
          { remove: poolLabelKey(pool.record.label) },
          { remove: mapKey(id) },
          ...away.map((rank) => putRecord("removal", removalKey(rank, id), { pool: id })),
          putRecord("counter", POOL_COUNTER_KEY, { value: (counter?.record.value ?? 0) + 1 }),
        ],
        result: pool.record.label,
      };
    });
    if (label !== undefined) this.#parts.event("pool_destroyed", `pool "${label}" was destroyed`, { pool: label });
  }

  #markDestroying(id: string, force: boolean, mark: Mark): Promise<void> {
    const { records } = this.#parts;
    return records.change("destroy a pool", async () => {
      const pool = await this.#catalogue.pool(id);
      const { state, containers, label } = pool.record;
      if (state === "destroying") return mark({ compares: [], operations: [], result: undefined }, id);
      if (containers > 0 && !force) {
        const what = `it holds ${containers} container(s). Destroy those first, or destroy it with --force`;
        throw new DaosError("BUSY", `Cannot destroy pool "${label}": ${what}.`);
      }
      const marked: PoolRecord = { ...pool.record, state: "destroying" };
      const operations = [putRecord("pool", pool.key, marked)];
      return mark({ compares: [unchanged(pool)], operations, result: undefined }, id);
    });
  }

  /** The change from one record to another one: label record and sum of sizes included. */
  async #replace(from: Stored<"pool">, to: PoolRecord): Promise<Change<void>> {
    const sized =
      to.sizeBytes === from.record.sizeBytes
        ? { compares: [], operations: [putRecord("pool", from.key, to)] }
        : await this.#resize("resize", to);
    const compares = [...sized.compares, unchanged(from)];
    if (to.label === from.record.label) return { compares, operations: sized.operations, result: undefined };
    const labelKey = poolLabelKey(to.label);
    if ((await this.#parts.records.get("label", labelKey)) !== undefined) throw exists(to.label);
    const relabel = [putRecord("label", labelKey, { id: to.id }), { remove: poolLabelKey(from.record.label) }];
    return {
      compares: [...compares, absent(labelKey)],
      operations: [...sized.operations, ...relabel],
      result: undefined,
    };
  }

  /** The part of a change that gives `record` its size. Throws NO_SPACE when the devices do not hold it, TOO_LARGE. */
  async #resize(action: "create" | "resize", record: PoolRecord): Promise<Omit<Change<void>, "result">> {
    const { records, targets } = this.#parts;
    const counter = await records.get("counter", POOL_COUNTER_KEY);
    const others = (await records.all("pool", POOL_PREFIX)).filter((other) => other.record.id !== record.id);
    if (action === "create" && others.length >= MAX_POOLS) {
      const state = `there are ${others.length} pools, the most there may be. Destroy one first`;
      throw new DaosError("TOO_LARGE", `Cannot create pool "${record.label}": ${state}.`);
    }
    const space = await targets.space();
    const totalBytes = space.scmTotalBytes + space.nvmeTotalBytes;
    const givenBytes = others.reduce((sum, other) => sum + other.record.sizeBytes, 0);
    if (record.sizeBytes > totalBytes - givenBytes) {
      const free = `${formatSize(Math.max(0, totalBytes - givenBytes))} (${Math.max(0, totalBytes - givenBytes)} bytes)`;
      throw new DaosError(
        "NO_SPACE",
        `Cannot ${action} pool "${record.label}" with ${formatSize(record.sizeBytes)}: ${free} of the devices' ` +
          `${formatSize(totalBytes)} are not given to a pool (${others.length} other pools). ` +
          "Use a smaller size, or shrink or destroy a pool.",
      );
    }
    return {
      compares: [{ key: POOL_COUNTER_KEY, revision: counter?.revision ?? 0 }],
      operations: [
        putRecord("pool", poolKey(record.id), record),
        putRecord("counter", POOL_COUNTER_KEY, { value: (counter?.record.value ?? 0) + 1 }),
      ],
    };
  }

  /** Throws TOO_LARGE when it would name more targets than a map may. */
  #newMap({ label }: PoolRecord): MapRecord {
    const map = this.#parts.mapStore.forNewPool();
    if (map.targets.length <= MAX_POOL_TARGETS) return map;
    const state = `the system has ${map.targets.length} targets, a pool may have ${MAX_POOL_TARGETS}`;
    throw new DaosError("TOO_LARGE", `Cannot create pool "${label}": ${state}.`);
  }

  /** In a list without what takes a call of all engines for each pool. */
  async #describeStored({ record }: Stored<"pool">, where?: "in a list"): Promise<PoolDescription> {
    const { records, targets } = this.#parts;
    const containers = await records.all("container", containerPrefix(record.id));
    const numbers = containers.map((container) => container.record.number);
    const usage = await targets.usage(numbers, record.id);
    const factors = containers.map(({ record: { properties } }) => Number(properties["rd_fac"] ?? 0));
    return this.#describe(record, [...usage.values()], factors, where);
  }

  async #describe(
    record: PoolRecord,
    usage: readonly TierUsage[],
    factors: readonly number[],
    where?: "in a list",
  ): Promise<PoolDescription> {
    const space = await this.#parts.targets.space();
    const map = (await this.#parts.mapStore.find(record.id))?.record;
    const scmUsedBytes = usage.reduce((sum, used) => sum + used.scmBytes, 0);
    const nvmeUsedBytes = usage.reduce((sum, used) => sum + used.nvmeBytes, 0);
    const leftBytes = record.sizeBytes - scmUsedBytes - nvmeUsedBytes;
    return {
      id: record.id,
      label: record.label,
      state: record.state,
      sizeBytes: record.sizeBytes,
      usedBytes: scmUsedBytes + nvmeUsedBytes,
      scmUsedBytes,
      nvmeUsedBytes,
      scm: tierSpace(space.scmTotalBytes, space.scmUsedBytes),
      log: tierSpace(space.logTotalBytes, space.logUsedBytes),
      nvme: tierSpace(space.nvmeTotalBytes, space.nvmeUsedBytes),
      containers: record.containers,
      targets: map?.targets.length ?? 0,
      rebuild: await this.#rebuild.describe(record, map),
      ...(map !== undefined && { health: this.#health(record, map, factors) }),
      ...(map !== undefined && where === undefined && { capacity: await this.#capacity(map, leftBytes) }),
      createdAt: isoTime(record.createdAtMs),
      properties: describeProperties("pool", { label: record.label, size: record.sizeBytes }, record.properties),
    };
  }

  /** Of the container that is worst off; of a pool without any, of one that it would get. */
  #health({ properties }: PoolRecord, map: MapRecord, factors: readonly number[]): DataHealth {
    const { members } = this.#parts;
    const present = factors.length > 0 ? factors : [Number(properties["rd_fac"] ?? 0)];
    return worstHealth([...new Set(present)].map((factor) => healthOf(map, factor, (rank) => members.isHere(rank))));
  }

  async #capacity(map: MapRecord, quotaBytes: number): Promise<ClassCapacity[]> {
    const { members, spaceByRank } = this.#parts;
    const spaces = await spaceByRank();
    const freeOf = (rank: number): number => {
      const space = spaces.get(rank);
      if (space === undefined) return 0;
      const freeBytes = space.scmTotalBytes - space.scmUsedBytes + space.nvmeTotalBytes - space.nvmeUsedBytes;
      return Math.max(0, freeBytes / Math.max(1, members.get(rank)?.targets.length ?? 1));
    };
    return capacityOf(map, freeOf, quotaBytes);
  }

  /** Throws INVALID_ARGUMENT for a size that is less than what is used. */
  async #checkUsed(id: string, sizeBytes: number): Promise<void> {
    const { label, usedBytes } = await this.queryAgain(id);
    if (usedBytes <= sizeBytes) return;
    const state = `it holds ${formatSize(usedBytes)} (${usedBytes} bytes)`;
    throw new DaosError(
      "INVALID_ARGUMENT",
      `Cannot resize pool "${label}" to ${formatSize(sizeBytes)}: ${state}. Use at least that much, or remove data first.`,
    );
  }
}

function tierSpace(totalBytes: number, usedBytes: number): TierSpace {
  return { totalBytes, usedBytes, freeBytes: Math.max(0, totalBytes - usedBytes) };
}

function exists(label: string): DaosError {
  return new DaosError(
    "ALREADY_EXISTS",
    `Cannot use label "${label}": there is a pool of that name. Choose another one.`,
  );
}
