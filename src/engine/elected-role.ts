/**
 * An engine of a system whose records are in a meta store that several engines have open: it tries to lead, runs the
 * control plane in the terms in which it does, and else passes requests on to who leads. In every case it is a member of
 * the system as all others are, and its targets serve under a lease that the leader grants by heartbeats: to itself too,
 * while it leads. An engine that has lost leadership grants nothing, and its own lease ends in time.
 *
 * A control plane lives for one term. What it began it cannot finish in another: its records are fenced by the term, and
 * engines that have heard of a later term do not obey it.
 */
import { DaosError } from "../base/errors.ts";
import { ENGINE_CALL_TIMEOUT_MS, LEADER_LEASE_MS } from "../base/limits.ts";
import { ControlPlane } from "../control/control-plane.ts";
import type { EngineAdmission } from "../control/engine-admission.ts";
import { FencedMetaStore } from "../control/fenced-meta-store.ts";
import { writeFirstMember } from "../control/first-member.ts";
import { Leadership } from "../control/leadership.ts";
import { FIRST_RANK } from "../control/members.ts";
import { MetaRecords } from "../control/meta-records.ts";
import { MirroredMetaStore } from "../control/mirrored-meta-store.ts";
import type { ResumeReport } from "../control/resumption.ts";
import type { MetaStore } from "../contracts/meta-store.ts";
import { encodeCbor } from "../format/cbor.ts";
import type { EngineAddress } from "../format/engine-operations.ts";
import type { ReportedEvent } from "../format/event-operations.ts";
import type { LeaderRecord, SystemRecord } from "../format/meta-record.ts";
import type { Opcode } from "../format/operations.ts";
import type { DeviceTable } from "./device-table.ts";
import { bringMaps, type EngineRole, MAX_OTHERS, memberOf, type RoleParts, tellResumed } from "./engine-role.ts";
import { formatListenAddress } from "./listen-address.ts";
import type { StopRequest } from "./management-service.ts";
import { PeerLink } from "./peer-link.ts";
import type { SystemMember } from "./system-member.ts";

/** A control plane that could not be begun is begun again after this time, milliseconds. */
const RESUME_RETRY_MS = 500;

export interface ElectedRoleParts extends RoleParts {
  readonly metaStore: MetaStore;
  readonly system: SystemRecord;
  readonly table: DeviceTable;
}

/** The control plane of one term. */
interface Plane {
  readonly term: number;
  readonly control: ControlPlane;
}

export class ElectedRole implements EngineRole {
  readonly #parts: ElectedRoleParts;
  #leadership: Leadership | undefined;
  #member: SystemMember | undefined;
  #plane: Plane | undefined;
  /** Settles when the control plane of the present term is ready, or will not be. */
  #opening: Promise<void> = Promise.resolve();
  #leader: PeerLink | undefined;
  /** Of the management listener. */
  #own: EngineAddress | undefined;
  /** Other engines, which know who leads. */
  #others: readonly EngineAddress[] = [];

  constructor(parts: ElectedRoleParts) {
    this.#parts = parts;
  }

  get admission(): EngineAdmission | undefined {
    return this.#control?.engines;
  }

  /** Where another engine leads. One that is cut off from the records knows it from where it has joined. */
  get address(): EngineAddress | undefined {
    const leader = this.#otherLeader;
    if (leader !== undefined) return leader;
    const joined = this.#member?.control;
    return joined === undefined || this.#leadership?.isLeader === true || this.#isOwn(joined) ? undefined : joined;
  }

  /** Where another engine leads, as the records say. */
  get #otherLeader(): EngineAddress | undefined {
    const leader = this.#leadership?.leader;
    if (leader === undefined || leader.engine === this.#parts.superblock.engine) return undefined;
    return { host: leader.host, port: leader.port };
  }

  #isOwn(address: EngineAddress): boolean {
    return this.#own !== undefined && formatListenAddress(address) === formatListenAddress(this.#own);
  }

  /** What a crash cut off is for who leads to finish. */
  async prepare(): Promise<ResumeReport> {
    const { rank, superblock, configuration, targets, metaStore } = this.#parts;
    if (rank === FIRST_RANK) {
      const facts = { engine: superblock.engine, domain: configuration.faultDomain, targets: targets.count };
      await writeFirstMember(new MetaRecords(metaStore), facts);
    }
    return { pools: 0, containers: 0, finished: [], failures: [] };
  }

  async begin(address: EngineAddress): Promise<void> {
    const { detector, configuration, table, metaStore, superblock, world, facts } = this.#parts;
    const { clock, timers } = world;
    this.#own = address;
    await detector.start({ host: configuration.listen.host, port: address.port });
    const member = memberOf(this.#parts, address, {
      adoptRoster: (roster) => {
        const others = roster.members.map((other) => other.address).filter((other) => !this.#isOwn(other));
        this.#others = others.slice(0, MAX_OTHERS);
        detector.adopt(roster);
      },
      addresses: (last) => this.#leaderAddresses(last),
      found: (control) => table.setControl(formatListenAddress(control)),
    });
    this.#member = member;
    bringMaps(this.#parts, (pool) => member.map(pool));
    this.#leadership = new Leadership({
      store: metaStore,
      clock,
      timers,
      self: { engine: superblock.engine, ...address },
      leaseMs: LEADER_LEASE_MS,
      changed: (term) => this.#changed(term),
      followed: (leader) => this.#followed(leader),
      isAlone: () => this.#plane?.control.size === 1,
      askPledges: async () => (await this.#plane?.control.askPledges(this.#plane.term)) ?? false,
      startedAtNs: facts.startedAtNs,
    });
    this.#leadership.start();
    await this.#leadership.firstLook;
    await this.#opening;
    await member.start();
  }

  async answer(opcode: number, args: unknown, bytes: Uint8Array): Promise<Uint8Array> {
    const control = await this.#openedControl();
    if (control !== undefined) return encodeCbor(await control.call(opcode, args));
    return (await this.#leaderLink().forward(opcode as Opcode, bytes, ENGINE_CALL_TIMEOUT_MS * 2)).args;
  }

  /** The leader tells each engine that is to stop, and stops after the others. */
  async stop(request: StopRequest): Promise<boolean> {
    const control = await this.#openedControl();
    if (control === undefined) {
      const { opcode, bytes } = request;
      await this.#leaderLink().forward(opcode as Opcode, bytes, ENGINE_CALL_TIMEOUT_MS * 2);
      return false;
    }
    const { engine, rank } = this.#parts;
    const isOurs = request.ranks?.includes(rank) !== false;
    if (isOurs) engine.checkOrder(request);
    await control.stopEngines(request);
    return isOurs;
  }

  pledge(term: number): boolean {
    return this.#leadership?.pledge(term) ?? false;
  }

  /** One that does not lead will not any more; the leader leads on until its targets are closed. */
  async close(): Promise<void> {
    if (this.#leadership?.isLeader !== true) await this.#leadership?.stop();
  }

  async report(events: readonly ReportedEvent[]): Promise<void> {
    const { rank, incarnation } = this.#parts;
    const control = await this.#openedControl();
    if (control !== undefined) return control.engines.events({ rank, incarnation, events });
    if (this.#member === undefined) throw nobodyLeads();
    return this.#member.report(events);
  }

  async leave(lastWord: () => Promise<void>): Promise<void> {
    const { detector, rank, incarnation, event } = this.#parts;
    detector.close();
    await this.#member?.stop();
    try {
      const control = this.#control;
      if (control !== undefined) await control.engines.leave({ rank, incarnation });
      await lastWord();
      if (control === undefined) await this.#member?.sayFarewell();
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      event("info", `the farewell was not written down: ${error.message}`);
    }
    await this.#leadership?.stop();
    this.#leader?.close();
  }

  /** The control plane, while this engine leads and it is ready. */
  get #control(): ControlPlane | undefined {
    const plane = this.#plane;
    return plane !== undefined && this.#leadership?.term === plane.term ? plane.control : undefined;
  }

  async #openedControl(): Promise<ControlPlane | undefined> {
    if (this.#leadership?.isLeader === true) await this.#opening;
    return this.#control;
  }

  /** Where to join: at the leader, this engine itself included. Others are asked when that is not to be had from the records. */
  #leaderAddresses(last: EngineAddress | undefined): readonly EngineAddress[] {
    if (this.#leadership?.isLeader === true) return this.#own === undefined ? [] : [this.#own];
    const leader = this.#otherLeader;
    return [...(leader === undefined ? [] : [leader]), ...(last === undefined ? [] : [last]), ...this.#others];
  }

  /**
   * A request goes to who was leader later than anybody before on its way: terms that an engine has seen only grow, and who
   * led last knows it; so it comes to an end.
   */
  #leaderLink(): PeerLink {
    const { key, peers } = this.#parts;
    const { address } = this;
    if (address === undefined) throw nobodyLeads();
    const known = this.#leader;
    if (known !== undefined && formatListenAddress(known.address) === formatListenAddress(address)) return known;
    known?.close();
    this.#leader = new PeerLink(address, key, peers);
    return this.#leader;
  }

  /** Requests that the leader before was to answer are over: nobody may wait for it who stands still. */
  #dropLeader(): void {
    this.#leader?.close();
    this.#leader = undefined;
  }

  #followed({ host, port }: LeaderRecord): void {
    this.#dropLeader();
    this.#parts.event("info", `the control plane is at ${formatListenAddress({ host, port })}`);
    this.#member?.follow();
  }

  #changed(term: number | undefined): void {
    this.#plane?.control.close();
    this.#plane = undefined;
    if (term === undefined) {
      this.#parts.event("info", "this engine does not lead the control plane any more");
      return;
    }
    this.#dropLeader();
    this.#opening = this.#open(term);
  }

  async #open(term: number): Promise<void> {
    const { event, rank } = this.#parts;
    let control: ControlPlane | undefined;
    let hasFailed = false;
    while (this.#leadership?.term === term) {
      try {
        control ??= await this.#controlPlane(term);
        tellResumed(await control.resume(), event);
        if (this.#leadership.term !== term) break;
        this.#plane = { term, control };
        control.watch();
        event("leader_changed", `rank ${rank} leads the control plane (term ${term})`, { rank });
        this.#member?.follow();
        return;
      } catch (error) {
        if (!(error instanceof DaosError)) throw error;
        event(hasFailed ? "error" : "control_failed", `the control plane cannot begin: ${error.message}`, { rank });
        hasFailed = true;
      }
      await new Promise<void>((resolve) => this.#parts.world.timers.after(RESUME_RETRY_MS, resolve));
    }
    control?.close();
  }

  async #controlPlane(term: number): Promise<ControlPlane> {
    const { world, configuration, key, peers, event, metaStore, system, rank, detector, facts } = this.#parts;
    const { clock, random, timers } = world;
    const leadership = this.#leadership!;
    const fenced = new FencedMetaStore(metaStore, leadership, term);
    return new ControlPlane({
      metaStore: await MirroredMetaStore.of(fenced, () => leadership.term === term),
      system,
      rank,
      term,
      dial: (address) => new PeerLink(address, key, peers, term),
      membership: configuration.membership,
      verdicts: detector,
      event,
      clock,
      timers,
      random,
      hmac: peers.hmac,
      facts,
      containerTypes: this.#parts.containerTypes,
    });
  }
}

function nobodyLeads(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot serve the request: no engine leads the system just now. Retry.");
}
