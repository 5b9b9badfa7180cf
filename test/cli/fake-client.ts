/**
 * A system in memory that answers the commands as the real client library would: pools, containers, kv, arrays,
 * objects, snapshots. Small and synchronous inside; every error has the code that the real one has.
 */
import { bytesOf } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { byteStringOfKey, type Key } from "../../src/base/key.ts";
import { GIB, MIB } from "../../src/base/limits.ts";
import { type ObjectClass, objectClassByName } from "../../src/base/object-class.ts";
import { type ObjectId, objectId, type ObjectType } from "../../src/base/object-id.ts";
import type {
  ArrayAccess,
  Change,
  ContainerAccess,
  ContainerViewAccess,
  ObjectAccess,
  PoolAccess,
  SystemAccess,
  TargetSelection,
  TransactionAccess,
  TransactionObjectAccess,
} from "../../src/cli/client-access.ts";
import { type MapTarget, type PoolMap, servingTarget, type TargetState } from "../../src/format/pool-map.ts";
import { Placement } from "../../src/placement/placement.ts";
import type { KeyValue, KeyValueListOptions, KeyValueWriteOptions } from "../../src/contracts/key-value.ts";
import type { CheckArguments, CheckFinding, CheckReply } from "../../src/format/check-operations.ts";
import type {
  PoolOutcome,
  SelfHealEvalReply,
  SystemBackupReply,
  SystemLeaderReply,
  SystemStartReply,
  SystemStopArguments,
} from "../../src/format/system-operations.ts";
import { SEVERITIES } from "../../src/base/events.ts";
import type { EventDescription, SystemEventsArguments, SystemEventsReply } from "../../src/format/event-operations.ts";
import type { DeviceDescription } from "../../src/format/device-operations.ts";
import type {
  ContainerDescription,
  ContainerType,
  EngineMetricsReply,
  PluginListReply,
  PoolDescription,
  Properties,
  SnapshotDescription,
  SystemQueryReply,
} from "../../src/format/operations.ts";
import type { PoolTargetsReply } from "../../src/format/pool-targets.ts";
import type { PoolScrubArguments, PoolScrubReply } from "../../src/format/scrub.ts";

const CREATED_AT = "2026-01-02T03:04:05.000Z";
const DEVICE_ID = "01234567-89ab-4cde-8f01-23456789abcd";
const KV_OBJECT = objectId("KV_LEXICAL", objectClassByName("SX"), 0, 1n);

/** dkey -> akey -> value, by object; an array object holds its bytes at dkey 1, akey "0". */
type Contents = Map<ObjectId, Map<string, Map<string, Uint8Array>>>;

const FIRST_DKEY = "\0\0\0\0\0\0\0\x01";

export class FakeSystem implements SystemAccess {
  readonly pools = new Map<string, FakePool>();
  /** Types that this engine's interface plugins serve, and `object`. */
  containerTypes: readonly string[] = ["kv", "object"];
  /** Answers of the engine that a test may change. */
  pluginEntries: PluginListReply["plugins"] = [];
  /** What a check finds. */
  checked: readonly CheckFinding[] = [];
  stopped = false;
  closed = 0;

  query(): Promise<SystemQueryReply> {
    return Promise.resolve({
      system: "daos_server",
      software: "daos 0.1.0",
      uptimeMs: 93_784_000,
      storage: "/var/lib/daos",
      pid: 4242,
      map: {
        version: 3,
        targets: [
          servingTarget({ index: 0, host: "127.0.0.1", port: 40_001 }),
          servingTarget({ index: 1, host: "127.0.0.1", port: 40_002 }, 1),
        ],
      },
      scmTotalBytes: 512 * MIB,
      scmUsedBytes: 128 * MIB,
      nvmeTotalBytes: 4096 * MIB,
      nvmeUsedBytes: 0,
      engines: [
        {
          rank: 0,
          id: "aaaaaaaa-2222-4333-8444-555555555555",
          state: "joined",
          domain: "/rack1/node1",
          address: "127.0.0.1:10001",
          targets: 1,
          scmTotalBytes: 256 * MIB,
          scmUsedBytes: 128 * MIB,
          nvmeTotalBytes: 2048 * MIB,
          nvmeUsedBytes: 0,
        },
        {
          rank: 1,
          id: "bbbbbbbb-2222-4333-8444-555555555555",
          state: "suspect",
          domain: "/rack1/node2",
          address: "127.0.0.1:10101",
          targets: 1,
          exclusionInMs: 4200,
          scmTotalBytes: 256 * MIB,
          scmUsedBytes: 0,
          nvmeTotalBytes: 2048 * MIB,
          nvmeUsedBytes: 0,
        },
      ],
      pools: [{ label: "tank", mapVersion: 3, down: 1 }],
    });
  }

  metrics(): Promise<EngineMetricsReply> {
    const scm = { scmTotalBytes: 256 * MIB, scmUsedBytes: 64 * MIB, logTotalBytes: 64 * MIB, logUsedBytes: MIB };
    const tiers = { ...scm, nvmeTotalBytes: 2048 * MIB, nvmeUsedBytes: MIB };
    return Promise.resolve({
      cpuUserUs: 1,
      cpuSystemUs: 2,
      residentBytes: 3,
      requests: 4,
      targets: [{ ...tiers }, { ...tiers, nvmeUsedBytes: 0 }],
    });
  }

  plugins(): Promise<PluginListReply["plugins"]> {
    return Promise.resolve(this.pluginEntries);
  }

  device: DeviceDescription = {
    id: DEVICE_ID,
    rank: 0,
    plugin: "uring",
    path: "/dev/nvme0n1",
    targets: [0, 1],
    labelled: true,
    state: "normal",
    reason: "",
    totalBytes: 4096 * MIB,
    usedBytes: MIB,
    inFlight: 0,
    readErrors: 0,
    writeErrors: 1,
    flushErrors: 0,
    discardErrors: 0,
    checksumErrors: 0,
    slowOperations: 2,
    readP99Us: 92,
    writeP99Us: 1310,
  };

  async devices(): Promise<DeviceDescription[]> {
    return [this.device];
  }

  #device(id: string): DeviceDescription {
    if (id === this.device.id) return this.device;
    throw new DaosError(
      "NOT_FOUND",
      `Cannot use device "${id}": this engine has none of that id. It has ${DEVICE_ID}.`,
    );
  }

  async setDeviceFaulty(id: string, { force }: { force: boolean }): Promise<DeviceDescription> {
    const device = this.#device(id);
    if (!force)
      throw new DaosError("BUSY", `Cannot mark device "${id}" faulty: this system keeps one copy. Use --force.`);
    this.device = { ...device, state: "faulty", reason: "marked by the administrator" };
    return this.device;
  }

  async replaceDevice(id: string, successor: string, { force }: { force: boolean }): Promise<DeviceDescription> {
    const device = this.#device(id);
    if (successor === id) {
      this.device = { ...device, state: "normal", reason: "" };
      return this.device;
    }
    if (!force) {
      const state = "this system keeps one copy, and 1 MiB on it would be lost (targets 0, 1)";
      throw new DaosError(
        "BUSY",
        `Cannot replace device "${id}" by "${successor}": ${state}. Use --force to give them up.`,
      );
    }
    this.device = { ...device, successor };
    return this.device;
  }

  async identifyDevice(id: string): Promise<DeviceDescription> {
    return this.#device(id);
  }

  check({ repair, after }: CheckArguments): Promise<CheckReply> {
    const { checked } = this;
    const findings = after === undefined ? checked : [];
    if (repair) this.checked = checked.filter(({ action }) => action === "IGNORE");
    const outcome = (action: string): CheckFinding["outcome"] => (repair && action !== "IGNORE" ? "repaired" : "found");
    return Promise.resolve({
      findings: findings.map((finding) => ({ ...finding, outcome: outcome(finding.action) })),
      phase: after === undefined ? "engines" : "pools",
      looked: 2,
      bytes: 0,
      unjudged: 0,
      ...(after === undefined && { next: "pools " }),
    });
  }

  /** What was asked of engines, and what supervisors answer, one after the other. */
  readonly engineCalls: object[] = [];
  startReplies: SystemStartReply[] = [{ missing: [], supervisors: 0 }];

  async stopEngines(args: SystemStopArguments): Promise<void> {
    this.engineCalls.push(args);
    if (args.ranks === undefined) this.stopped = true;
  }

  async startEngines(ranks: readonly number[] | undefined): Promise<SystemStartReply> {
    this.engineCalls.push({ start: ranks });
    return this.startReplies.length > 1 ? this.startReplies.shift()! : this.startReplies[0]!;
  }

  /** Pieces of the backup. */
  backupPieces: readonly string[] = ["daos-", "backup"];

  async *backup(): AsyncGenerator<SystemBackupReply> {
    const sizeBytes = this.backupPieces.join("").length;
    for (const piece of this.backupPieces) {
      yield { id: 1, sizeBytes, records: 7, takenAtMs: Date.UTC(2026, 0, 1), bytes: Buffer.from(piece) };
    }
  }

  leaderReply: SystemLeaderReply = { rank: 1, address: "127.0.0.1:10101", term: 12, leadsMs: 93_784_000 };

  async leader(): Promise<SystemLeaderReply> {
    return this.leaderReply;
  }

  /** What was asked of ranks in all pools, and what the pools answer. */
  readonly rankChanges: string[] = [];
  outcomes: PoolOutcome[] = [
    { pool: "scratch", outcome: "unchanged", mapVersion: 4 },
    { pool: "tank", outcome: "changed", mapVersion: 5 },
  ];

  async changeRanks(
    change: string,
    ranks: readonly number[],
    { force = false }: { readonly force?: boolean },
  ): Promise<PoolOutcome[]> {
    this.rankChanges.push(`${change} ${ranks.join()}${force ? " force" : ""}`);
    return this.outcomes;
  }

  selfHealFlags: readonly string[] = ["exclude", "pool_exclude", "pool_rebuild"];

  async selfHeal(): Promise<readonly string[]> {
    return this.selfHealFlags;
  }

  async setSelfHeal(flags: readonly string[]): Promise<readonly string[]> {
    this.selfHealFlags = flags;
    return flags;
  }

  async evalSelfHeal(): Promise<SelfHealEvalReply> {
    return { excluded: [2], pools: this.outcomes.slice(1) };
  }

  /** The log of events, oldest first. */
  eventLog: EventDescription[] = [
    {
      number: 7,
      id: "engine_joined",
      severity: "info",
      time: "2026-01-01T00:00:00.000Z",
      message: "rank 1 has joined from 127.0.0.1:10101",
      rank: 1,
      advice: "",
    },
    {
      number: 8,
      id: "engine_suspect",
      severity: "warn",
      time: "2026-01-01T00:00:05.000Z",
      message: "rank 1 is suspect: it is not heard of",
      rank: 1,
      advice: "`daos system query` says how long it has. Look at its host and network.",
    },
  ];
  /** What was asked for, and how many events one answer holds. */
  readonly eventCalls: SystemEventsArguments[] = [];
  eventPage = 100;

  async events(args: SystemEventsArguments): Promise<SystemEventsReply> {
    this.eventCalls.push(args);
    const { after = 0, sinceMs = 0, severity = "info" } = args;
    const wanted = this.eventLog.filter(
      (event) =>
        event.number > after &&
        Date.parse(event.time) >= sinceMs &&
        SEVERITIES.indexOf(event.severity) <= SEVERITIES.indexOf(severity),
    );
    const events = wanted.slice(0, this.eventPage);
    const isMore = events.length < wanted.length;
    const next = isMore ? events.at(-1)!.number : Math.max(after, this.eventLog.at(-1)?.number ?? 0);
    return { events, next, isMore, missed: 0 };
  }

  stop({ rank }: { readonly rank?: number | undefined } = {}): Promise<void> {
    if (rank === undefined) this.stopped = true;
    return Promise.resolve();
  }

  async listPools(): Promise<PoolDescription[]> {
    return [...this.pools.values()].map((pool) => pool.describe());
  }

  async createPool(options: { label: string; sizeBytes: number; properties?: Properties }): Promise<PoolDescription> {
    if (this.pools.has(options.label)) throw alreadyThere("pool", options.label);
    const pool = new FakePool(this, options.label, options.sizeBytes, { label: options.label, ...options.properties });
    this.pools.set(options.label, pool);
    return pool.describe();
  }

  pool(label: string): PoolAccess {
    return this.pools.get(label) ?? new FakePool(this, label, 0, {}, false);
  }

  async close(): Promise<void> {
    this.closed += 1;
  }
}

export class FakePool implements PoolAccess {
  readonly containers = new Map<string, FakeContainer>();
  readonly #system: FakeSystem;
  readonly #label: string;
  #sizeBytes: number;
  #properties: Properties;
  readonly #exists: boolean;

  constructor(system: FakeSystem, label: string, sizeBytes: number, properties: Properties, exists = true) {
    this.#system = system;
    this.#label = label;
    this.#sizeBytes = sizeBytes;
    this.#properties = properties;
    this.#exists = exists;
  }

  describe(): PoolDescription {
    return {
      id: "11111111-2222-4333-8444-555555555555",
      label: this.#label,
      state: "ready",
      sizeBytes: this.#sizeBytes,
      usedBytes: this.#sizeBytes / 4,
      scmUsedBytes: this.#sizeBytes / 8,
      nvmeUsedBytes: this.#sizeBytes / 8,
      scm: { totalBytes: 512 * MIB, usedBytes: 128 * MIB, freeBytes: 384 * MIB },
      log: { totalBytes: 128 * MIB, usedBytes: 2 * MIB, freeBytes: 126 * MIB },
      nvme: { totalBytes: 4096 * MIB, usedBytes: MIB, freeBytes: 4095 * MIB },
      containers: this.containers.size,
      targets: 2,
      rebuild: {
        state: "busy",
        dkeys: 1200,
        bytes: 48 << 20,
        targetsDone: 1,
        targets: 2,
        dkeysToBring: 3600,
        dkeysLeft: 2400,
        bytesLeft: 96 << 20,
        dkeysPerSecond: 400,
        bytesPerSecond: 16 << 20,
        secondsLeft: 6,
      },
      health: { state: "degraded", gone: [1], tolerable: 0, reason: "rank 1 is gone: all can be read and written" },
      capacity: [
        { class: "SX", usableBytes: 3 * GIB, survives: 0 },
        { class: "RP_2GX", usableBytes: 1.5 * GIB, survives: 1 },
      ],
      createdAt: CREATED_AT,
      properties: this.#properties,
    };
  }

  #check(): void {
    if (!this.#exists) throw missing("pool", this.#label);
  }

  #container(label: string): FakeContainer {
    this.#check();
    const found = this.containers.get(label);
    if (found === undefined) throw missing("container", label);
    return found;
  }

  async query(): Promise<PoolDescription> {
    this.#check();
    return this.describe();
  }

  #map: PoolMap = {
    version: 1,
    targets: [0, 1, 2].map((rank) =>
      servingTarget({ index: rank, host: "127.0.0.1", port: 10_002 + 100 * rank }, rank, `/rack${rank}`),
    ),
  };

  async queryTargets(): Promise<PoolTargetsReply> {
    this.#check();
    return { pool: this.#label, map: this.#map };
  }

  async exclude(
    { ranks = [], targets = [] }: TargetSelection,
    { force }: { force: boolean },
  ): Promise<PoolTargetsReply> {
    if (!force && this.containers.size > 0) {
      const state = "a container in it survives 0 fault(s), and more engines would be down";
      throw new DaosError("BUSY", `Cannot exclude targets from pool "${this.#label}": ${state}. Use --force.`);
    }
    return this.#change((rank, index) => ranks.includes(rank) || targets.includes(index), "DOWN");
  }

  async extend(ranks: readonly number[]): Promise<PoolTargetsReply> {
    const version = this.#map.version + 1;
    const added = ranks.map((rank, place): MapTarget => {
      const index = this.#map.targets.length + place;
      const port = 10_002 + 100 * rank;
      return {
        index,
        rank,
        domain: `/rack${rank}`,
        state: "NEW",
        since: version,
        host: "127.0.0.1",
        port,
      };
    });
    this.#map = { version, targets: [...this.#map.targets, ...added] };
    return this.queryTargets();
  }

  async drain({ ranks = [], targets = [] }: TargetSelection): Promise<PoolTargetsReply> {
    return this.#change((rank, index) => ranks.includes(rank) || targets.includes(index), "DRAIN");
  }

  async scrub(action: PoolScrubArguments["action"], { bytesPerSecond = 16 * 1024 ** 2 } = {}): Promise<PoolScrubReply> {
    this.#check();
    const last = { bytes: 3 * 1024 ** 2, damaged: 2, repaired: 1, lost: 1 };
    const now = { bytes: 1024 ** 2, damaged: 0, repaired: 0, lost: 0 };
    const status = {
      state: action === "start" ? "running" : action === "stop" ? "stopped" : "idle",
      startedAtMs: action === "start" ? 1_790_000_000_000 : 0,
      now: action === "start" ? now : { bytes: 0, damaged: 0, repaired: 0, lost: 0 },
      finishedAtMs: 1_780_000_000_000,
      last,
      passes: 4,
    } as const;
    const targets = this.#map.targets.map(({ index, rank }) => ({ index, rank, ...(rank < 2 && { status }) }));
    return { pool: this.#label, mode: "timed", periodSeconds: 604_800, bytesPerSecond, targets };
  }

  async reintegrate({ ranks = [], targets = [] }: TargetSelection): Promise<PoolTargetsReply> {
    return this.#change((rank, index) => ranks.includes(rank) || targets.includes(index), "UPIN");
  }

  #change(chosen: (rank: number, index: number) => boolean, state: TargetState): Promise<PoolTargetsReply> {
    const version = this.#map.version + 1;
    const targets = this.#map.targets.map((target) =>
      chosen(target.rank, target.index) ? { ...target, state, since: version } : target,
    );
    this.#map = { version, targets };
    return this.queryTargets();
  }

  async destroy({ force }: { force: boolean }): Promise<void> {
    this.#check();
    if (this.containers.size > 0 && !force) {
      throw new DaosError("BUSY", `Cannot destroy pool "${this.#label}": it holds containers. Use --force.`);
    }
    this.#system.pools.delete(this.#label);
  }

  async getProperties(): Promise<Properties> {
    this.#check();
    return this.#properties;
  }

  async setProperties({ size, ...properties }: Properties): Promise<Properties> {
    this.#check();
    if (typeof size === "number") this.#sizeBytes = size;
    this.#properties = { ...this.#properties, ...properties };
    return this.#properties;
  }

  async createContainer(options: {
    label: string;
    type: ContainerType;
    properties?: Properties;
  }): Promise<ContainerDescription> {
    this.#check();
    if (!this.#system.containerTypes.includes(options.type)) {
      const state = "no interface for it is loaded. Use one of kv, object";
      throw new DaosError(
        "UNSUPPORTED",
        `Cannot create container "${options.label}" of type ${options.type}: ${state}.`,
      );
    }
    if (this.containers.has(options.label)) throw alreadyThere("container", options.label);
    const properties = { label: options.label, oclass: "SX", chunk_size: MIB, ...options.properties };
    const container = new FakeContainer(options.label, options.type, this.#label, properties);
    this.containers.set(options.label, container);
    return container.describe();
  }

  async listContainers(): Promise<ContainerDescription[]> {
    this.#check();
    return [...this.containers.values()].map((container) => container.describe());
  }

  async queryContainer(label: string): Promise<ContainerDescription> {
    return this.#container(label).describe();
  }

  async destroyContainer(label: string, { force }: { force: boolean }): Promise<void> {
    if (this.#container(label).snapshots.length > 0 && !force) {
      throw new DaosError("BUSY", `Cannot destroy container "${label}": it has snapshots. Use --force.`);
    }
    this.containers.delete(label);
  }

  async getContainerProperties(label: string): Promise<Properties> {
    return this.#container(label).properties;
  }

  async setContainerProperties(label: string, properties: Properties): Promise<Properties> {
    const container = this.#container(label);
    container.properties = { ...container.properties, ...properties };
    return container.properties;
  }

  async openContainer(label: string, options: { readOnly: boolean }): Promise<ContainerAccess> {
    const container = this.#container(label);
    container.opened.push(options.readOnly);
    return container;
  }
}

/** What a view reads and, when it is the present one, writes. */
class FakeView implements ContainerViewAccess {
  contents: Contents = new Map();

  object(oid: ObjectId): ObjectAccess {
    return new FakeObject(this, oid);
  }

  kv(): KeyValue {
    return new FakeKeyValue(this);
  }

  array(oid: ObjectId): ArrayAccess {
    return new FakeArray(this, oid);
  }

  async *listObjects(): AsyncGenerator<ObjectId> {
    yield* [...this.contents.keys()].toSorted();
  }

  value(oid: ObjectId, dkey: string, akey: string): Uint8Array | undefined {
    return this.contents.get(oid)?.get(dkey)?.get(akey);
  }

  store(oid: ObjectId, dkey: string, akey: string, value: Uint8Array): void {
    const dkeys = this.contents.get(oid) ?? new Map<string, Map<string, Uint8Array>>();
    const akeys = dkeys.get(dkey) ?? new Map<string, Uint8Array>();
    this.contents.set(oid, dkeys.set(dkey, akeys.set(akey, Uint8Array.from(value))));
  }

  remove(oid: ObjectId, dkey?: string, akey?: string): void {
    const dkeys = this.contents.get(oid);
    if (dkey === undefined) this.contents.delete(oid);
    else if (akey === undefined) dkeys?.delete(dkey);
    else if (dkeys?.get(dkey)?.delete(akey) === true && dkeys.get(dkey)!.size === 0) dkeys.delete(dkey);
    if (dkeys?.size === 0) this.contents.delete(oid);
  }
}

export class FakeContainer extends FakeView implements ContainerAccess {
  readonly snapshots: (SnapshotDescription & { readonly contents: Contents })[] = [];
  /** `readOnly` of each open. */
  readonly opened: boolean[] = [];
  /** Of four engines with two targets each. */
  map: PoolMap = {
    version: 1,
    targets: Array.from({ length: 8 }, (_, index) =>
      servingTarget({ index, host: "127.0.0.1", port: 40_001 + index }, Math.floor(index / 2)),
    ),
  };
  properties: Properties;
  readonly #label: string;
  readonly #type: ContainerType;
  readonly #pool: string;
  #nextObject = 2n;
  /** What transactions wrote, by object, dkey and akey. */
  values = new Map<string, Uint8Array>();

  constructor(label: string, type: ContainerType, pool: string, properties: Properties) {
    super();
    this.#label = label;
    this.#type = type;
    this.#pool = pool;
    this.properties = properties;
  }

  get placement(): Placement {
    return new Placement(this.map);
  }

  describe(): ContainerDescription {
    return {
      id: "66666666-7777-4888-8999-000000000000",
      label: this.#label,
      type: this.#type,
      pool: this.#pool,
      state: "ready",
      usedBytes: 12_288,
      snapshots: this.snapshots.length,
      health: { state: "whole", gone: [], tolerable: 1, reason: "" },
      createdAt: CREATED_AT,
      properties: this.properties,
    };
  }

  async runTransaction<T>(body: (transaction: TransactionAccess) => Promise<T>): Promise<T> {
    const values = new Map(this.values);
    const result = await body({ object: (oid) => fakeTransactionObject(values, oid) });
    this.values = values;
    return result;
  }

  newObjectId(type: ObjectType, objectClass?: ObjectClass): ObjectId {
    return objectId(type, objectClass ?? objectClassByName(String(this.properties["oclass"])), 0, this.#nextObject++);
  }

  async createSnapshot(name?: string): Promise<SnapshotDescription> {
    const epoch = (1000 + this.snapshots.length) as Epoch;
    const label = name ?? String(epoch);
    if (this.snapshots.some((snapshot) => snapshot.name === label)) throw alreadyThere("snapshot", label);
    this.snapshots.push({ name: label, epoch, createdAt: CREATED_AT, contents: structuredClone(this.contents) });
    return { name: label, epoch, createdAt: CREATED_AT };
  }

  async listSnapshots(): Promise<SnapshotDescription[]> {
    return this.snapshots.map(({ name, epoch, createdAt }) => ({ name, epoch, createdAt }));
  }

  async destroySnapshot(name: string): Promise<void> {
    const index = this.snapshots.findIndex((snapshot) => snapshot.name === name);
    if (index === -1) throw missing("snapshot", name);
    this.snapshots.splice(index, 1);
  }

  async at(moment: string | Epoch): Promise<ContainerViewAccess> {
    const view = new FakeView();
    view.contents = this.#contentsAt(moment);
    return view;
  }

  async *changes(from: string | Epoch, to?: string | Epoch): AsyncGenerator<Change> {
    const before = flatten(this.#contentsAt(from));
    const after = flatten(to === undefined ? this.contents : this.#contentsAt(to));
    for (const [name, [oid, dkey, akey, value]] of new Map([...before, ...after])) {
      const old = before.get(name)?.[3];
      const change = old === undefined ? "added" : after.has(name) ? "changed" : "removed";
      if (change === "changed" && Buffer.compare(old!, value) === 0) continue;
      yield { change, oid, dkey: bytesOf(dkey), akey: bytesOf(akey) };
    }
  }

  #contentsAt(moment: string | Epoch): Contents {
    const found = this.snapshots.find(({ name, epoch }) => name === moment || epoch === moment);
    if (found === undefined) throw missing("snapshot", String(moment));
    return found.contents;
  }
}

function flatten(contents: Contents): Map<string, [ObjectId, string, string, Uint8Array]> {
  const flat = new Map<string, [ObjectId, string, string, Uint8Array]>();
  for (const [oid, dkeys] of contents) {
    for (const [dkey, akeys] of dkeys) {
      for (const [akey, value] of akeys) flat.set(`${oid}/${dkey}/${akey}`, [oid, dkey, akey, value]);
    }
  }
  return flat;
}

/** Values and, as values of one run, arrays. */
function fakeTransactionObject(values: Map<string, Uint8Array>, oid: ObjectId): TransactionObjectAccess {
  const text = (key: Key): string => (typeof key === "string" ? key : Buffer.from(key).toString("latin1"));
  const name = (dkey: Key, akey: Key): string => [oid, text(dkey), text(akey)].join("/");
  const beneath = (dkey: Key): string[] => [...values.keys()].filter((key) => key.startsWith(name(dkey, "")));
  const unsupported = (): Promise<never> => Promise.reject(new DaosError("UNSUPPORTED", "Cannot do this in a fake."));
  return {
    fetch: async (dkey, akey) => {
      const value = values.get(name(dkey, akey));
      return value === undefined ? undefined : { value };
    },
    update: async (dkey, akey, value, { condition }) => {
      if (condition === "ifAbsent" && values.has(name(dkey, akey))) throw alreadyThere("akey", text(akey));
      values.set(name(dkey, akey), value);
    },
    punchAkey: async (dkey, akey) => void values.delete(name(dkey, akey)),
    punchDkey: async (dkey) => beneath(dkey).forEach((key) => values.delete(key)),
    readArray: async (dkey, akey, { recordCount, recordBytes }) =>
      values.get(name(dkey, akey)) ?? new Uint8Array(recordCount * recordBytes),
    writeArray: async (dkey, akey, _at, bytes) => void values.set(name(dkey, akey), bytes),
    punchArray: unsupported,
    listAkeys: async (dkey) => beneath(dkey).map((key) => Buffer.from(key.slice(name(dkey, "").length), "latin1")),
  };
}

class FakeObject implements ObjectAccess {
  readonly #view: FakeView;
  readonly #oid: ObjectId;

  constructor(view: FakeView, oid: ObjectId) {
    this.#view = view;
    this.#oid = oid;
  }

  async *listDkeys(): AsyncGenerator<Uint8Array> {
    for (const dkey of [...(this.#view.contents.get(this.#oid)?.keys() ?? [])].toSorted()) yield bytesOf(dkey);
  }

  async *listAkeys(dkey: Key): AsyncGenerator<Uint8Array> {
    const akeys = this.#view.contents.get(this.#oid)?.get(byteStringOfKey(dkey));
    for (const akey of [...(akeys?.keys() ?? [])].toSorted()) yield bytesOf(akey);
  }

  async punch(): Promise<void> {
    this.#view.remove(this.#oid);
  }

  async punchDkey(dkey: Key): Promise<void> {
    this.#view.remove(this.#oid, byteStringOfKey(dkey));
  }

  async punchAkey(dkey: Key, akey: Key): Promise<void> {
    this.#view.remove(this.#oid, byteStringOfKey(dkey), byteStringOfKey(akey));
  }
}

class FakeKeyValue implements KeyValue {
  readonly #view: FakeView;

  constructor(view: FakeView) {
    this.#view = view;
  }

  async get(key: Key): Promise<{ value: Uint8Array; epoch: Epoch } | undefined> {
    const value = this.#view.value(KV_OBJECT, byteStringOfKey(key), "");
    return value === undefined ? undefined : { value, epoch: 77 as Epoch };
  }

  async put(key: Key, value: Uint8Array, options?: KeyValueWriteOptions): Promise<Epoch> {
    this.#checkCondition(key, options);
    this.#view.store(KV_OBJECT, byteStringOfKey(key), "", value);
    return 78 as Epoch;
  }

  async delete(key: Key, options?: KeyValueWriteOptions): Promise<Epoch> {
    this.#checkCondition(key, options);
    this.#view.remove(KV_OBJECT, byteStringOfKey(key));
    return 79 as Epoch;
  }

  async *list(options: KeyValueListOptions = {}): AsyncGenerator<Uint8Array> {
    const prefix = byteStringOfKey(options.prefix ?? "");
    for (const key of [...(this.#view.contents.get(KV_OBJECT)?.keys() ?? [])].toSorted()) {
      if (key.startsWith(prefix)) yield bytesOf(key);
    }
  }

  #checkCondition(key: Key, options?: KeyValueWriteOptions): void {
    const exists = this.#view.value(KV_OBJECT, byteStringOfKey(key), "") !== undefined;
    if (options?.condition === "ifExists" && !exists)
      throw new DaosError("DOES_NOT_EXIST", "Cannot write: no such akey.");
    if (options?.condition === "ifAbsent" && exists)
      throw new DaosError("ALREADY_EXISTS", "Cannot write: akey is there.");
  }
}

class FakeArray implements ArrayAccess {
  readonly chunkBytes = MIB;
  readonly recordBytes = 1;
  readonly #view: FakeView;
  readonly #oid: ObjectId;

  constructor(view: FakeView, oid: ObjectId) {
    this.#view = view;
    this.#oid = oid;
  }

  get #bytes(): Uint8Array {
    return this.#view.value(this.#oid, FIRST_DKEY, "0") ?? new Uint8Array();
  }

  async size(): Promise<number> {
    return this.#bytes.length;
  }

  async setSize(sizeBytes: number): Promise<void> {
    const resized = new Uint8Array(sizeBytes);
    resized.set(this.#bytes.subarray(0, sizeBytes));
    this.#view.store(this.#oid, FIRST_DKEY, "0", resized);
  }

  async writeStream(chunks: AsyncIterable<Uint8Array>): Promise<number> {
    let sizeBytes = 0;
    for await (const chunk of chunks) {
      const grown = new Uint8Array(Math.max(this.#bytes.length, sizeBytes + chunk.length));
      grown.set(this.#bytes);
      grown.set(chunk, sizeBytes);
      this.#view.store(this.#oid, FIRST_DKEY, "0", grown);
      sizeBytes += chunk.length;
    }
    return sizeBytes;
  }

  async *readStream(options: { offset?: number; length?: number }): AsyncGenerator<Uint8Array> {
    const { offset = 0, length = this.#bytes.length } = options;
    const end = Math.min(this.#bytes.length, offset + length);
    for (let at = offset; at < end; at += 1000) yield this.#bytes.slice(at, Math.min(end, at + 1000));
  }
}

function missing(noun: string, name: string): DaosError {
  return new DaosError("NOT_FOUND", `Cannot open ${noun} "${name}": there is none. See \`daos ${noun} list\`.`);
}

function alreadyThere(noun: string, name: string): DaosError {
  return new DaosError("ALREADY_EXISTS", `Cannot create ${noun} "${name}": there is one. Choose another label.`);
}
