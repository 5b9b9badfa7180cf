/**
 * The control plane of a system: the services wired together, one entry for requests, and `resume` for what a crash cut
 * off. Logic over a meta store and targets that are injected; opening, threads and connections are the engine's.
 */
import type { MetaStore } from "../contracts/meta-store.ts";
import type { Clock, Random, Timers } from "../contracts/world.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import type { TellEvent } from "../base/events.ts";
import type { EngineAddress } from "../format/engine-operations.ts";
import { checkArguments } from "../format/operation-arguments.ts";
import { Opcode } from "../format/operations.ts";
import type { SystemStartArguments, SystemStartReply, SystemStopArguments } from "../format/system-operations.ts";
import type { SystemRecord } from "../format/meta-record.ts";
import { CapabilityAuthority, type Hmac } from "./capability-authority.ts";
import { Catalogue } from "./catalogue.ts";
import { CheckService } from "./check/check-service.ts";
import { ContainerRemoval } from "./container-removal.ts";
import { ContainerService } from "./container-service.ts";
import type { ControlParts } from "./control-parts.ts";
import { DeviceWatch } from "./device-watch.ts";
import { EngineAdmission } from "./engine-admission.ts";
import { EngineResumption } from "./engine-resumption.ts";
import { EngineSet, isAway } from "./engine-set.ts";
import { EventLog } from "./event-log.ts";
import { FailureWatch } from "./failure-watch.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { FIRST_RANK, Members, type MembersParts, type OwnEngine } from "./members.ts";
import type { MembershipSettings } from "./membership.ts";
import { MetaRecords } from "./meta-records.ts";
import { keepPoolNotes } from "./notes.ts";
import { PoolElasticity } from "./pool-elasticity.ts";
import { PoolMapStore } from "./pool-map-store.ts";
import { type ExclusionRule, PoolMapService, tolerates } from "./pool-map-service.ts";
import { PoolQuotas } from "./pool-quotas.ts";
import { PoolScrubs } from "./pool-scrubs.ts";
import { PoolService } from "./pool-service.ts";
import { RebuildWatch } from "./rebuild-watch.ts";
import { RecordChanges } from "./record-changes.ts";
import { RequestOutcomes } from "./request-outcomes.ts";
import { ReturnWatch } from "./return-watch.ts";
import { Resumption, type ResumeReport } from "./resumption.ts";
import { PoolSweep } from "./pool-sweep.ts";
import { SelfHeal } from "./self-heal.ts";
import { SystemBackup } from "./system-backup.ts";
import { SystemOperations } from "./system-operations.ts";
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
  /** Where several engines may lead: the term in which this one does. */
  readonly term?: number;
  /** That engine, where it is the control plane's for good; else it joins as all others do. */
  readonly own?: OwnEngine;
  readonly dial: MembersParts["dial"];
  readonly membership: MembershipSettings;
  readonly verdicts: Verdicts;
  /** Whether an exclusion loses nothing; `tolerates` unless given. */
  readonly mayExclude?: ExclusionRule;
  readonly event: TellEvent;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly hmac: Hmac;
  readonly facts: EngineFacts;
  /** Container types that may be created, such as `kv` and `object`. */
  readonly containerTypes: readonly string[];
}

export class ControlPlane {
  readonly pools: PoolService;
  readonly containers: ContainerService;
  readonly snapshots: SnapshotService;
  readonly system: SystemService;
  readonly maps: PoolMapService;
  readonly elasticity: PoolElasticity;
  readonly check: CheckService;
  readonly scrubs: PoolScrubs;
  readonly events: EventLog;
  readonly operations: SystemOperations;
  /** For the other engines. */
  readonly engines: EngineAdmission;
  readonly #members: Members;
  readonly #selfHeal: SelfHeal;
  readonly #options: ControlPlaneOptions;
  readonly #watch: FailureWatch;
  readonly #rebuild: RebuildWatch;
  readonly #devices: DeviceWatch;
  readonly #return: ReturnWatch;
  readonly #resumption: Resumption;
  readonly #changes: RecordChanges;

  constructor(options: ControlPlaneOptions) {
    const { clock, timers, random, containerTypes, hmac, system, dial, membership: settings, event } = options;
    const { verdicts } = options;
    const authority = new CapabilityAuthority({ key: capabilityKeyOf(system), hmac, wallMs: () => clock.wallMs() });
    const records = new MetaRecords(options.metaStore);
    const locks = new KeyedLock();
    const members = new Members({ records, clock, settings, verdicts, dial, system, software: options.facts.software });
    const mapStore = new PoolMapStore(records, members);
    const engineSet = new EngineSet(members, mapStore, clock);
    const targets = options.targets ?? engineSet;
    const selfHeal = new SelfHeal({ records, event });
    const common = { records, locks, clock, members, event, selfHeal };
    const spaceByRank = (): ReturnType<EngineSet["spaceByRank"]> => engineSet.spaceByRank();
    const parts: ControlParts = { ...common, targets, random, authority, mapStore, spaceByRank, containerTypes };
    const catalogue = new Catalogue(records);
    const quotas = new PoolQuotas(parts);
    const mayExclude = options.mayExclude ?? tolerates;
    const changed = async (pool: string): Promise<void> => {
      await quotas.refresh(pool);
      await keepPoolNotes(records, targets, pool);
    };
    this.maps = new PoolMapService({ ...common, store: mapStore, catalogue, timers, mayExclude, changed });
    this.elasticity = new PoolElasticity({ records, maps: this.maps, store: mapStore, engines: engineSet });
    this.scrubs = new PoolScrubs({ catalogue, maps: mapStore, members });
    const resumption = new EngineResumption({ ...parts, maps: this.maps, quotas, engines: engineSet, event });
    const removal = new ContainerRemoval(parts, quotas, (rank) => resumption.removeContainers(rank));
    this.#rebuild = new RebuildWatch({ ...common, timers, maps: this.maps });
    this.#return = new ReturnWatch({ ...common, timers, maps: this.maps });
    this.#devices = new DeviceWatch({ ...common, timers, maps: this.maps, store: mapStore });
    this.events = new EventLog(records, locks);
    const admitted = { members, maps: this.maps, resumption, locks, system };
    this.engines = new EngineAdmission({ ...admitted, log: this.events, clock, event });
    this.pools = new PoolService(parts, catalogue, quotas, removal, this.#rebuild);
    this.containers = new ContainerService(parts, catalogue, quotas, removal, this.maps);
    this.snapshots = new SnapshotService(parts, catalogue);
    const { pools, maps, elasticity, containers, snapshots } = this;
    const outcomes = new RequestOutcomes(records, locks);
    this.#changes = new RecordChanges({ outcomes, pools, maps, elasticity, containers, snapshots });
    const sweep = new PoolSweep({ records, members, store: mapStore });
    const { rank, term } = options;
    const backup = new SystemBackup({ records, clock, system, software: options.facts.software });
    this.operations = new SystemOperations({ ...common, rank, term, maps, elasticity, quotas, sweep, backup });
    const repairing = { ...parts, timers, maps, quotas, removal, pools, snapshots };
    this.check = new CheckService({ ...repairing, catalogue, system: system.id });
    this.#members = members;
    this.#selfHeal = selfHeal;
    this.#options = options;
    this.#watch = new FailureWatch({ ...common, timers, verdicts, maps: this.maps });
    this.system = new SystemService({
      name: system.name,
      facts: options.facts,
      targets,
      spaceByRank: parts.spaceByRank,
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

  /** Reads who belongs to the system, and its policy. Before anything else; `resume` does it too. */
  async open(): Promise<void> {
    await this.#selfHeal.open();
    await this.#members.start(this.#options.own);
  }

  /** The management listener of the own engine is open there. */
  listensAt(address: EngineAddress): Promise<void> {
    return this.#members.moved(FIRST_RANK, address);
  }

  /** Ranks that the system has, this one among them. */
  get size(): number {
    return this.#members.list().length;
  }

  /** See Members. */
  askPledges(term: number): Promise<boolean> {
    return this.#members.askPledges(this.#options.rank, term);
  }

  /** Looks after the other engines from now on. */
  watch(): void {
    this.#watch.start();
    this.#rebuild.start();
    this.#devices.start();
    this.#return.start();
  }

  /**
   * Tells engines, or all others, to stop; resolves when they have heard it or cannot be reached. Throws NOT_FOUND and VERSION
   * (one is too old for that) and UNSUPPORTED (one has no supervisor to restart it) before anybody is told.
   */
  async stopEngines({ ranks, force = false, restart = false }: SystemStopArguments): Promise<void> {
    for (const rank of ranks ?? []) this.#members.check(rank);
    for (const { rank } of this.#members.list()) {
      if (ranks?.includes(rank) === false) continue;
      if (force) this.#members.releases.require(rank, "forcedStop");
      if (restart) this.#members.releases.require(rank, "restart");
    }
    if (restart) await this.#checkSupervised(ranks);
    const isMeant = (rank: number): boolean => rank !== this.#options.rank && ranks?.includes(rank) !== false;
    for (const member of this.#members.list().filter(({ rank }) => isMeant(rank))) {
      const { rank } = member;
      const link = this.#members.link(rank);
      if (link === undefined) continue;
      try {
        await link.call("stop", { ...(force && { force }), ...(restart && { restart }) });
      } catch (error) {
        if (!isAway(error)) throw error;
        continue;
      }
      await this.#members.leaving(member);
      const how = `${restart ? "restart" : "stop"}${force ? " at once" : ""}`;
      this.#options.event("engine_left", `rank ${rank} was told to ${how}`, { rank });
    }
  }

  async #checkSupervised(ranks: readonly number[] | undefined): Promise<void> {
    for (const { rank } of this.#members.list()) {
      const isMeant = ranks?.includes(rank) !== false && this.#members.link(rank) !== undefined;
      if (!isMeant || (await this.#askSupervisor(rank, []))) continue;
      const state = "it has no supervisor that would start it again";
      throw new DaosError("UNSUPPORTED", `Cannot restart rank ${rank}: ${state}. Stop it and start it on its host.`);
    }
  }

  /** Asks the supervisors of the engines that are here to start those of theirs that are stopped. */
  async startEngines({ ranks }: SystemStartArguments): Promise<SystemStartReply> {
    const members = this.#members.list();
    for (const rank of ranks ?? []) this.#members.check(rank);
    const isWanted = (rank: number): boolean => ranks === undefined || ranks.includes(rank);
    const isHere = (rank: number): boolean => ["joined", "suspect"].includes(this.#members.state(rank));
    const missing = members.map(({ rank }) => rank).filter((rank) => isWanted(rank) && !isHere(rank));
    if (missing.length === 0) return { missing, supervisors: 0 };
    const asked = await Promise.all(members.map(({ rank }) => this.#askSupervisor(rank, missing)));
    return { missing, supervisors: asked.filter(Boolean).length };
  }

  /** Whether the engine has one. */
  async #askSupervisor(rank: number, ranks: readonly number[]): Promise<boolean> {
    try {
      return (await this.#members.link(rank)?.call("startEngines", { ranks }))?.isSupervised === true;
    } catch (error) {
      // An engine of an older release does not know the call.
      if (!isAway(error) && !hasCode(error, "UNSUPPORTED")) throw error;
      return false;
    }
  }

  close(): void {
    this.#watch.stop();
    this.#rebuild.stop();
    this.#devices.stop();
    this.#return.stop();
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
      case Opcode.systemCheck:
        return this.check.step(checkArguments(opcode, args));
      case Opcode.systemEvents:
        return this.events.query(checkArguments(opcode, args));
      case Opcode.systemStart:
        return this.startEngines(checkArguments(opcode, args));
      case Opcode.poolList:
        return this.pools.list(checkArguments(opcode, args));
      case Opcode.poolQuery:
        return this.pools.query(checkArguments(opcode, args));
      case Opcode.poolGetProperties:
        return this.pools.getProperties(checkArguments(opcode, args));
      case Opcode.poolScrub:
        return this.scrubs.run(checkArguments(opcode, args));
      case Opcode.poolQueryTargets:
        return this.maps.queryTargets(checkArguments(opcode, args));
      case Opcode.containerList:
        return this.containers.list(checkArguments(opcode, args));
      case Opcode.containerQuery:
        return this.containers.query(checkArguments(opcode, args));
      case Opcode.containerGetProperties:
        return this.containers.getProperties(checkArguments(opcode, args));
      case Opcode.containerOpen:
        return this.containers.open(checkArguments(opcode, args));
      case Opcode.snapshotList:
        return this.snapshots.list(checkArguments(opcode, args));
      default: {
        const reply = (await this.operations.call(opcode, args)) ?? (await this.#changes.call(opcode, args));
        if (reply !== undefined) return reply;
        throw new DaosError("UNSUPPORTED", `Cannot run operation ${opcode}: not known here. Use a newer server.`);
      }
    }
  }
}
