/**
 * What an engine is in its system: the one that runs the control plane for good, or a member of it (elected-role.ts has the
 * third: one of several that may run it). All answer the control plane's operations; the member by forwarding them.
 */
import { ControlPlane } from "../control/control-plane.ts";
import type { EngineAdmission } from "../control/engine-admission.ts";
import { FIRST_RANK } from "../control/members.ts";
import type { ResumeReport } from "../control/resumption.ts";
import type { EngineFacts } from "../control/system-service.ts";
import type { MetaStore } from "../contracts/meta-store.ts";
import type { World } from "../contracts/world.ts";
import { DaosError } from "../base/errors.ts";
import type { TellEvent } from "../base/events.ts";
import { encodeCbor } from "../format/cbor.ts";
import type { EngineAddress, PoolAssignment } from "../format/engine-operations.ts";
import type { ReportedEvent } from "../format/event-operations.ts";
import type { SystemRecord } from "../format/meta-record.ts";
import type { StorageSuperblock } from "../format/storage-superblock.ts";
import type { Configuration } from "./configuration.ts";
import type { ControlDesk } from "./engine-desk.ts";
import type { DeviceTable } from "./device-table.ts";
import type { EngineService } from "./engine-service.ts";
import type { FailureDetector } from "./failure-detector.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { formatListenAddress } from "./listen-address.ts";
import type { ControlAccess, StopRequest } from "./management-service.ts";
import { PeerLink, type PeerParts } from "./peer-link.ts";
import { SystemMember, type SystemMemberParts } from "./system-member.ts";
import type { Targets } from "./targets.ts";

/** Other engines that are asked for the control plane when it is at none of the known addresses. */
export const MAX_OTHERS = 8;

export interface RoleParts {
  readonly world: World;
  readonly configuration: Configuration;
  readonly peers: PeerParts;
  readonly event: TellEvent;
  readonly canceled: AbortSignal | undefined;
  readonly rank: number;
  /** The system's, which signs capabilities and messages. */
  readonly key: Uint8Array;
  readonly superblock: StorageSuperblock;
  readonly targets: Targets;
  readonly addresses: readonly EngineAddress[];
  readonly incarnation: number;
  readonly detector: FailureDetector;
  readonly engine: EngineService;
  readonly facts: EngineFacts;
  readonly containerTypes: readonly string[];
}

export interface EngineRole extends ControlAccess, ControlDesk {
  /** Before the management listener is open: what a crash cut off. */
  prepare(): Promise<ResumeReport>;
  /** Once it is open, there: resolves when the targets may serve. */
  begin(address: EngineAddress): Promise<void>;
  /** Promises the leader of a term not to lead for a while, if it does (Leadership.pledge). */
  pledge(term: number): boolean;
  /** Begins nothing more by itself. */
  close(): Promise<void>;
  /** What has happened on this engine, and to the system where it runs the control plane. See DeliverEvents. */
  report(events: readonly ReportedEvent[]): Promise<void>;
  /** The targets serve no more: takes leave of the other engines. `lastWord`: `report` works until then, and not after. */
  leave(lastWord: () => Promise<void>): Promise<void>;
}

/** Bytes of the tiers of all targets. */
function tierBytes({ targets, scm, nvme }: StorageSuperblock): { scmBytes: number; nvmeBytes: number } {
  return { scmBytes: targets * scm.targetSizeBytes, nvmeBytes: targets * nvme.targetSizeBytes };
}

/** Brings the targets the maps that they ask for. */
export function bringMaps(
  { targets, event }: Pick<RoleParts, "targets" | "event">,
  fetch: (pool: string) => Promise<PoolAssignment>,
): void {
  targets.watchMaps((pool) => {
    fetch(pool)
      .then((assignment) => targets.setPool(assignment))
      .catch((error: unknown) => {
        if (!(error instanceof DaosError)) throw error;
        event("info", `the map of pool ${pool} cannot be had: ${error.message}`);
      });
  });
}

/** What the control plane has done, and could not do, before its first request. */
export function tellResumed({ finished, failures }: ResumeReport, event: TellEvent): void {
  for (const what of finished) event("info", `finished what was cut off: ${what}`);
  for (const { what, error } of failures) event("control_failed", `${what}: ${error.message}`);
}

export class ControlRole implements EngineRole {
  readonly #parts: RoleParts;
  readonly #control: ControlPlane;
  #hasBegun = false;

  constructor(parts: RoleParts & { readonly metaStore: MetaStore; readonly system: SystemRecord }) {
    const { world, configuration, superblock, addresses, engine, key, peers, event, metaStore, system } = parts;
    const { clock, random, timers } = world;
    this.#parts = parts;
    const { listen, faultDomain, membership } = configuration;
    this.#control = new ControlPlane({
      metaStore,
      system,
      rank: FIRST_RANK,
      own: {
        engine: superblock.engine,
        incarnation: parts.incarnation,
        domain: faultDomain,
        address: listen,
        targets: addresses,
        link: engine,
        ...tierBytes(superblock),
      },
      dial: (address) => new PeerLink(address, key, peers),
      membership,
      verdicts: parts.detector,
      event,
      clock,
      timers,
      random,
      hmac: peers.hmac,
      facts: parts.facts,
      containerTypes: parts.containerTypes,
    });
  }

  get admission(): EngineAdmission {
    return this.#control.engines;
  }

  get address(): undefined {
    return undefined;
  }

  async prepare(): Promise<ResumeReport> {
    const report = await this.#control.resume();
    tellResumed(report, this.#parts.event);
    return report;
  }

  async begin(address: EngineAddress): Promise<void> {
    const { targets, world, detector, configuration } = this.#parts;
    await this.#control.listensAt(address);
    await detector.start({ host: configuration.listen.host, port: address.port });
    await new LeaseKeeper(targets, world.clock).grantForever();
    bringMaps(this.#parts, (pool) => this.#control.engines.map({ rank: FIRST_RANK, pool }));
    this.#control.watch();
    this.#hasBegun = true;
    const { event, rank } = this.#parts;
    event("leader_changed", `rank ${rank} runs the control plane`, { rank });
  }

  report(events: readonly ReportedEvent[]): Promise<void> {
    const { rank, incarnation } = this.#parts;
    return this.#control.engines.events({ rank, incarnation, events });
  }

  async answer(opcode: number, args: unknown): Promise<Uint8Array> {
    return encodeCbor(await this.#control.call(opcode, args));
  }

  async stop(request: StopRequest): Promise<boolean> {
    const isOurs = request.ranks?.includes(FIRST_RANK) !== false;
    if (isOurs) this.#parts.engine.checkOrder(request);
    await this.#control.stopEngines(request);
    return isOurs;
  }

  /** Nobody else leads this system. */
  pledge(): boolean {
    return false;
  }

  close(): Promise<void> {
    this.#control.close();
    return Promise.resolve();
  }

  async leave(lastWord: () => Promise<void>): Promise<void> {
    const { detector, event, rank } = this.#parts;
    detector.close();
    if (this.#hasBegun) event("engine_left", `rank ${rank}, which runs the control plane, was stopped`, { rank });
    await lastWord();
  }
}

/** The part of a member in its system, which it plays in any role but the first engine's that runs the control plane for good. */
export function memberOf(
  parts: RoleParts,
  address: EngineAddress,
  control: Pick<SystemMemberParts, "addresses" | "found" | "adoptRoster">,
): SystemMember {
  const { peers, key, superblock, rank, incarnation, targets, addresses, event, canceled } = parts;
  return new SystemMember({
    peers,
    key,
    facts: {
      engine: superblock.engine,
      system: { id: superblock.id, name: superblock.system },
      domain: parts.configuration.faultDomain,
      targets: targets.count,
    },
    rank,
    incarnation,
    join: { address, targets: addresses, ...tierBytes(superblock) },
    lease: new LeaseKeeper(targets, peers.clock),
    event,
    canceled,
    ...control,
  });
}

export class MemberRole implements EngineRole {
  readonly #parts: RoleParts & { readonly table: DeviceTable };
  readonly #control: readonly EngineAddress[];
  /** Other engines, which know where the control plane is. */
  #others: readonly EngineAddress[] = [];
  #member: SystemMember | undefined;

  constructor(parts: RoleParts & { readonly control: readonly EngineAddress[]; readonly table: DeviceTable }) {
    this.#parts = parts;
    this.#control = parts.control;
  }

  get admission(): undefined {
    return undefined;
  }

  get address(): EngineAddress {
    return this.#member?.control ?? this.#control[0]!;
  }

  prepare(): Promise<ResumeReport> {
    return Promise.resolve({ pools: 0, containers: 0, finished: [], failures: [] });
  }

  async begin(address: EngineAddress): Promise<void> {
    const { detector, configuration, table } = this.#parts;
    await detector.start({ host: configuration.listen.host, port: address.port });
    const member = memberOf(this.#parts, address, {
      adoptRoster: (roster) => {
        this.#others = roster.members.slice(0, MAX_OTHERS).map((other) => other.address);
        detector.adopt(roster);
      },
      addresses: (last) => [...(last === undefined ? [] : [last]), ...this.#control, ...this.#others],
      found: (control) => table.setControl(formatListenAddress(control)),
    });
    this.#member = member;
    bringMaps(this.#parts, (pool) => member.map(pool));
    await member.start();
  }

  async answer(opcode: number, _args: unknown, bytes: Uint8Array): Promise<Uint8Array> {
    return (await this.#joined.forward(opcode, bytes)).args;
  }

  /** The control plane tells each engine that is to stop, this one included. */
  async stop({ opcode, bytes }: StopRequest): Promise<boolean> {
    await this.#joined.forward(opcode, bytes);
    return false;
  }

  /** It never leads: it has no records. */
  pledge(): boolean {
    return true;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  report(events: readonly ReportedEvent[]): Promise<void> {
    return this.#joined.report(events);
  }

  async leave(lastWord: () => Promise<void>): Promise<void> {
    this.#parts.detector.close();
    await this.#member?.stop();
    await lastWord();
    await this.#member?.sayFarewell();
  }

  get #joined(): SystemMember {
    if (this.#member !== undefined) return this.#member;
    throw new DaosError("UNAVAILABLE", "Cannot serve the request: the engine has not joined its system yet. Retry.");
  }
}
