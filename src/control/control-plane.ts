/**
 * The control plane of a system: the services wired together, one entry for requests, and `resume` for what a crash cut
 * off. Logic over a meta store and targets that are injected; opening, threads and connections are the engine's.
 */
import type { MetaStore } from "../contracts/meta-store.ts";
import type { Clock, Random } from "../contracts/world.ts";
import { DaosError } from "../base/errors.ts";
import { checkArguments } from "../format/operation-arguments.ts";
import { Opcode } from "../format/operations.ts";
import type { PoolMap } from "../format/pool-map.ts";
import type { SystemRecord } from "../format/meta-record.ts";
import { CapabilityAuthority, type Hmac } from "./capability-authority.ts";
import { Catalogue } from "./catalogue.ts";
import { ContainerRemoval } from "./container-removal.ts";
import { ContainerService } from "./container-service.ts";
import type { ControlParts } from "./control-parts.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { MetaRecords } from "./meta-records.ts";
import { PoolQuotas } from "./pool-quotas.ts";
import { PoolService } from "./pool-service.ts";
import { Resumption, type ResumeReport } from "./resumption.ts";
import { SnapshotService } from "./snapshot-service.ts";
import { capabilityKeyOf, type EngineFacts, SystemService } from "./system-service.ts";
import type { TargetControl } from "./target-control.ts";

export interface ControlPlaneOptions {
  readonly metaStore: MetaStore;
  /** From `openSystem`. */
  readonly system: SystemRecord;
  readonly targets: TargetControl;
  readonly clock: Clock;
  readonly random: Random;
  readonly hmac: Hmac;
  /** The pool map as it is now. */
  readonly map: () => PoolMap;
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
  readonly #resumption: Resumption;

  constructor(options: ControlPlaneOptions) {
    const { targets, clock, random, map, containerTypes, hmac } = options;
    const key = capabilityKeyOf(options.system);
    const authority = new CapabilityAuthority({ key, hmac, wallMs: () => clock.wallMs() });
    const records = new MetaRecords(options.metaStore);
    const parts: ControlParts = {
      records,
      locks: new KeyedLock(),
      targets,
      clock,
      random,
      authority,
      map,
      containerTypes,
    };
    const catalogue = new Catalogue(records);
    const quotas = new PoolQuotas(parts);
    const removal = new ContainerRemoval(parts, quotas);
    this.pools = new PoolService(parts, catalogue, quotas, removal);
    this.containers = new ContainerService(parts, catalogue, quotas, removal);
    this.snapshots = new SnapshotService(parts, catalogue);
    this.system = new SystemService({ name: options.system.name, facts: options.facts, targets, clock, map });
    this.#resumption = new Resumption(parts, quotas, removal, this.pools, this.snapshots);
  }

  /**
   * Once at start, before any request: opens every container on the targets, sets the quotas, and finishes or undoes
   * what a crash cut off. Failures of single pools and containers are reported and do not stop the rest.
   */
  resume(): Promise<ResumeReport> {
    return this.#resumption.run();
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
