/**
 * Every operation of the management listener as a typed call: arguments out, checked reply in. Which calls may be sent
 * again after a lost connection is decided here: those that only read, and those that change records, under their numbers.
 */
import type {
  DeviceDescription,
  DeviceQueryReply,
  DeviceReference,
  DeviceReplaceArguments,
  DeviceSetFaultyArguments,
} from "../format/device-operations.ts";
import {
  type ContainerCreateArguments,
  type ContainerDescription,
  type ContainerDestroyArguments,
  type ContainerListReply,
  type ContainerOpenArguments,
  type ContainerOpenReply,
  type ContainerReference,
  type ContainerSetPropertiesArguments,
  type EngineMetricsReply,
  Opcode,
  type PluginListReply,
  type PoolCreateArguments,
  type PoolDescription,
  type PoolDestroyArguments,
  type PoolListReply,
  type PoolReference,
  type PoolSetPropertiesArguments,
  type Properties,
  type PropertiesReply,
  type ServerStopArguments,
  type SnapshotCreateArguments,
  type SnapshotDescription,
  type SnapshotDestroyArguments,
  type SnapshotListReply,
  type SystemQueryReply,
} from "../format/operations.ts";
import type { CheckArguments, CheckReply } from "../format/check-operations.ts";
import type { SystemEventsArguments, SystemEventsReply } from "../format/event-operations.ts";
import type {
  PoolOutcome,
  SelfHealEvalReply,
  SelfHealReply,
  SystemBackupArguments,
  SystemBackupReply,
  SystemLeaderReply,
  SystemRanksArguments,
  SystemRanksReply,
  SystemStartArguments,
  SystemStartReply,
  SystemStopArguments,
} from "../format/system-operations.ts";
import type { PoolExtendArguments, PoolTargetsArguments, PoolTargetsReply } from "../format/pool-targets.ts";
import type { PoolScrubArguments, PoolScrubReply } from "../format/scrub.ts";
import type { ManagementConnection } from "./management-connection.ts";
import { checkList, checkReply, type ReplyShape, wrongReply } from "./reply.ts";
import {
  CONTAINER_SHAPE,
  DEVICE_SHAPE,
  MAP_SHAPE,
  MAP_TARGET_SHAPE,
  POOL_SHAPE,
  PROPERTIES_SHAPE,
  SCRUB_SHAPE,
  SNAPSHOT_SHAPE,
  TARGETS_SHAPE,
} from "./reply-shapes.ts";

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

const RANKS_CHANGES = {
  exclude: Opcode.systemExclude,
  drain: Opcode.systemDrain,
  reintegrate: Opcode.systemReintegrate,
} as const;
/** What may be done to the targets of engines in all pools. */
export type RanksChange = keyof typeof RANKS_CHANGES;

export class SystemCalls {
  readonly #connection: ManagementConnection;

  constructor(connection: ManagementConnection) {
    this.#connection = connection;
  }

  async querySystem(options: CallOptions): Promise<SystemQueryReply> {
    const shape: ReplyShape = { system: "text", software: "text", map: "map", engines: "list?" };
    const reply = await this.#read<SystemQueryReply>(Opcode.systemQuery, "system query", {}, shape, options);
    checkMap(reply.map, "system query");
    return reply;
  }

  async check(args: CheckArguments, options: CallOptions): Promise<CheckReply> {
    const shape: ReplyShape = {
      findings: "list",
      phase: "text",
      looked: "count",
      bytes: "count",
      unjudged: "count",
      next: "text?",
    };
    const reply = await this.#read<CheckReply>(Opcode.systemCheck, "system check", args, shape, options);
    checkList(reply.findings, "system check", { class: "text", place: "text", state: "text", action: "text" });
    return reply;
  }

  async queryMetrics(options: CallOptions): Promise<EngineMetricsReply> {
    const shape: ReplyShape = { cpuUserUs: "number", cpuSystemUs: "number", residentBytes: "number", targets: "list" };
    return this.#read(Opcode.engineMetrics, "engine metrics", {}, shape, options);
  }

  async listPlugins(options: CallOptions): Promise<PluginListReply["plugins"]> {
    const shape: ReplyShape = { plugins: "list" };
    const reply = await this.#read<PluginListReply>(Opcode.pluginList, "plugin list", {}, shape, options);
    return checkList(reply.plugins, "plugin list", { kind: "text", name: "text", state: "text" });
  }

  async queryDevices(options: CallOptions): Promise<readonly DeviceDescription[]> {
    const shape: ReplyShape = { devices: "list" };
    const reply = await this.#read<DeviceQueryReply>(Opcode.deviceQuery, "storage query", {}, shape, options);
    return checkList(reply.devices, "storage query", DEVICE_SHAPE);
  }

  setDeviceFaulty(args: DeviceSetFaultyArguments, options: CallOptions): Promise<DeviceDescription> {
    return this.#command(Opcode.deviceSetFaulty, "storage set-faulty", args, DEVICE_SHAPE, options);
  }

  replaceDevice(args: DeviceReplaceArguments, options: CallOptions): Promise<DeviceDescription> {
    return this.#command(Opcode.deviceReplace, "storage replace", args, DEVICE_SHAPE, options);
  }

  identifyDevice(args: DeviceReference, options: CallOptions): Promise<DeviceDescription> {
    return this.#read(Opcode.deviceIdentify, "storage identify", args, DEVICE_SHAPE, options);
  }

  async stopServer(args: ServerStopArguments, options: CallOptions): Promise<void> {
    await this.#command(Opcode.serverStop, "server stop", args, {}, options);
  }

  /** A stopped engine told to stop once more does not mind. */
  async stopEngines(args: SystemStopArguments, options: CallOptions): Promise<void> {
    await this.#change(Opcode.systemStop, "system stop", args, {}, options);
  }

  startEngines(args: SystemStartArguments, options: CallOptions): Promise<SystemStartReply> {
    return this.#read(Opcode.systemStart, "system start", args, { missing: "list", supervisors: "count" }, options);
  }

  readBackup(args: SystemBackupArguments, options: CallOptions): Promise<SystemBackupReply> {
    const shape: ReplyShape = {
      id: "count",
      sizeBytes: "count",
      records: "count",
      takenAtMs: "number",
      bytes: "bytes",
    };
    return this.#read(Opcode.systemBackup, "system backup", args, shape, options);
  }

  async listEvents(args: SystemEventsArguments, options: CallOptions): Promise<SystemEventsReply> {
    const shape: ReplyShape = { events: "list", next: "count", missed: "count" };
    const reply = await this.#read<SystemEventsReply>(Opcode.systemEvents, "system events", args, shape, options);
    checkList(reply.events, "system events", { number: "count", id: "text", severity: "text", message: "text" });
    return reply;
  }

  queryLeader(options: CallOptions): Promise<SystemLeaderReply> {
    const shape: ReplyShape = { rank: "count", address: "text", leadsMs: "count" };
    return this.#read(Opcode.systemLeader, "system leader", {}, shape, options);
  }

  /** In all pools, some a request. */
  async changeRanks(change: RanksChange, args: SystemRanksArguments, options: CallOptions): Promise<PoolOutcome[]> {
    const what = `system ${change}`;
    const pools = await this.#pages(async (after) => {
      const paged = after === undefined ? args : { ...args, after };
      const shape: ReplyShape = { pools: "list", anchor: "text?" };
      const reply = await this.#read<SystemRanksReply>(RANKS_CHANGES[change], what, paged, shape, options);
      return { items: checkOutcomes(reply.pools, what), anchor: reply.anchor };
    });
    return [...pools];
  }

  async getSelfHeal(options: CallOptions): Promise<readonly string[]> {
    const what = "system self-heal get";
    return (await this.#read<SelfHealReply>(Opcode.selfHealGet, what, {}, { flags: "list" }, options)).flags;
  }

  /** To the same flags once more changes nothing. */
  async setSelfHeal(flags: readonly string[], options: CallOptions): Promise<readonly string[]> {
    const what = "system self-heal set";
    return (await this.#read<SelfHealReply>(Opcode.selfHealSet, what, { flags }, { flags: "list" }, options)).flags;
  }

  async evalSelfHeal(options: CallOptions): Promise<SelfHealEvalReply> {
    const what = "system self-heal eval";
    const shape: ReplyShape = { excluded: "list", pools: "list" };
    const reply = await this.#read<SelfHealEvalReply>(Opcode.selfHealEval, what, {}, shape, options);
    checkOutcomes(reply.pools, what);
    return reply;
  }

  async listPools(options: CallOptions): Promise<readonly PoolDescription[]> {
    return this.#pages(async (after) => {
      const args = after === undefined ? {} : { after };
      const shape: ReplyShape = { pools: "list", anchor: "text?" };
      const reply = await this.#read<PoolListReply>(Opcode.poolList, "pool list", args, shape, options);
      return { items: checkList(reply.pools, "pool list", POOL_SHAPE), anchor: reply.anchor };
    });
  }

  createPool(args: PoolCreateArguments, options: CallOptions): Promise<PoolDescription> {
    return this.#change(Opcode.poolCreate, "pool create", args, POOL_SHAPE, options);
  }

  queryPool(args: PoolReference, options: CallOptions): Promise<PoolDescription> {
    return this.#read(Opcode.poolQuery, "pool query", args, POOL_SHAPE, options);
  }

  async destroyPool(args: PoolDestroyArguments, options: CallOptions): Promise<void> {
    await this.#change(Opcode.poolDestroy, "pool destroy", args, {}, options);
  }

  async getPoolProperties(args: PoolReference, options: CallOptions): Promise<Properties> {
    const what = "pool get-prop";
    return (await this.#read<PropertiesReply>(Opcode.poolGetProperties, what, args, PROPERTIES_SHAPE, options))
      .properties;
  }

  async setPoolProperties(args: PoolSetPropertiesArguments, options: CallOptions): Promise<Properties> {
    const what = "pool set-prop";
    return (await this.#change<PropertiesReply>(Opcode.poolSetProperties, what, args, PROPERTIES_SHAPE, options))
      .properties;
  }

  async queryPoolTargets(args: PoolReference, options: CallOptions): Promise<PoolTargetsReply> {
    const what = "pool query-targets";
    const reply = await this.#read<PoolTargetsReply>(Opcode.poolQueryTargets, what, args, TARGETS_SHAPE, options);
    checkMap(reply.map, what);
    return reply;
  }

  excludeTargets(args: PoolTargetsArguments, options: CallOptions): Promise<PoolTargetsReply> {
    return this.#changeTargets(Opcode.poolExclude, "pool exclude", args, options);
  }

  reintegrateTargets(args: PoolTargetsArguments, options: CallOptions): Promise<PoolTargetsReply> {
    return this.#changeTargets(Opcode.poolReintegrate, "pool reintegrate", args, options);
  }

  drainTargets(args: PoolTargetsArguments, options: CallOptions): Promise<PoolTargetsReply> {
    return this.#changeTargets(Opcode.poolDrain, "pool drain", args, options);
  }

  extendPool(args: PoolExtendArguments, options: CallOptions): Promise<PoolTargetsReply> {
    return this.#changeTargets(Opcode.poolExtend, "pool extend", args, options);
  }

  /** Sent again, a start begins the pass anew. */
  async scrubPool(args: PoolScrubArguments, options: CallOptions): Promise<PoolScrubReply> {
    const what = `pool scrub ${args.action}`;
    const reply = await this.#read<PoolScrubReply>(Opcode.poolScrub, what, args, SCRUB_SHAPE, options);
    checkList(reply.targets, what, { index: "count", rank: "count" });
    return reply;
  }

  createContainer(args: ContainerCreateArguments, options: CallOptions): Promise<ContainerDescription> {
    return this.#change(Opcode.containerCreate, "container create", args, CONTAINER_SHAPE, options);
  }

  async listContainers(args: PoolReference, options: CallOptions): Promise<readonly ContainerDescription[]> {
    return this.#pages(async (after) => {
      const paged = after === undefined ? args : { ...args, after };
      const shape: ReplyShape = { containers: "list", anchor: "text?" };
      const reply = await this.#read<ContainerListReply>(Opcode.containerList, "container list", paged, shape, options);
      return { items: checkList(reply.containers, "container list", CONTAINER_SHAPE), anchor: reply.anchor };
    });
  }

  queryContainer(args: ContainerReference, options: CallOptions): Promise<ContainerDescription> {
    return this.#read(Opcode.containerQuery, "container query", args, CONTAINER_SHAPE, options);
  }

  async destroyContainer(args: ContainerDestroyArguments, options: CallOptions): Promise<void> {
    await this.#change(Opcode.containerDestroy, "container destroy", args, {}, options);
  }

  async getContainerProperties(args: ContainerReference, options: CallOptions): Promise<Properties> {
    const what = "container get-prop";
    const opcode = Opcode.containerGetProperties;
    return (await this.#read<PropertiesReply>(opcode, what, args, PROPERTIES_SHAPE, options)).properties;
  }

  async setContainerProperties(args: ContainerSetPropertiesArguments, options: CallOptions): Promise<Properties> {
    const what = "container set-prop";
    const opcode = Opcode.containerSetProperties;
    return (await this.#change<PropertiesReply>(opcode, what, args, PROPERTIES_SHAPE, options)).properties;
  }

  /** Opening changes nothing: it may be sent again. */
  async openContainer(args: ContainerOpenArguments, options: CallOptions): Promise<ContainerOpenReply> {
    const what = "container open";
    const shape: ReplyShape = { container: "map", map: "map", capability: "bytes" };
    const reply = await this.#read<ContainerOpenReply>(Opcode.containerOpen, what, args, shape, options);
    checkReply(reply.container, what, CONTAINER_SHAPE);
    checkMap(reply.map, what);
    return reply;
  }

  createSnapshot(args: SnapshotCreateArguments, options: CallOptions): Promise<SnapshotDescription> {
    return this.#change(Opcode.snapshotCreate, "snapshot create", args, SNAPSHOT_SHAPE, options);
  }

  async listSnapshots(args: ContainerReference, options: CallOptions): Promise<readonly SnapshotDescription[]> {
    const shape: ReplyShape = { snapshots: "list" };
    const reply = await this.#read<SnapshotListReply>(Opcode.snapshotList, "snapshot list", args, shape, options);
    return checkList(reply.snapshots, "snapshot list", SNAPSHOT_SHAPE);
  }

  async destroySnapshot(args: SnapshotDestroyArguments, options: CallOptions): Promise<void> {
    await this.#change(Opcode.snapshotDestroy, "snapshot destroy", args, {}, options);
  }

  #read<T>(opcode: Opcode, what: string, args: object, shape: ReplyShape, options: CallOptions): Promise<T> {
    return this.#connection.call<T>(opcode, what, args, shape, { repetition: "harmless", signal: options.signal });
  }

  /** Of the system's records. */
  #change<T>(opcode: Opcode, what: string, args: object, shape: ReplyShape, options: CallOptions): Promise<T> {
    return this.#connection.call<T>(opcode, what, args, shape, { repetition: "numbered", signal: options.signal });
  }

  /** Of an engine, which remembers no numbers. */
  #command<T>(opcode: Opcode, what: string, args: object, shape: ReplyShape, options: CallOptions): Promise<T> {
    return this.#connection.call<T>(opcode, what, args, shape, { repetition: "harmful", signal: options.signal });
  }

  async #changeTargets(opcode: Opcode, what: string, args: object, options: CallOptions): Promise<PoolTargetsReply> {
    const reply = await this.#change<PoolTargetsReply>(opcode, what, args, TARGETS_SHAPE, options);
    checkMap(reply.map, what);
    return reply;
  }

  /** All items of a list that comes in pages. */
  async #pages<T>(
    fetch: (after: string | undefined) => Promise<{ items: readonly T[]; anchor: string | undefined }>,
  ): Promise<readonly T[]> {
    const items: T[] = [];
    let after: string | undefined;
    for (;;) {
      const page = await fetch(after);
      items.push(...page.items);
      if (page.anchor === undefined || page.anchor === null) return items;
      if (after !== undefined && page.anchor <= after) throw wrongReply("list", "it does not go on");
      after = page.anchor;
    }
  }
}

function checkOutcomes(pools: readonly PoolOutcome[], what: string): readonly PoolOutcome[] {
  return checkList(pools, what, { pool: "text", outcome: "text", mapVersion: "count?", message: "text?" });
}

function checkMap(map: unknown, what: string): void {
  const { targets } = checkReply<{ targets: readonly unknown[] }>(map, what, MAP_SHAPE);
  checkList(targets, what, MAP_TARGET_SHAPE);
}
