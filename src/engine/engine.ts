/**
 * One engine: opens the storage folder, starts a thread for each target, and serves the management listener. The first
 * engine of a system opens the meta store too and runs the control plane: it resumes what a crash cut off. Another one
 * joins, and is told its pools. Where the meta store is one that several engines can have open, each opens it, and runs the
 * control plane when it is elected. Stops in the reverse order: no new requests, then the targets settle and close, then the
 * folder is released. A target's thread that dies takes the engine down: its data is safe in its log, and a restart
 * replays it.
 */
import { HybridLogicalClock } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { Uuid } from "../base/uuid.ts";
import { newUuid } from "../control/control-parts.ts";
import { FIRST_RANK } from "../control/members.ts";
import { capabilityKeyOf, openSystem } from "../control/system-service.ts";
import type { MetaStore } from "../contracts/meta-store.ts";
import type { EngineAddress, StopOrder } from "../format/engine-operations.ts";
import { RpcServer } from "../rpc/server.ts";
import type { Configuration } from "./configuration.ts";
import { DeviceService, noLamp } from "./device-service.ts";
import { EngineDesk } from "./engine-desk.ts";
import { ElectedRole } from "./elected-role.ts";
import { EventOutbox } from "./event-outbox.ts";
import { HealthWatch } from "./health-watch.ts";
import { engineMetrics } from "./engine-metrics.ts";
import type { Engine, EngineParts } from "./engine-parts.ts";
import { EngineIdentity } from "./engine-identity.ts";
import { FailureDetector } from "./failure-detector.ts";
import { ControlRole, type EngineRole, MemberRole, type RoleParts } from "./engine-role.ts";
import { EngineService } from "./engine-service.ts";
import { isWildcard } from "./listen-address.ts";
import { ManagementService } from "./management-service.ts";
import { choosePlugins, type PluginChoice } from "./plugin-choice.ts";
import { configured } from "./plugin-errors.ts";
import {
  formattedSuperblock,
  markReady,
  metaFolder,
  openStorageFolder,
  type OpenStorage,
  type OpenStorageOptions,
  targetFolder,
} from "./storage-folder.ts";
import { askRenewal, checkDamage, mayAsk, noteDamaged, type TargetRenewalParts } from "./target-renewal.ts";
import { type StartedTargets, TargetStarter } from "./target-starter.ts";
import type { Targets } from "./targets.ts";

const STOP_GRACE_MS = 2_000;

/** Rejects with CONFIGURATION, BUSY (another engine has the folder), VERSION, CORRUPT, NO_SPACE, UNAVAILABLE (address, system to join), PERMISSION, ALREADY_EXISTS (joining). */
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
  #starter: TargetStarter | undefined;
  #lock: { release(): void } | undefined;
  #metaStore: MetaStore | undefined;
  #server: RpcServer | undefined;
  #role: EngineRole | undefined;
  #health: HealthWatch | undefined;
  readonly #outbox: EventOutbox;
  #fail: (error: Error) => void = () => {};
  #requestStop: (order: StopOrder) => void = () => {};

  constructor(configuration: Configuration, parts: EngineParts) {
    this.#configuration = configuration;
    this.#parts = parts;
    const { clock, timers } = parts.world;
    this.#startedAtNs = clock.monotonicNs();
    this.#outbox = new EventOutbox({ clock, timers, show: parts.event ?? (() => {}) });
  }

  async run(): Promise<Engine> {
    const { world, registry } = this.#parts;
    const { disk } = world;
    const choice = this.#choosePlugins();
    this.#configuration = choice.configuration;
    const { scm, nvme, metaStore: meta, storage: folder } = this.#configuration;
    await configured(registry.check("scm", scm.plugin, scm.config));
    for (const { plugin, config } of nvme.devices) await configured(registry.check("block-device", plugin, config));
    const metaProvider = await configured(registry.provider("meta-store", meta.plugin, meta.config));
    disk.makeFolder(folder);
    this.#lock = disk.lockFolder(folder);
    const epochs = new HybridLogicalClock(() => world.clock.wallMs());
    const identity = new EngineIdentity(this.#configuration, { ...this.#parts, epochs });
    const joined = await identity.joined();
    const storage = openStorageFolder(disk, this.#configuration, this.#storageOptions(joined));
    const { superblock, format } = storage;
    const { membership } = superblock;
    let capabilityKey = new Uint8Array(Buffer.from(membership?.key ?? "", "hex"));
    let openMeta: { metaStore: MetaStore; system: Awaited<ReturnType<typeof openSystem>> } | undefined;
    const isShared = registry.supports("meta-store", meta.plugin, "shared");
    if (membership === undefined || isShared) {
      const store = await metaProvider.open(world, { folder: metaFolder(folder) });
      this.#metaStore = store;
      const { id, system: name } = superblock;
      const { clock, random } = world;
      const create = format && membership === undefined;
      const system = await openSystem(store, { create, id: id as Uuid, name, clock, random });
      capabilityKey = capabilityKeyOf(system) as Uint8Array<ArrayBuffer>;
      openMeta = { metaStore: store, system };
    }
    const failed = new Promise<never>((_resolve, reject) => {
      this.#fail = reject;
    });
    failed.catch(() => {});
    const rank = membership?.rank ?? FIRST_RANK;
    const renewal: TargetRenewalParts = {
      ...this.#parts,
      configuration: this.#configuration,
      epochs,
      superblock,
      rank,
      key: capabilityKey,
      addresses: membership === undefined ? [] : identity.controlAddresses(membership),
      metaStore: isShared ? this.#metaStore : undefined,
    };
    if (!format) await checkDamage(renewal);
    const starting = this.#startTargets(storage, rank, capabilityKey, failed);
    const started = await starting.catch((error: unknown) => askRenewal(error, renewal));
    if (mayAsk(renewal)) this.#watchStores(started.targets);
    const parts = await this.#roleParts(storage, rank, capabilityKey, epochs, started);
    const { table } = started;
    let role: EngineRole;
    if (openMeta === undefined) {
      role = new MemberRole({ ...parts, control: identity.controlAddresses(membership!), table });
    } else if (isShared) role = new ElectedRole({ ...parts, ...openMeta, table });
    else role = new ControlRole({ ...parts, ...openMeta });
    this.#role = role;
    started.notices.unshift(choice.notice);
    for (const target of started.renewed) {
      const state = "its store was damaged, and all that it had is elsewhere: it was made anew, empty";
      this.#outbox.tell("target_renewed", `rank ${rank}, target ${target}: ${state}`, { rank, target });
    }
    return this.#serve(role, parts, started, format, failed);
  }

  /** An engine of which a target cannot be filled ends, and comes back with that made anew, when others have what it had. */
  #watchStores(targets: Targets): void {
    const { disk, clock } = this.#parts.world;
    for (let index = 0; index < targets.count; index += 1) {
      targets.storeDamage(index).then(
        (reason) => {
          noteDamaged(disk, targetFolder(this.#configuration.storage, index), clock.wallMs());
          this.#fail(new DaosError("CORRUPT", `Cannot go on with target ${index}: it is to be filled, but: ${reason}`));
        },
        // The thread has ended, and the engine with it.
        () => {},
      );
    }
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

  #storageOptions(joined: OpenStorageOptions["joined"]): OpenStorageOptions {
    const { world, format, sharers } = this.#parts;
    return {
      newId: () => newUuid(world.random),
      nowMs: world.clock.wallMs(),
      ...(format !== undefined && { format }),
      ...(joined !== undefined && { joined }),
      ...(sharers !== undefined && { sharers }),
    };
  }

  /** Undoes a start that failed half way, or ends at once: what is under way is left to the next start, which replays. */
  async abandon(): Promise<void> {
    for (const thread of this.#starter?.threads ?? []) thread.terminate();
    await this.#role?.close();
    this.#health?.stop();
    await this.#role?.leave(() => this.#outbox.close());
    await this.#server?.close();
    await this.#metaStore?.close();
    this.#lock?.release();
  }

  #startTargets(
    storage: OpenStorage,
    rank: number,
    capabilityKey: Uint8Array,
    failed: Promise<never>,
  ): Promise<StartedTargets> {
    const { world, spawnTarget, software, format } = this.#parts;
    this.#starter = new TargetStarter({
      world,
      configuration: this.#configuration,
      software,
      spawnTarget,
      force: format === "force",
      rank,
      capabilityKey,
      fail: (error) => this.#fail(error),
      failed,
    });
    return this.#starter.run(storage);
  }

  async #roleParts(
    { superblock }: OpenStorage,
    rank: number,
    key: Uint8Array,
    epochs: HybridLogicalClock,
    { targets, addresses, table }: StartedTargets,
  ): Promise<RoleParts> {
    const { world, hmac, software, canceled, pid, startEngines } = this.#parts;
    const { network, timers, clock } = world;
    const incarnation = Math.floor(clock.wallMs());
    return {
      world,
      configuration: this.#configuration,
      peers: { network, timers, clock, epochs, hmac, software },
      event: this.#outbox.tell,
      canceled,
      rank,
      key,
      superblock,
      targets,
      addresses: addresses.map((address) => this.#reached(address)),
      incarnation,
      detector: new FailureDetector({
        world,
        rank,
        incarnation,
        system: superblock.id as Uuid,
        key,
        hmac,
        settings: this.#configuration.swim,
      }),
      engine: new EngineService({
        targets,
        incarnation,
        self: { engine: superblock.engine, system: superblock.id },
        devices: () => table.devices,
        startEngines,
        pledge: (term) => this.#role?.pledge(term) ?? false,
        stop: (order) => this.#requestStop(order),
      }),
      facts: { software, storage: this.#configuration.storage, pid, startedAtNs: this.#startedAtNs },
      containerTypes: await this.#containerTypes(),
    };
  }

  /** Where others reach a listener. */
  #reached(address: EngineAddress): EngineAddress {
    const host = isWildcard(address.host) ? this.#parts.hostAddress?.() : undefined;
    return host === undefined ? address : { host, port: address.port };
  }

  async #containerTypes(): Promise<string[]> {
    const { registry } = this.#parts;
    const names = registry.available("interface");
    const interfaces = await Promise.all(names.map((name) => registry.provider("interface", name)));
    return [...interfaces.flatMap((provider) => provider.containerTypes), "object"];
  }

  #deviceService({ table, targets }: StartedTargets, rank: number): DeviceService {
    const { identifyDevice = noLamp, world } = this.#parts;
    const service = new DeviceService({
      table,
      targets,
      event: this.#outbox.tell,
      configured: this.#configuration.nvme.devices,
      rank,
      newId: () => newUuid(world.random),
      identify: identifyDevice,
    });
    service.watch();
    return service;
  }

  /** The control plane answers before it listens; a member must be reachable to join. */
  async #serve(
    role: EngineRole,
    parts: RoleParts,
    started: StartedTargets,
    created: boolean,
    failed: Promise<never>,
  ): Promise<Engine> {
    const { world, software, registry, managementPort, hmac } = this.#parts;
    const { listen, storage, allowInsecure } = this.#configuration;
    const { targets, table, notices } = started;
    const stopRequested = new Promise<StopOrder>((resolve) => {
      this.#requestStop = resolve;
    });
    const resumed = await role.prepare();
    const devices = this.#deviceService(started, parts.rank);
    const handler = new ManagementService({
      control: role,
      desk: new EngineDesk({
        engine: parts.engine,
        key: parts.key,
        hmac,
        clock: world.clock,
        control: role,
        allowsStrangers: allowInsecure,
      }),
      devices,
      plugins: () => registry.list(),
      metrics: () => engineMetrics(targets, this.#parts.usage(), this.#outbox.counts),
      stop: (order) => this.#requestStop(order),
    });
    const server = new RpcServer({
      network: world.network,
      timers: world.timers,
      clock: parts.peers.epochs,
      host: listen.host,
      port: managementPort ?? listen.port,
      software,
      role: "management",
      handler,
    });
    this.#server = server;
    await Promise.race([role.begin(this.#reached({ host: server.host, port: server.port })), failed]);
    this.#tellFromNowOn(role, parts, devices);
    if (created) table.adopt(markReady(world.disk, storage, table.superblock));
    const ended = Promise.race([stopRequested, failed]).then(
      async ({ force = false, restart: isRestarting = false }) => {
        await (force ? this.abandon() : this.#shutDown(targets, handler));
        return { isRestarting };
      },
      async (error: unknown) => {
        await this.abandon();
        throw error;
      },
    );
    const stop = (): Promise<unknown> => {
      this.#requestStop({});
      return ended;
    };
    const { host, port } = server;
    const { rank, superblock } = parts;
    return { host, port, storage, rank, system: superblock.system, created, resumed, notices, ended, stop };
  }

  #tellFromNowOn(role: EngineRole, { targets, rank }: RoleParts, devices: DeviceService): void {
    const { restartedAfter, world } = this.#parts;
    const { tell } = this.#outbox;
    if (restartedAfter !== undefined) {
      tell("engine_restarted", `rank ${rank} was started again: it had ended ${restartedAfter}`, { rank });
    }
    this.#outbox.start((events) => role.report(events));
    this.#health = new HealthWatch({ timers: world.timers, targets, devices, rank, event: tell });
    this.#health.start();
  }

  /** The listener goes last: who finds nobody there may start another engine on the folder. */
  async #shutDown(targets: Targets, management: ManagementService): Promise<void> {
    await management.drain();
    this.#health?.stop();
    await this.#role?.close();
    await targets.stop();
    await this.#role?.leave(() => this.#outbox.close());
    for (const thread of this.#starter?.threads ?? []) thread.terminate();
    await this.#metaStore?.close();
    this.#lock?.release();
    await this.#server?.close(STOP_GRACE_MS);
  }
}
