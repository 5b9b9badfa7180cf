/**
 * One engine: opens the storage folder and the meta store, starts a thread for each target, resumes what a crash cut
 * off, and serves the management listener. Stops in the reverse order: no new requests, then the targets settle and
 * close, then the folder is released. A target's thread that dies takes the engine down: its data is safe in its log,
 * and a restart replays it.
 */
import { HybridLogicalClock } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import type { Hmac } from "../control/capability-authority.ts";
import { newUuid } from "../control/control-parts.ts";
import { ControlPlane } from "../control/control-plane.ts";
import type { ResumeReport } from "../control/resumption.ts";
import { capabilityKeyOf, openSystem } from "../control/system-service.ts";
import type { Uuid } from "../base/uuid.ts";
import type { MetaStore } from "../contracts/meta-store.ts";
import type { Thread, World } from "../contracts/world.ts";
import type { EngineMetricsReply } from "../format/operations.ts";
import { type PoolMap, servingTarget } from "../format/pool-map.ts";
import { RpcServer } from "../rpc/server.ts";
import type { StorageSuperblock } from "../format/storage-superblock.ts";
import { type Configuration, targetPort } from "./configuration.ts";
import { ManagementService } from "./management-service.ts";
import { devicePathOf } from "./device-configuration.ts";
import type { TargetDeviceSettings } from "./device-opening.ts";
import { DeviceService, type EngineEvent } from "./device-service.ts";
import { DeviceTable } from "./device-table.ts";
import { choosePlugins, type MemoryNamespace, type PluginChoice } from "./plugin-choice.ts";
import type { PluginRegistry } from "./plugin-registry.ts";
import {
  formattedSuperblock,
  markReady,
  metaFolder,
  openStorageFolder,
  type OpenStorage,
  type OpenStorageOptions,
  saveSuperblock,
  targetFolder,
} from "./storage-folder.ts";
import type { TargetCalls, TargetSettings } from "./target-calls.ts";
import { Targets } from "./targets.ts";
import { ThreadCaller } from "./thread-call.ts";

/** The pool map's version: one engine's targets never change. */
const MAP_VERSION = 1;
const STOP_GRACE_MS = 2_000;
/** Of the one engine that a system has. */
const RANK = 0;
/** The log takes a quarter of a target's SCM, at most this; the settled index has the rest. */
export const MAX_LOG_BYTES = 128 * MIB;
const LOG_UNIT_BYTES = 1 * MIB;

export interface EngineParts {
  readonly world: World;
  /** Release name told to clients, such as `daos 0.1.0`. */
  readonly software: string;
  readonly registry: PluginRegistry;
  readonly hmac: Hmac;
  readonly pid: number;
  readonly spawnTarget: (index: number) => Thread;
  /** Persistent memory of this machine, for the choice of plugins; none unless given. */
  readonly persistentMemory?: () => readonly MemoryNamespace[];
  /** Whether files of this folder can be read and written past the page cache; not so unless given. */
  readonly hasDirectIo?: (folder: string) => boolean;
  /** Hears what happens to the devices while the engine runs. */
  readonly event?: EngineEvent;
  /** Lights the lamp of a device; without it there is none. */
  readonly identifyDevice?: (path: string) => Promise<void>;
  /** See OpenStorageOptions.format; `force` also overwrites what the devices hold. */
  readonly format?: NonNullable<OpenStorageOptions["format"]>;
  readonly usage: () => { cpuUserUs: number; cpuSystemUs: number; residentBytes: number };
}

export interface Engine {
  readonly host: string;
  readonly port: number;
  readonly storage: string;
  /** The storage was formatted by this start. */
  readonly created: boolean;
  readonly resumed: ResumeReport;
  /** What the admin should know about the media of the targets, one line each. */
  readonly notices: readonly string[];
  /** Resolves when the engine has stopped; rejects when it ended because something failed. */
  readonly ended: Promise<void>;
  /** Finishes what runs, settles and closes. Resolves as `ended` does. */
  stop(): Promise<void>;
}

/** Rejects with CONFIGURATION, BUSY (another engine has the folder), VERSION, CORRUPT, NO_SPACE, UNAVAILABLE (address). */
export async function startEngine(configuration: Configuration, parts: EngineParts): Promise<Engine> {
  const startup = new EngineStartup(configuration, parts);
  try {
    return await startup.run();
  } catch (error) {
    await startup.abandon();
    throw error;
  }
}

class EngineStartup {
  #configuration: Configuration;
  readonly #parts: EngineParts;
  readonly #startedAtNs: number;
  readonly #threads: Thread[] = [];
  #lock: { release(): void } | undefined;
  #metaStore: MetaStore | undefined;
  #server: RpcServer | undefined;
  #fail: (error: Error) => void = () => {};

  constructor(configuration: Configuration, parts: EngineParts) {
    this.#configuration = configuration;
    this.#parts = parts;
    this.#startedAtNs = parts.world.clock.monotonicNs();
  }

  async run(): Promise<Engine> {
    const { world, registry, hmac, pid, software } = this.#parts;
    const { clock, random, disk } = world;
    const choice = this.#choosePlugins();
    this.#configuration = choice.configuration;
    const { scm, nvme, metaStore: meta, storage: folder } = this.#configuration;
    await configured(registry.check("scm", scm.plugin, scm.config));
    for (const { plugin, config } of nvme.devices) await configured(registry.check("block-device", plugin, config));
    const metaProvider = await configured(registry.provider("meta-store", meta.plugin, meta.config));
    disk.makeFolder(folder);
    this.#lock = disk.lockFolder(folder);
    const storage = openStorageFolder(disk, this.#configuration, {
      newId: () => newUuid(random),
      nowMs: clock.wallMs(),
      ...(this.#parts.format !== undefined && { format: this.#parts.format }),
    });
    const { superblock, format } = storage;
    const metaStore = await metaProvider.open(world, { folder: metaFolder(folder) });
    this.#metaStore = metaStore;
    const system = await openSystem(metaStore, {
      create: format,
      id: superblock.id as Uuid,
      name: superblock.system,
      clock,
      random,
    });
    const failed = new Promise<never>((_resolve, reject) => {
      this.#fail = reject;
    });
    failed.catch(() => {});
    const { targets, map, notices, table } = await this.#startTargets(storage, capabilityKeyOf(system), failed);
    const facts = { software, storage: folder, pid, startedAtNs: this.#startedAtNs };
    const interfaces = await Promise.all(
      registry.available("interface").map((name) => registry.provider("interface", name)),
    );
    const containerTypes = [...interfaces.flatMap((provider) => provider.containerTypes), "object"];
    const control = new ControlPlane({
      metaStore,
      system,
      targets,
      clock,
      random,
      hmac,
      map: () => map,
      facts,
      containerTypes,
    });
    const resumed = await control.resume();
    if (format) table.adopt(markReady(disk, folder, table.superblock));
    const devices = this.#deviceService(table, targets);
    notices.unshift(choice.notice);
    return this.#serve({ control, targets, devices }, { created: format, resumed, notices }, failed);
  }

  /** Looks only: what it reads of a storage that another engine is making is compared again under the lock. */
  #choosePlugins(): PluginChoice {
    const { world, registry, format, persistentMemory = () => [], hasDirectIo = () => false } = this.#parts;
    const { storage } = this.#configuration;
    return choosePlugins(this.#configuration, {
      superblock: format === "force" ? undefined : formattedSuperblock(world.disk, storage),
      available: (kind) => registry.available(kind),
      reason: (kind, name) => registry.list().find((known) => known.kind === kind && known.name === name)?.reason,
      persistentMemory: persistentMemory(),
      hasDirectIo: () => hasDirectIo(storage),
    });
  }

  /** Undoes a start that failed half way; what cannot be undone is left to the next start, which replays. */
  async abandon(): Promise<void> {
    await this.#server?.close();
    for (const thread of this.#threads) thread.terminate();
    await this.#metaStore?.close();
    this.#lock?.release();
  }

  async #startTargets(
    storage: OpenStorage,
    capabilityKey: Uint8Array,
    failed: Promise<never>,
  ): Promise<{ targets: Targets; map: PoolMap; notices: string[]; table: DeviceTable }> {
    const { world, spawnTarget } = this.#parts;
    const { storage: folder } = this.#configuration;
    const callers = Array.from({ length: storage.superblock.targets }, (_value, index) => {
      const thread = spawnTarget(index);
      this.#threads.push(thread);
      return new ThreadCaller<TargetCalls>(thread, (error) => {
        this.#fail(error ?? new DaosError("UNAVAILABLE", `Cannot go on: the thread of target ${index} has ended.`));
      });
    });
    const starts = callers.map((caller, index) =>
      caller.call("start", this.#targetSettings(storage, index, capabilityKey)),
    );
    const ready = await Promise.race([Promise.all(starts), failed]);
    const addresses = ready.map(({ host, port }, index) => servingTarget({ index, host, port }));
    const notices = ready.flatMap((target, index) => target.notices.map((notice) => `target ${index}: ${notice}`));
    const speed = ready.map((target) => target.speed).find((measured) => measured !== undefined);
    const { superblock } = storage;
    const table = new DeviceTable(speed === undefined ? superblock : { ...superblock, speed }, (changed) =>
      saveSuperblock(world.disk, folder, changed),
    );
    if (superblock.devices.some(({ successor }) => successor !== undefined)) table.completeSuccession();
    const targets = new Targets(callers, world.clock, world.timers, table.superblock.speed);
    return { targets, map: { version: MAP_VERSION, targets: addresses }, notices, table };
  }

  #deviceService(table: DeviceTable, targets: Targets): DeviceService {
    const { event = () => {}, identifyDevice = noLamp, world } = this.#parts;
    const service = new DeviceService({
      table,
      targets,
      event,
      configured: this.#configuration.nvme.devices,
      rank: RANK,
      newId: () => newUuid(world.random),
      identify: identifyDevice,
    });
    service.watch();
    return service;
  }

  #deviceSettings({ superblock, format }: OpenStorage, target: number): TargetDeviceSettings {
    const { devices, faults } = this.#configuration.nvme;
    const index = superblock.devices.findIndex(({ targets }) => targets.includes(target));
    const device = superblock.devices[index]!;
    const isNew = device.successor !== undefined;
    return {
      owner: {
        system: superblock.id as Uuid,
        systemName: superblock.system,
        engine: superblock.engine as Uuid,
        rank: RANK,
        device: (device.successor ?? device.id) as Uuid,
        targets: device.targets,
        target,
      },
      name: devicePathOf(devices[index]!) ?? `${device.plugin} of ${targetFolder(this.#configuration.storage, target)}`,
      isLabelled: device.labelled || isNew,
      isNew,
      force: this.#parts.format === "force" && format,
      fault: isNew ? "" : device.reason,
      mayBeAbsent: superblock.devices.length > 1,
      faults,
    };
  }

  #targetSettings({ superblock, format }: OpenStorage, index: number, capabilityKey: Uint8Array): TargetSettings {
    const { listen, scm, nvme, plugins, storage } = this.#configuration;
    const device = nvme.devices[superblock.devices.findIndex(({ targets }) => targets.includes(index))]!;
    const logBytes = logSize(superblock);
    return {
      index,
      folder: targetFolder(storage, index),
      create: format,
      host: listen.host,
      port: targetPort(this.#configuration, index),
      scm: { plugin: scm.plugin, sizeBytes: logBytes, config: scm.config },
      nvme: { plugin: device.plugin, sizeBytes: superblock.nvme.targetSizeBytes, config: device.config },
      device: this.#deviceSettings({ superblock, format }, index),
      indexBytes: superblock.scm.targetSizeBytes - logBytes,
      plugins,
      capabilityKey,
      mapVersion: MAP_VERSION,
      software: this.#parts.software,
    };
  }

  #serve(
    serving: { readonly control: ControlPlane; readonly targets: Targets; readonly devices: DeviceService },
    started: Pick<Engine, "created" | "resumed" | "notices">,
    failed: Promise<never>,
  ): Engine {
    const { world, registry, software } = this.#parts;
    const { control, targets, devices } = serving;
    const {
      listen: { host, port },
      storage,
    } = this.#configuration;
    const { network, timers } = world;
    let requestStop = (): void => {};
    const stopRequested = new Promise<void>((resolve) => {
      requestStop = resolve;
    });
    const handler = new ManagementService({
      control,
      devices,
      plugins: () => registry.list(),
      metrics: () => this.#metrics(targets),
      stop: requestStop,
    });
    const clock = new HybridLogicalClock(() => world.clock.wallMs());
    const server = new RpcServer({ network, timers, clock, host, port, software, role: "management", handler });
    this.#server = server;
    const ended = Promise.race([stopRequested, failed]).then(
      () => this.#shutDown(targets, handler),
      async (error: unknown) => {
        await this.abandon();
        throw error;
      },
    );
    const stop = (): Promise<void> => {
      requestStop();
      return ended;
    };
    return { host: server.host, port: server.port, storage, ...started, ended, stop };
  }

  /** The listener goes last: who finds nobody there may start another engine on the folder. */
  async #shutDown(targets: Targets, management: ManagementService): Promise<void> {
    await management.drain();
    await targets.stop();
    for (const thread of this.#threads) thread.terminate();
    await this.#metaStore?.close();
    this.#lock?.release();
    await this.#server?.close(STOP_GRACE_MS);
  }

  async #metrics(targets: Targets): Promise<EngineMetricsReply> {
    const counters = await targets.counters();
    const spaces = await targets.spaceByTarget();
    const requests = counters.reduce((sum, counter) => sum + counter.requests, 0);
    return {
      ...this.#parts.usage(),
      requests,
      targets: counters.map((counter, index) => ({ ...counter, ...spaces[index]! })),
    };
  }
}

function noLamp(path: string): Promise<never> {
  const state = "this program cannot reach its lamp";
  return Promise.reject(new DaosError("UNSUPPORTED", `Cannot identify "${path}": ${state}. Use ledctl by hand.`));
}

/** A plugin that is named in the configuration and not there is the configuration's fault. */
async function configured<Result>(plugin: Promise<Result>): Promise<Result> {
  try {
    return await plugin;
  } catch (error) {
    if (!hasCode(error, "NOT_FOUND")) throw error;
    throw new DaosError("CONFIGURATION", error.message, { cause: error });
  }
}

/** The log's part of a target's SCM: whole units. */
function logSize({ scm }: StorageSuperblock): number {
  return Math.floor(Math.min(MAX_LOG_BYTES, scm.targetSizeBytes / 4) / LOG_UNIT_BYTES) * LOG_UNIT_BYTES;
}
