/**
 * The control plane of a system: the services wired together, one entry for requests, and `resume` for what a crash cut
 * off. Logic over a meta store and targets that are injected; opening, threads and connections are the engine's.
 */
import type { MetaStore } from "../contracts/meta-store.ts";
import type { Clock, Random, Timers } from "../contracts/world.ts";
import { DaosError } from "../base/errors.ts";
import type { EngineAddress } from "../format/engine-operations.ts";
import { checkArguments } from "../format/operation-arguments.ts";
import { Opcode } from "../format/operations.ts";
import type { SystemRecord } from "../format/meta-record.ts";
import { CapabilityAuthority, type Hmac } from "./capability-authority.ts";
import { Catalogue } from "./catalogue.ts";
import { ContainerRemoval } from "./container-removal.ts";
import { ContainerService } from "./container-service.ts";
import type { ControlParts } from "./control-parts.ts";
import { DeviceWatch } from "./device-watch.ts";
import { EngineAdmission } from "./engine-admission.ts";
import { EngineResumption } from "./engine-resumption.ts";
import { EngineSet, isAway } from "./engine-set.ts";
import { FailureWatch, type FailureWatchParts } from "./failure-watch.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { FIRST_RANK, Members, type MembersParts, type OwnEngine } from "./members.ts";
import type { MembershipSettings } from "./membership.ts";
import { MetaRecords } from "./meta-records.ts";
import { PoolElasticity } from "./pool-elasticity.ts";
import { PoolMapStore } from "./pool-map-store.ts";
import { type ExclusionRule, PoolMapService, tolerates } from "./pool-map-service.ts";
import { PoolQuotas } from "./pool-quotas.ts";
import { PoolScrubs } from "./pool-scrubs.ts";
import { PoolService } from "./pool-service.ts";
import { RebuildWatch } from "./rebuild-watch.ts";
import { Resumption, type ResumeReport } from "./resumption.ts";
import { SnapshotService } from "./snapshot-service.ts";
import { capabilityKeyOf, type EngineFacts, SystemService } from "./system-service.ts";
import type { TargetControl } from "./target-control.ts";
import type { Verdicts } from "./verdicts.ts";

export interface ControlPlaneOptions {
  readonly metaStore: MetaStore;
  /** From `openSystem`. */
  readonly system: SystemRecord;
  /** The targets of all engines; an EngineSet, unless a test has its own. */
  readonly targets?: TargetControl;
  /** Rank of the engine that this runs in. */
  readonly rank: number;
  /** That engine, where it is the control plane's for good; else it joins as all others do. */
  readonly own?: OwnEngine;
  readonly dial: MembersParts["dial"];
  readonly membership: MembershipSettings;
  readonly verdicts: Verdicts;
  /** Whether an exclusion loses nothing; `tolerates` unless given. */
  readonly mayExclude?: ExclusionRule;
  readonly event: FailureWatchParts["event"];
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly hmac: Hmac;
  readonly facts: EngineFacts;
  /** Container types that may be created, such as `kv` and `object`. */
  readonly containerTypes: readonly string[];
}

/** The reply of an operation that has nothing to tell. */
const DONE = {};

export class ControlPlane {
  readonly pools: PoolService;
  readonly containers: ContainerService;
  readonly snapshots: SnapshotService;
  readonly system: SystemService;
  readonly maps: PoolMapService;
  readonly elasticity: PoolElasticity;
  readonly scrubs: PoolScrubs;
  /** For the other engines. */
  readonly engines: EngineAdmission;
  readonly #members: Members;
  readonly #rank: number;
  readonly #own: OwnEngine | undefined;
  readonly #watch: FailureWatch;
  readonly #rebuild: RebuildWatch;
  readonly #devices: DeviceWatch;
  readonly #resumption: Resumption;

  constructor(options: ControlPlaneOptions) {
    const { clock, timers, random, containerTypes, hmac, system, own, dial, membership: settings, event } = options;
    const { verdicts } = options;
    const authority = new CapabilityAuthority({ key: capabilityKeyOf(system), hmac, wallMs: () => clock.wallMs() });
    const records = new MetaRecords(options.metaStore);
    const locks = new KeyedLock();
    const members = new Members({ records, clock, settings, verdicts, dial, system });
    const mapStore = new PoolMapStore(records, members);
    const engineSet = new EngineSet(members, mapStore, clock);
    const targets = options.targets ?? engineSet;
    const parts: ControlParts = {
      records,
      locks,
      targets,
      clock,
      random,
      authority,
      members,
      mapStore,
      containerTypes,
    };
    const catalogue = new Catalogue(records);
    const quotas = new PoolQuotas(parts);
    const mayExclude = options.mayExclude ?? tolerates;
    const changed = (pool: string): Promise<void> => quotas.refresh(pool);
    this.maps = new PoolMapService({
      records,
      locks,
      members,
      store: mapStore,
      catalogue,
      clock,
      timers,
      mayExclude,
      changed,
    });
    this.elasticity = new PoolElasticity({ records, maps: this.maps, store: mapStore, engines: engineSet });
    this.scrubs = new PoolScrubs({ catalogue, maps: mapStore, members });
    const resumption = new EngineResumption({ records, locks, members, maps: this.maps, quotas, event });
    const removal = new ContainerRemoval(parts, quotas, (rank) => resumption.removeContainers(rank));
    this.#rebuild = new RebuildWatch({ timers, members, maps: this.maps, records, event });
    this.#devices = new DeviceWatch({ timers, members, maps: this.maps, store: mapStore, records, event });
    this.engines = new EngineAdmission({ members, maps: this.maps, resumption, locks, system, event });
    this.pools = new PoolService(parts, catalogue, quotas, removal, this.#rebuild);
    this.containers = new ContainerService(parts, catalogue, quotas, removal, this.maps);
    this.snapshots = new SnapshotService(parts, catalogue);
    this.#members = members;
    this.#rank = options.rank;
    this.#own = own;
    this.#watch = new FailureWatch({ timers, members, verdicts, maps: this.maps, records, event });
    this.system = new SystemService({
      name: system.name,
      facts: options.facts,
      targets,
      spaceByRank: () => engineSet.spaceByRank(),
      clock,
      members,
      records,
      reason: (rank) => this.#watch.reason(rank),
    });
    this.#resumption = new Resumption(parts, quotas, removal, this.pools, this.snapshots, this.maps);
  }

  /**
   * Once at start, before any request: opens every container on the targets, sets the quotas, and finishes or undoes
   * what a crash cut off. Failures of single pools and containers are reported and do not stop the rest.
   */
  async resume(): Promise<ResumeReport> {
    await this.open();
    return this.#resumption.run();
  }

  /** Reads who belongs to the system. Before anything else; `resume` does it too. */
  open(): Promise<void> {
    return this.#members.start(this.#own);
  }

  /** The management listener of the own engine is open there. */
  listensAt(address: EngineAddress): Promise<void> {
    return this.#members.moved(FIRST_RANK, address);
  }

  /** Ranks that the system has, this one among them. */
  get size(): number {
    return this.#members.list().length;
  }

  /** Looks after the other engines from now on. */
  watch(): void {
    this.#watch.start();
    this.#rebuild.start();
    this.#devices.start();
  }

  /** Tells an engine, or all others, to stop; resolves when they have heard it or cannot be reached. */
  async stopEngines(rank?: number): Promise<void> {
    const others = this.#members.list().filter((member) => member.rank !== this.#rank);
    for (const member of others) {
      const link = this.#members.link(member.rank);
      if ((rank !== undefined && member.rank !== rank) || link === undefined) continue;
      try {
        await link.call("stop", {});
      } catch (error) {
        if (!isAway(error)) throw error;
        continue;
      }
      await this.#members.left(member);
    }
  }

  /** Throws NOT_FOUND. */
  checkRank(rank: number): void {
    if (this.#members.get(rank) !== undefined) return;
    throw new DaosError("NOT_FOUND", `Cannot find rank ${rank}: the system has none. See \`daos system query\`.`);
  }

  close(): void {
    this.#watch.stop();
    this.#rebuild.stop();
    this.#devices.stop();
    this.#members.close();
  }

  /**
   * Runs one request of the management listener; `args` are its decoded arguments, the result is to be sent as CBOR.
   * Rejects with DaosError only; UNSUPPORTED for an opcode that is not the control plane's.
   */
  async call(opcode: number, args: unknown): Promise<object> {
    switch (opcode) {
      case Opcode.systemQuery:
        return this.system.query();
      case Opcode.poolCreate:
        return this.pools.create(checkArguments(opcode, args));
      case Opcode.poolList:
        return this.pools.list(checkArguments(opcode, args));
      case Opcode.poolQuery:
        return this.pools.query(checkArguments(opcode, args));
      case Opcode.poolDestroy:
        await this.pools.destroy(checkArguments(opcode, args));
        return DONE;
      case Opcode.poolGetProperties:
        return this.pools.getProperties(checkArguments(opcode, args));
      case Opcode.poolSetProperties:
        return this.pools.setProperties(checkArguments(opcode, args));
      case Opcode.poolQueryTargets:
        return this.maps.queryTargets(checkArguments(opcode, args));
      case Opcode.poolExclude:
        return this.maps.exclude(checkArguments(opcode, args));
      case Opcode.poolReintegrate:
        return this.maps.reintegrate(checkArguments(opcode, args));
      case Opcode.poolExtend:
        return this.elasticity.extend(checkArguments(opcode, args));
      case Opcode.poolDrain:
        return this.elasticity.drain(checkArguments(opcode, args));
      case Opcode.poolScrub:
        return this.scrubs.run(checkArguments(opcode, args));
      default:
        return this.#containerCall(opcode, args);
    }
  }

  async #containerCall(opcode: number, args: unknown): Promise<object> {
    switch (opcode) {
      case Opcode.containerCreate:
        return this.containers.create(checkArguments(opcode, args));
      case Opcode.containerList:
        return this.containers.list(checkArguments(opcode, args));
      case Opcode.containerQuery:
        return this.containers.query(checkArguments(opcode, args));
      case Opcode.containerDestroy:
        await this.containers.destroy(checkArguments(opcode, args));
        return DONE;
      case Opcode.containerGetProperties:
        return this.containers.getProperties(checkArguments(opcode, args));
      case Opcode.containerSetProperties:
        return this.containers.setProperties(checkArguments(opcode, args));
      case Opcode.containerOpen:
        return this.containers.open(checkArguments(opcode, args));
      case Opcode.snapshotCreate:
        return this.snapshots.create(checkArguments(opcode, args));
      case Opcode.snapshotList:
        return this.snapshots.list(checkArguments(opcode, args));
      case Opcode.snapshotDestroy:
        await this.snapshots.destroy(checkArguments(opcode, args));
        return DONE;
      default:
        throw new DaosError("UNSUPPORTED", `Cannot run operation ${opcode}: not known here. Use a newer server.`);
    }
  }
}
