/**
 * One target: its SCM region, device, index and settle thread opened and joined into a store, the versioned objects on
 * it, and the listener that clients talk to. Runs in a thread of its own, commanded by calls from the control side.
 */
import { HybridLogicalClock, type Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { CapabilityAuthority, type Hmac } from "../control/capability-authority.ts";
import type { World } from "../contracts/world.ts";
import { FillPace } from "../dtx/fill-pace.ts";
import { fillStore } from "../dtx/fill-store.ts";
import { preparedStore } from "../dtx/prepared-store.ts";
import type { Repairs } from "../dtx/repairs.ts";
import { Replication, type ReplicationOptions } from "../dtx/replication.ts";
import type { ServedContainer } from "../format/engine-operations.ts";
import { RedundancySchemes } from "../redundancy/redundancy-schemes.ts";
import { RpcConnection } from "../rpc/connection.ts";
import { RpcServer, type RpcServerOptions } from "../rpc/server.ts";
import type { CellStore } from "../store/cell.ts";
import type { Settler } from "../store/settler.ts";
import { VersionedObjects } from "../vos/versioned-objects.ts";
import { attachmentGrant } from "./attachment-grant.ts";
import { AttachmentTable } from "./attachment-table.ts";
import type { DeviceGuard } from "./device-guard.ts";
import { memoryOf } from "./device-memory.ts";
import { measureSpeed } from "./storage-speed.ts";
import { EnumerationService } from "./enumeration-service.ts";
import { TargetFoldStore } from "./fold-store.ts";
import { IndexMemory, type MappedMemory } from "./index-memory.ts";
import { ForegroundRequests } from "./foreground.ts";
import { Lease } from "./lease.ts";
import { PoolMapTable, type TargetMap } from "./pool-map-table.ts";
import type { PluginRegistry } from "./plugin-registry.ts";
import { type QuotaTable, quotasOf } from "./quota.ts";
import { redundancyProviders } from "./redundancy-providers.ts";
import { ShardReadService } from "./shard-read-service.ts";
import type { DeviceReport } from "./device-report.ts";
import type { SettleSettings } from "./settle-settings.ts";
import type { TargetCalls, TargetCounters, TargetReady, TargetSettings, TargetSnapshot } from "./target-calls.ts";
import type { Scrubber } from "./scrubber.ts";
import { TargetCheck } from "./target-check.ts";
import { INDEX_FILE, openTargetMedia, openTargetStore } from "./target-media.ts";
import { mediaCounters, targetRepairs, targetScrubber, watchedShards } from "./target-repairs.ts";
import { TargetService } from "./target-service.ts";

/** How long running requests may take to finish when the target stops. */
const STOP_GRACE_MS = 5_000;

export interface TargetParts {
  readonly world: World;
  readonly loadPlugins: (references: readonly string[]) => Promise<PluginRegistry>;
  readonly hmac: Hmac;
  /** Starts the thread that settles this target's log. */
  readonly startSettler: (settings: SettleSettings) => Settler;
  /** The file of this path as it is mapped here; without it memory of the index's map is not bounded. */
  readonly mappedMemory?: (path: string) => MappedMemory;
}

interface OpenTarget {
  readonly device: DeviceGuard;
  readonly store: CellStore;
  readonly objects: VersionedObjects;
  readonly attachments: AttachmentTable;
  readonly quotas: QuotaTable;
  readonly maps: PoolMapTable;
  readonly lease: Lease;
  readonly replication: Replication;
  readonly service: TargetService;
  readonly server: RpcServer;
  readonly indexMemory: IndexMemory | undefined;
  readonly check: TargetCheck;
  readonly repairs: Repairs;
  readonly scrubber: Scrubber;
}

/** The calls of `TargetCalls`, on this thread's target. `start` comes first. */
export class Target implements TargetCalls {
  readonly #parts: TargetParts;
  #open: OpenTarget | undefined;
  readonly #fault: Promise<string>;
  /** Of what other targets answer. */
  readonly #damage = { damagedFrames: 0 };
  #faulted!: (reason: string) => void;
  readonly #storeDamage = Promise.withResolvers<string>();

  constructor(parts: TargetParts) {
    this.#parts = parts;
    this.#fault = new Promise((resolve) => {
      this.#faulted = resolve;
    });
  }

  get #target(): OpenTarget {
    if (this.#open !== undefined) return this.#open;
    throw new DaosError("UNAVAILABLE", "Cannot use the target: it is not running. Start the engine.");
  }

  async start(settings: TargetSettings): Promise<TargetReady> {
    const { world } = this.#parts;
    const { folder, create } = settings;
    const registry = await this.#parts.loadPlugins(settings.plugins);
    const schemes = new RedundancySchemes(await redundancyProviders(registry));
    const { region, device, notices } = await openTargetMedia(world, registry, settings, this.#faulted);
    const speed = create ? await measureSpeed(world.clock, region, device) : undefined;
    const store = await openTargetStore(this.#parts, settings, region, device);
    const clock = new HybridLogicalClock(() => world.clock.wallMs());
    clock.restore(store.highestEpoch);
    const { allocate, release, payloadBuffers } = memoryOf(device);
    const objects = new VersionedObjects({ store, clock, timers: world.timers, allocate, release });
    const quotas = quotasOf(store, world.clock);
    const maps = new PoolMapTable(world.timers);
    const lease = new Lease(world.clock);
    const repairs = targetRepairs({ timers: world.timers, store, objects, replication: () => replication });
    const shardReads = new ShardReadService({ store, objects, payloadBuffers, replication: () => replication });
    const grant = attachmentGrant(this.#authority(settings), quotas, maps);
    const attachments = new AttachmentTable(grant, () => world.clock.wallMs());
    const foreground = new ForegroundRequests();
    const enumeration = new EnumerationService(objects, (container) => replication.shownDkeys(container));
    const replication: Replication = this.#replication(
      settings,
      { store, objects, clock, maps, schemes, shardReads, foreground },
      {
        run: (...prepared) => service.runPrepared(...prepared),
        serveStates: (...asked) => service.serveStates(...asked),
      },
      repairs,
    );
    const service = new TargetService({
      store,
      objects,
      attachments,
      quotas,
      enumeration,
      payloadBuffers,
      replication,
      shardReads,
      repairs,
      lease,
      learnMap: (newer) => maps.learn(newer),
      timers: world.timers,
      clock: world.clock,
      random: world.random,
      now: () => clock.next(),
      foreground,
    });
    maps.onChange((changed) => replication.mapChanged(changed));
    const server = this.#listen(settings, { clock, handler: service, payloadBuffers });
    const indexMemory = this.#boundIndexMemory(folder);
    this.#open = {
      device,
      store,
      objects,
      attachments,
      quotas,
      maps,
      lease,
      replication,
      service,
      server,
      indexMemory,
      check: new TargetCheck({ store, objects, maps, quotas, replication, clock: world.clock }),
      repairs,
      scrubber: targetScrubber({ ...world, store, objects, repairs, requests: () => service.counters.requests }),
    };
    return { host: server.host, port: server.port, notices, ...(speed !== undefined && { speed }) };
  }

  #listen(
    { host, port, software }: TargetSettings,
    parts: Pick<RpcServerOptions, "clock" | "handler" | "payloadBuffers">,
  ): RpcServer {
    const { network, timers } = this.#parts.world;
    return new RpcServer({ network, timers, host, port, software, role: "target", ...parts });
  }

  #replication(
    settings: TargetSettings,
    parts: {
      readonly store: CellStore;
      readonly objects: VersionedObjects;
      readonly clock: HybridLogicalClock;
      readonly maps: PoolMapTable;
      readonly schemes: RedundancySchemes;
      readonly shardReads: ShardReadService;
      readonly foreground: ForegroundRequests;
    },
    served: Pick<ReplicationOptions, "run" | "serveStates">,
    repairs: Repairs,
  ): Replication {
    const { network, timers, random, clock: wall } = this.#parts.world;
    const { store, objects, clock, maps, schemes, shardReads, foreground } = parts;
    const authority = this.#authority(settings);
    return new Replication({
      store: preparedStore(store),
      timers,
      // What other targets answer goes nowhere near the device: it is received in ordinary memory.
      dial: ({ host, port }) => RpcConnection.connect(network, host, port, { timers, clock, damage: this.#damage }),
      capability: () => authority.issueTarget(random),
      checkCapability: (capability) => authority.verifyTarget(capability),
      ...served,
      observe: (epoch) => clock.observe(epoch),
      poolOf: (container) => maps.mapOf(container),
      schemeOf: (container, word) => schemes.of(word, maps.cellBytesOf(container)),
      ...watchedShards(repairs, shardReads),
      foldStore: new TargetFoldStore(store, objects),
      fillStore: fillStore(
        store,
        objects,
        async (...dkey) => (await repairs.dkey(...dkey)).repaired,
        (reason) => this.#storeDamage.resolve(reason),
      ),
      pace: new FillPace({ timers, nowMs: () => wall.monotonicNs() / 1e6, foreground }),
      setGate: (container, epoch) => objects.setGate(container, epoch),
      now: () => clock.next(),
    });
  }

  #authority({ capabilityKey }: TargetSettings): CapabilityAuthority {
    const { world, hmac } = this.#parts;
    return new CapabilityAuthority({ key: capabilityKey, hmac, wallMs: () => world.clock.wallMs() });
  }

  #boundIndexMemory(folder: string): IndexMemory | undefined {
    const mapped = this.#parts.mappedMemory?.(`${folder}/${INDEX_FILE}`);
    return mapped === undefined ? undefined : new IndexMemory(this.#parts.world.timers, mapped);
  }

  async stop(): Promise<void> {
    const { server, service, objects, store, replication, indexMemory, scrubber } = this.#target;
    indexMemory?.stop();
    await scrubber.stop();
    await server.close(STOP_GRACE_MS);
    service.stop();
    replication.stop();
    await objects.idle();
    await store.close();
    this.#open = undefined;
  }

  space(): ReturnType<TargetCalls["space"]> {
    return this.#target.store.space();
  }

  usage(containers: readonly number[]): ReturnType<TargetCalls["usage"]> {
    const { store } = this.#target;
    return containers.map((container) => store.usage(container));
  }

  openContainer({ container, pool }: { container: ServedContainer; pool: string }): void {
    const { maps, objects } = this.#target;
    objects.openContainer(container.number);
    maps.add(container, pool);
  }

  /** A container that cannot be opened does not keep the others from their map; who opens it hears why. */
  setMap(map: TargetMap): void {
    const { maps, objects } = this.#target;
    const containers = map.containers.filter((container) => {
      try {
        objects.openContainer(container.number);
        return true;
      } catch (error) {
        if (!(error instanceof DaosError)) throw error;
        return false;
      }
    });
    maps.set({ ...map, containers });
  }

  mapWanted(): Promise<string> {
    return this.#target.maps.nextWanted();
  }

  setLease(untilNs: number): number {
    return this.#target.lease.renew(untilNs);
  }

  countHandles(container: number): number {
    return this.#target.attachments.count(container);
  }

  async createSnapshot({ container, at }: TargetSnapshot): Promise<Epoch> {
    return this.#target.objects.createSnapshot(container, at);
  }

  listSnapshots(container: number): readonly Epoch[] {
    return this.#target.objects.listSnapshots(container);
  }

  async destroySnapshot({ container, epoch }: { container: number; epoch: Epoch }): Promise<void> {
    await this.#target.objects.destroySnapshot(container, epoch);
  }

  async destroyContainer(container: number): Promise<void> {
    const { attachments, objects, maps, replication } = this.#target;
    attachments.removeContainer(container);
    maps.remove(container);
    const destroyed = objects.destroyContainer(container);
    replication.removeContainer(container);
    await destroyed;
  }

  async setQuota(quota: Parameters<TargetCalls["setQuota"]>[0]): Promise<void> {
    const { quotas, objects, replication, scrubber } = this.#target;
    quotas.set(quota);
    if (quota.rebuild !== undefined) replication.setFillPolicy(quota.pool, quota.rebuild);
    const isGone = quota.containers.length === 0 && quota.sizeBytes === 0;
    if (isGone) await this.#forgetPool(quota.pool);
    else scrubber.configure(quota.pool, quota.containers, quota.scrub);
    for (const container of quota.containers) objects.setThreshold(container, quota.thresholdBytes);
  }

  async #forgetPool(pool: string): Promise<void> {
    const { maps, objects, replication, scrubber } = this.#target;
    maps.forget(pool);
    replication.forget(pool);
    try {
      await objects.fillMarks.forgetPool(pool);
      await objects.notes.forgetPool(pool);
      await scrubber.forget(pool);
    } catch (error) {
      // On a medium that takes no writes the cell stays. It means nothing to others.
      if (!(error instanceof DaosError)) throw error;
    }
  }

  fillStatus({ pool, containers }: Parameters<TargetCalls["fillStatus"]>[0]): ReturnType<TargetCalls["fillStatus"]> {
    return this.#target.replication.fillStatus(pool, containers) ?? null;
  }

  scrub(order: Parameters<TargetCalls["scrub"]>[0]): Promise<void> {
    return this.#target.scrubber.command(order);
  }

  scrubStatus(pool: string): ReturnType<TargetCalls["scrubStatus"]> {
    return this.#target.scrubber.status(pool) ?? null;
  }

  device(): DeviceReport {
    return this.#target.device.report();
  }

  deviceFault(): Promise<string> {
    return this.#fault;
  }

  storeDamage(): Promise<string> {
    return this.#storeDamage.promise;
  }

  markDevice(reason: string): void {
    const { device } = this.#target;
    if (reason === "") device.markNormal();
    else device.markFaulty(reason);
  }

  async check({ name, value }: Parameters<TargetCalls["check"]>[0]): Promise<object> {
    return (this.#target.check[name] as (value: unknown) => object)(value);
  }

  counters(): TargetCounters {
    const { server, service, store, replication, repairs } = this.#target;
    const damagedFrames = server.counters.damagedFrames + this.#damage.damagedFrames;
    const { connections } = server;
    return {
      connections,
      ...service.counters,
      ...mediaCounters(store, repairs),
      damagedFrames,
      ...replication.fillCounts,
    };
  }
}
