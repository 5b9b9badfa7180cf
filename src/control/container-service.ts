/**
 * Containers: create, list, query, destroy, properties, open.
 *
 * Creating and destroying touch the meta store and the targets. The intent is committed first (state `creating` or
 * `destroying`), then the targets act, then the outcome is committed. After a crash in between, `resume` undoes what was
 * being created and finishes what was being destroyed, so there is never half a container.
 */
import { DaosError } from "../base/errors.ts";
import { checkLabel } from "../base/label.ts";
import { MAX_POOL_CONTAINERS } from "../base/limits.ts";
import { checkProperties, checkUserAttributeCount } from "../base/properties.ts";
import type { Uuid } from "../base/uuid.ts";
import { CAPABILITY_NONCE_BYTES, Right } from "../format/capability.ts";
import { CONTAINER_COUNTER_KEY, containerKey, containerLabelKey, poolKey } from "../format/meta-key.ts";
import type { ContainerRecord, MapRecord } from "../format/meta-record.ts";
import type {
  ContainerCreateArguments,
  ContainerDescription,
  ContainerDestroyArguments,
  ContainerListArguments,
  ContainerListReply,
  ContainerOpenArguments,
  ContainerOpenReply,
  ContainerReference,
  ContainerSetPropertiesArguments,
  PropertiesReply,
} from "../format/operations.ts";
import type { Catalogue } from "./catalogue.ts";
import { containerRedundancy } from "./container-redundancy.ts";
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
import { noteOfContainer } from "./notes.ts";
import { servedContainer } from "./served-container.ts";
import type { PoolMapService } from "./pool-map-service.ts";
import { healthOf } from "./pool-health.ts";
import type { PoolQuotas } from "./pool-quotas.ts";
import { type Mark, unmarked } from "./request-outcomes.ts";

const LIST_PAGE = 512;

export class ContainerService {
  readonly #parts: ControlParts;
  readonly #catalogue: Catalogue;
  readonly #quotas: PoolQuotas;
  readonly #removal: ContainerRemoval;
  readonly #maps: PoolMapService;

  constructor(
    parts: ControlParts,
    catalogue: Catalogue,
    quotas: PoolQuotas,
    removal: ContainerRemoval,
    maps: PoolMapService,
  ) {
    this.#maps = maps;
    this.#parts = parts;
    this.#catalogue = catalogue;
    this.#quotas = quotas;
    this.#removal = removal;
  }

  /** Rejects with ALREADY_EXISTS (label), NOT_FOUND or BUSY (pool), INVALID_ARGUMENT, UNSUPPORTED, TOO_LARGE. */
  async create(args: ContainerCreateArguments, mark = unmarked): Promise<ContainerDescription> {
    checkLabel("container", args.label);
    this.#checkType(args);
    const properties = mergeProperties({}, checkProperties("container", args.properties ?? {}, "creation"));
    checkUserAttributeCount("container", properties);
    const pool = await this.#catalogue.pool(args.pool);
    const { locks, random, clock } = this.#parts;
    const draft: ContainerRecord = {
      id: newUuid(random),
      pool: pool.record.id,
      number: 0,
      label: args.label,
      type: args.type,
      state: "creating",
      snapshots: 0,
      createdAtMs: clock.wallMs(),
      properties,
    };
    const created = await locks.run(`label/${draft.pool}/${draft.label}`, async () => {
      await this.#clearLeftover(draft);
      return locks.run(`container/${draft.id}`, () => this.#create(draft, mark));
    });
    await this.#keepNote(created);
    return this.#describe(pool, created, 0, (await this.#parts.mapStore.find(created.pool))?.record);
  }

  async list(args: ContainerListArguments): Promise<ContainerListReply> {
    const pool = await this.#catalogue.pool(args.pool);
    const { records } = this.#parts;
    const prefix = containerLabelKey(pool.record.id, "");
    const after = args.after === undefined ? undefined : `${prefix}${args.after}`;
    const labels = await records.page("label", prefix, args.limit ?? LIST_PAGE, after);
    const found: Stored<"container">[] = [];
    for (const { record } of labels) {
      const container = await records.get("container", containerKey(pool.record.id, record.id));
      if (container !== undefined && container.record.state !== "creating") found.push(container);
    }
    const described = await this.#describeAll(pool, found);
    const containers = described.slice(0, countFitting(described));
    const cut = containers.length < described.length ? containers.at(-1)!.label : undefined;
    const last = labels.length < (args.limit ?? LIST_PAGE) ? undefined : labels.at(-1)!.key.slice(prefix.length);
    const anchor = cut ?? last;
    return anchor === undefined ? { containers } : { containers, anchor };
  }

  async query(args: ContainerReference): Promise<ContainerDescription> {
    const pool = await this.#catalogue.pool(args.pool);
    const container = await this.#catalogue.container(pool, args.container);
    const [description] = await this.#describeAll(pool, [container]);
    return description!;
  }

  /** Without force refused with BUSY while the container has snapshots or attached clients. */
  async destroy(args: ContainerDestroyArguments, mark = unmarked): Promise<void> {
    const pool = await this.#catalogue.pool(args.pool);
    const { id } = (await this.#catalogue.container(pool, args.container)).record;
    await this.#parts.locks.run(`container/${id}`, async () => {
      const { record } = await this.#catalogue.container(pool, id);
      if (!args.force && record.state === "ready") await this.#checkUnused(record);
      await this.#removal.markDestroying(record, args.force, mark);
      await this.#removal.finish(record);
    });
  }

  /** Of one whose destruction was begun: finishes it, if it still is there. */
  async destroyAgain(key: string): Promise<void> {
    const { records, locks } = this.#parts;
    const stored = await records.get("container", key);
    if (stored === undefined) return;
    await locks.run(`container/${stored.record.id}`, async () => {
      if ((await records.get("container", key)) !== undefined) await this.#removal.finish(stored.record);
    });
  }

  /** The one that was made, or changed, under this key. Rejects with NOT_FOUND when it has been destroyed since. */
  async queryAgain(key: string): Promise<ContainerDescription> {
    const stored = await this.#parts.records.get("container", key);
    if (stored === undefined) throw destroyedSince("container", key);
    return this.query({ pool: stored.record.pool, container: stored.record.id });
  }

  async getProperties(args: ContainerReference): Promise<PropertiesReply> {
    return { properties: (await this.query(args)).properties };
  }

  /** All of them or none. */
  async setProperties(args: ContainerSetPropertiesArguments, mark = unmarked): Promise<PropertiesReply> {
    const { label, ...changed } = checkProperties("container", args.properties, "later");
    const pool = await this.#catalogue.pool(args.pool);
    const { id } = (await this.#catalogue.container(pool, args.container)).record;
    await this.#parts.records.change(`set properties of container "${args.container}"`, async () => {
      const container = await this.#ready("set properties of", pool, id);
      const properties = mergeProperties(container.record.properties, changed);
      checkUserAttributeCount("container", properties);
      const record = {
        ...container.record,
        properties,
        label: (label as string | undefined) ?? container.record.label,
      };
      return mark(await this.#rename(pool.record.label, container, record), container.key);
    });
    await this.#keepNote((await this.#catalogue.container(pool, id)).record);
    return this.getProperties({ pool: pool.record.id, container: id });
  }

  /** A capability for the targets: to read, or to read and write. */
  async open(args: ContainerOpenArguments): Promise<ContainerOpenReply> {
    const pool = await this.#catalogue.pool(args.pool);
    if (pool.record.state !== "ready") throw beingDestroyed("open a container of", "pool", pool.record.label);
    const { id } = (await this.#catalogue.container(pool, args.container)).record;
    const { authority, locks, random, targets } = this.#parts;
    const container = await locks.run(`container/${id}`, async () => {
      const found = await this.#ready("open", pool, id);
      await targets.openContainer(servedContainer(found.record), found.record.pool);
      return found;
    });
    const [description] = await this.#describeAll(pool, [container]);
    const map = await this.#maps.forClients(container.record.pool);
    const nonce = new Uint8Array(CAPABILITY_NONCE_BYTES);
    random.fill(nonce);
    const { number, id: containerId, pool: poolId } = container.record;
    const rights = args.readOnly ? Right.read : Right.read | Right.write;
    const grant = {
      rights,
      containerNumber: number,
      mapVersion: map.version,
      pool: poolId as Uuid,
      container: containerId as Uuid,
    };
    return { container: description!, map, capability: authority.issue(grant, nonce) };
  }

  async #keepNote(record: ContainerRecord): Promise<void> {
    const containers = [{ container: record.number, note: noteOfContainer(record) }];
    await this.#parts.targets.keepNotes(record.pool, { pools: [], containers });
  }

  #checkType({ label, type }: ContainerCreateArguments): void {
    const { containerTypes } = this.#parts;
    if (containerTypes.includes(type)) return;
    throw new DaosError(
      "UNSUPPORTED",
      `Cannot create container "${label}" of type ${type}: no interface for it is loaded. ` +
        `Use one of ${containerTypes.join(", ")}.`,
    );
  }

  /** Frees a label held by a container that was left half made or half destroyed. The caller holds the label's lock. */
  async #clearLeftover(draft: ContainerRecord): Promise<void> {
    const { records, locks } = this.#parts;
    const label = await records.get("label", containerLabelKey(draft.pool, draft.label));
    if (label === undefined) return;
    const leftover = await records.get("container", containerKey(draft.pool, label.record.id));
    if (leftover === undefined || leftover.record.state === "ready") return;
    await locks.run(`container/${leftover.record.id}`, () => this.#removal.settle(leftover.record));
  }

  /** The three steps of a creation. The caller holds the container's lock. */
  async #create(draft: ContainerRecord, mark: Mark): Promise<ContainerRecord> {
    const { records, targets } = this.#parts;
    const what = `create container "${draft.label}"`;
    // Within the change nobody may wait for a map: that it is effective is a change, too.
    await this.#maps.forClients(draft.pool);
    const record = await records.change(what, () => this.#begin(draft));
    try {
      await targets.openContainer(servedContainer(record), record.pool);
      await this.#quotas.refresh(record.pool);
      return await records.change(what, async () => {
        const stored = await records.get("container", containerKey(record.pool, record.id));
        if (stored?.record.state !== "creating") throw beingDestroyed("create", "container", record.label);
        const ready: ContainerRecord = { ...stored.record, state: "ready" };
        const operations = [putRecord("container", stored.key, ready)];
        return mark({ compares: [unchanged(stored)], operations, result: ready }, stored.key);
      });
    } catch (error) {
      await this.#undoQuietly(record);
      throw error;
    }
  }

  /** The intent: counted in its pool, with a number never used before. */
  async #begin(draft: ContainerRecord): Promise<Change<ContainerRecord>> {
    const { records } = this.#parts;
    const pool = await records.get("pool", poolKey(draft.pool));
    if (pool === undefined || pool.record.state !== "ready") {
      throw beingDestroyed("create a container in", "pool", pool?.record.label ?? draft.pool);
    }
    if (pool.record.containers >= MAX_POOL_CONTAINERS) {
      const state = `pool "${pool.record.label}" has ${pool.record.containers}, the most there may be`;
      throw new DaosError("TOO_LARGE", `Cannot create container "${draft.label}": ${state}. Destroy one first.`);
    }
    const labelKey = containerLabelKey(draft.pool, draft.label);
    if ((await records.get("label", labelKey)) !== undefined) throw exists(draft.label, pool.record.label);
    const counter = await records.get("counter", CONTAINER_COUNTER_KEY);
    const number = (counter?.record.value ?? 0) + 1;
    const poolFactor = Number(pool.record.properties["rd_fac"] ?? 0);
    const { mapStore } = this.#parts;
    const map = mapStore.addressed((await mapStore.get(pool.record.id)).record);
    const cells = pool.record.properties["ec_cell_sz"];
    const given = { ...(cells !== undefined && { ec_cell_sz: cells }), ...draft.properties };
    const derived = containerRedundancy(given, poolFactor, map);
    const record: ContainerRecord = { ...draft, number, properties: { ...given, ...derived } };
    const key = containerKey(record.pool, record.id);
    return {
      compares: [
        unchanged(pool),
        absent(labelKey),
        absent(key),
        { key: CONTAINER_COUNTER_KEY, revision: counter?.revision ?? 0 },
      ],
      operations: [
        putRecord("pool", pool.key, { ...pool.record, containers: pool.record.containers + 1 }),
        putRecord("container", key, record),
        putRecord("label", labelKey, { id: record.id }),
        putRecord("counter", CONTAINER_COUNTER_KEY, { value: number }),
      ],
      result: record,
    };
  }

  /** A failure to undo leaves the intent, which the next creation, the pool's end or `resume` clears. */
  async #undoQuietly(record: ContainerRecord): Promise<void> {
    try {
      await this.#removal.settle(record);
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
    }
  }

  async #checkUnused(record: ContainerRecord): Promise<void> {
    const handles = await this.#parts.targets.countHandles(record.number, record.pool);
    if (handles === 0) return;
    throw new DaosError(
      "BUSY",
      `Cannot destroy container "${record.label}": ${handles} client handle(s) are attached to it. ` +
        "End those clients, or destroy it with --force.",
    );
  }

  async #ready(action: string, pool: Stored<"pool">, id: string): Promise<Stored<"container">> {
    const container = await this.#catalogue.container(pool, id);
    if (container.record.state === "ready") return container;
    throw beingDestroyed(action, "container", container.record.label);
  }

  /** The change from one record to another one, label records included. */
  async #rename(pool: string, from: Stored<"container">, to: ContainerRecord): Promise<Change<void>> {
    const put = putRecord("container", from.key, to);
    if (to.label === from.record.label) return { compares: [unchanged(from)], operations: [put], result: undefined };
    const labelKey = containerLabelKey(to.pool, to.label);
    if ((await this.#parts.records.get("label", labelKey)) !== undefined) throw exists(to.label, pool);
    return {
      compares: [unchanged(from), absent(labelKey)],
      operations: [
        put,
        putRecord("label", labelKey, { id: to.id }),
        { remove: containerLabelKey(to.pool, from.record.label) },
      ],
      result: undefined,
    };
  }

  async #describeAll(
    pool: Stored<"pool">,
    containers: readonly Stored<"container">[],
  ): Promise<ContainerDescription[]> {
    const usage = await this.#parts.targets.usage(
      containers.map(({ record }) => record.number),
      pool.record.id,
    );
    const map = (await this.#parts.mapStore.find(pool.record.id))?.record;
    return containers.map(({ record }) => {
      const used = usage.get(record.number);
      return this.#describe(pool, record, (used?.scmBytes ?? 0) + (used?.nvmeBytes ?? 0), map);
    });
  }

  #describe(
    pool: Stored<"pool">,
    record: ContainerRecord,
    usedBytes: number,
    map: MapRecord | undefined,
  ): ContainerDescription {
    const factor = Number(record.properties["rd_fac"] ?? 0);
    return {
      id: record.id,
      label: record.label,
      type: record.type,
      pool: pool.record.label,
      state: record.state === "destroying" ? "destroying" : "ready",
      usedBytes,
      snapshots: record.snapshots,
      ...(map !== undefined && { health: healthOf(map, factor, (rank) => this.#parts.members.isHere(rank)) }),
      createdAt: isoTime(record.createdAtMs),
      properties: describeProperties("container", { label: record.label, type: record.type }, record.properties),
    };
  }
}

function exists(label: string, pool: string): DaosError {
  return new DaosError(
    "ALREADY_EXISTS",
    `Cannot use label "${label}": pool "${pool}" has a container of that name. Choose another one.`,
  );
}
