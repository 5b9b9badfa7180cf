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
import type { EngineMetricsReply, PoolMap } from "../format/operations.ts";
import { RpcServer } from "../rpc/server.ts";
import type { StorageSuperblock } from "../format/storage-superblock.ts";
import { type Configuration, targetPort } from "./configuration.ts";
import { ManagementService } from "./management-service.ts";
import type { PluginRegistry } from "./plugin-registry.ts";
import { markReady, metaFolder, openStorageFolder, type OpenStorage, targetFolder } from "./storage-folder.ts";
import type { TargetCalls, TargetSettings } from "./target-calls.ts";
import { Targets } from "./targets.ts";
import { ThreadCaller } from "./thread-call.ts";

/** The pool map's version: one engine's targets never change. */
const MAP_VERSION = 1;
const STOP_GRACE_MS = 2_000;
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
  readonly usage: () => { cpuUserUs: number; cpuSystemUs: number; residentBytes: number };
}

export interface Engine {
  readonly host: string;
  readonly port: number;
  readonly storage: string;
  /** The storage was formatted by this start. */
  readonly created: boolean;
  readonly resumed: ResumeReport;
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
  readonly #configuration: Configuration;
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
    const { scm, nvme, metaStore: meta, storage: folder } = this.#configuration;
    const { clock, random, disk } = world;
    await configured(registry.check("scm", scm.plugin, scm.config));
    await configured(registry.check("block-device", nvme.plugin, nvme.config));
    const metaProvider = await configured(registry.provider("meta-store", meta.plugin, meta.config));
    disk.makeFolder(folder);
    this.#lock = disk.lockFolder(folder);
    const storage = openStorageFolder(disk, this.#configuration, { id: newUuid(random), nowMs: clock.wallMs() });
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
    const { targets, map } = await this.#startTargets(storage, capabilityKeyOf(system), failed);
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
    if (format) markReady(disk, folder, superblock);
    return this.#serve(control, targets, { created: format, resumed }, failed);
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
  ): Promise<{ targets: Targets; map: PoolMap }> {
    const { world, spawnTarget } = this.#parts;
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
    const addresses = ready.map(({ host, port }, index) => ({ index, host, port }));
    return { targets: new Targets(callers, world.clock), map: { version: MAP_VERSION, targets: addresses } };
  }

  #targetSettings({ superblock, format }: OpenStorage, index: number, capabilityKey: Uint8Array): TargetSettings {
    const { listen, scm, nvme, plugins, storage } = this.#configuration;
    const logBytes = logSize(superblock);
    return {
      index,
      folder: targetFolder(storage, index),
      create: format,
      host: listen.host,
      port: targetPort(this.#configuration, index),
      scm: { plugin: scm.plugin, sizeBytes: logBytes, config: scm.config },
      nvme: { plugin: nvme.plugin, sizeBytes: superblock.nvme.targetSizeBytes, config: nvme.config },
      indexBytes: superblock.scm.targetSizeBytes - logBytes,
      plugins,
      capabilityKey,
      mapVersion: MAP_VERSION,
      software: this.#parts.software,
    };
  }

  #serve(
    control: ControlPlane,
    targets: Targets,
    started: { readonly created: boolean; readonly resumed: ResumeReport },
    failed: Promise<never>,
  ): Engine {
    const { world, registry, software } = this.#parts;
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
