/**
 * What an engine is in its system: the one that runs the control plane, or a member of it. Both answer the control plane's
 * operations; the member by forwarding them.
 */
import { ControlPlane } from "../control/control-plane.ts";
import type { EngineAdmission } from "../control/engine-admission.ts";
import { CONTROL_RANK } from "../control/members.ts";
import type { ResumeReport } from "../control/resumption.ts";
import type { EngineFacts } from "../control/system-service.ts";
import type { MetaStore } from "../contracts/meta-store.ts";
import type { World } from "../contracts/world.ts";
import { DaosError } from "../base/errors.ts";
import { encodeCbor } from "../format/cbor.ts";
import type { EngineAddress, PoolAssignment } from "../format/engine-operations.ts";
import type { SystemRecord } from "../format/meta-record.ts";
import { checkArguments } from "../format/operation-arguments.ts";
import { Opcode } from "../format/operations.ts";
import type { StorageSuperblock } from "../format/storage-superblock.ts";
import type { Configuration } from "./configuration.ts";
import type { EngineEvent } from "./device-service.ts";
import type { DeviceTable } from "./device-table.ts";
import type { EngineService } from "./engine-service.ts";
import type { FailureDetector } from "./failure-detector.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { formatListenAddress } from "./listen-address.ts";
import type { ControlAccess } from "./management-service.ts";
import { PeerLink, type PeerParts } from "./peer-link.ts";
import { SystemMember } from "./system-member.ts";
import type { Targets } from "./targets.ts";

export interface RoleParts {
  readonly world: World;
  readonly configuration: Configuration;
  readonly peers: PeerParts;
  readonly event: EngineEvent;
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

export interface EngineRole extends ControlAccess {
  /** For the operations among engines. */
  readonly desk: { readonly admission: EngineAdmission } | { readonly address: () => EngineAddress };
  /** Before the management listener is open: what a crash cut off. */
  prepare(): Promise<ResumeReport>;
  /** Once it is open, there: resolves when the targets may serve. */
  begin(address: EngineAddress): Promise<void>;
  /** Begins nothing more by itself. */
  close(): void;
  /** The targets serve no more: takes leave of the other engines. */
  leave(): Promise<void>;
}

/** Bytes of the tiers of all targets. */
function tierBytes({ targets, scm, nvme }: StorageSuperblock): { scmBytes: number; nvmeBytes: number } {
  return { scmBytes: targets * scm.targetSizeBytes, nvmeBytes: targets * nvme.targetSizeBytes };
}

/** Brings the targets the maps that they ask for. */
function bringMaps(
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

export class ControlRole implements EngineRole {
  readonly #parts: RoleParts;
  readonly #control: ControlPlane;

  constructor(parts: RoleParts & { readonly metaStore: MetaStore; readonly system: SystemRecord }) {
    const { world, configuration, superblock, addresses, engine, key, peers, event, metaStore, system } = parts;
    const { clock, random, timers } = world;
    this.#parts = parts;
    const { listen, faultDomain, membership } = configuration;
    this.#control = new ControlPlane({
      metaStore,
      system,
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

  get desk(): { readonly admission: EngineAdmission } {
    return { admission: this.#control.engines };
  }

  prepare(): Promise<ResumeReport> {
    return this.#control.resume();
  }

  async begin(address: EngineAddress): Promise<void> {
    const { targets, world, detector, configuration } = this.#parts;
    await this.#control.listensAt(address);
    await detector.start({ host: configuration.listen.host, port: address.port });
    await new LeaseKeeper(targets, world.clock).grantForever();
    bringMaps(this.#parts, (pool) => this.#control.engines.map({ rank: CONTROL_RANK, pool }));
    this.#control.watch();
  }

  async answer(opcode: number, args: unknown): Promise<Uint8Array> {
    return encodeCbor(await this.#control.call(opcode, args));
  }

  async stop(args: unknown): Promise<boolean> {
    const { rank } = checkArguments(Opcode.serverStop, args);
    if (rank !== undefined) this.#control.checkRank(rank);
    if (rank !== CONTROL_RANK) await this.#control.stopEngines(rank);
    return rank === undefined || rank === CONTROL_RANK;
  }

  close(): void {
    this.#control.close();
  }

  leave(): Promise<void> {
    this.#parts.detector.close();
    return Promise.resolve();
  }
}

export class MemberRole implements EngineRole {
  readonly #parts: RoleParts & { readonly table: DeviceTable };
  readonly #control: readonly EngineAddress[];
  #member: SystemMember | undefined;

  constructor(parts: RoleParts & { readonly control: readonly EngineAddress[]; readonly table: DeviceTable }) {
    this.#parts = parts;
    this.#control = parts.control;
  }

  get desk(): { readonly address: () => EngineAddress } {
    return { address: () => this.#member?.control ?? this.#control[0]! };
  }

  prepare(): Promise<ResumeReport> {
    return Promise.resolve({ pools: 0, containers: 0, finished: [], failures: [] });
  }

  async begin(address: EngineAddress): Promise<void> {
    const { peers, key, superblock, rank, incarnation, targets, addresses, event, canceled, table } = this.#parts;
    const { detector, configuration } = this.#parts;
    const { faultDomain: domain } = configuration;
    await detector.start({ host: configuration.listen.host, port: address.port });
    const system = { id: superblock.id, name: superblock.system };
    this.#member = new SystemMember({
      peers,
      key,
      facts: { engine: superblock.engine, system, domain, targets: targets.count },
      rank,
      incarnation,
      join: { address, targets: addresses, ...tierBytes(superblock) },
      lease: new LeaseKeeper(targets, peers.clock),
      adoptRoster: (roster) => detector.adopt(roster),
      addresses: this.#control,
      found: (control) => table.setControl(formatListenAddress(control)),
      event,
      canceled,
    });
    const member = this.#member;
    bringMaps(this.#parts, (pool) => member.map(pool));
    await member.start();
  }

  async answer(opcode: number, _args: unknown, bytes: Uint8Array): Promise<Uint8Array> {
    return (await this.#joined.forward(opcode, bytes)).args;
  }

  /** The control plane tells each engine that is to stop, this one included. */
  async stop(_args: unknown, bytes: Uint8Array): Promise<boolean> {
    await this.#joined.forward(Opcode.serverStop, bytes);
    return false;
  }

  close(): void {}

  async leave(): Promise<void> {
    this.#parts.detector.close();
    await this.#member?.stop();
  }

  get #joined(): SystemMember {
    if (this.#member !== undefined) return this.#member;
    throw new DaosError("UNAVAILABLE", "Cannot serve the request: the engine has not joined its system yet. Retry.");
  }
}
