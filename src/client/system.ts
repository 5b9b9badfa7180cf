/**
 * A connection to a system: one management connection, and one connection to each target in use, shared by everything
 * that is opened through it.
 */
import type { CheckArguments, CheckReply } from "../format/check-operations.ts";
import type { DeviceDescription } from "../format/device-operations.ts";
import type {
  EngineMetricsReply,
  PluginListReply,
  PoolDescription,
  Properties,
  SystemQueryReply,
} from "../format/operations.ts";
import type { DamageCount } from "../rpc/frame-reader.ts";
import type { SystemEventsArguments, SystemEventsReply } from "../format/event-operations.ts";
import type {
  PoolOutcome,
  SelfHealEvalReply,
  SystemBackupReply,
  SystemLeaderReply,
  SystemStartReply,
  SystemStopArguments,
} from "../format/system-operations.ts";
import type { SignalOptions } from "./array-handle.ts";
import type { ManagementConnection } from "./management-connection.ts";
import { Pool, type PoolParts } from "./pool.ts";
import type { RanksChange } from "./system-calls.ts";

export interface SystemParts extends PoolParts {
  readonly management: ManagementConnection;
  /** Of all connections. */
  readonly damage: Readonly<DamageCount>;
}

export interface PoolCreateOptions extends SignalOptions {
  readonly label: string;
  /** What the pool's containers may take together, bytes over both tiers. */
  readonly sizeBytes: number;
  readonly properties?: Properties;
}

export interface DeviceChangeOptions extends SignalOptions {
  readonly force: boolean;
}

export class System {
  readonly #parts: SystemParts;

  constructor(parts: SystemParts) {
    this.#parts = parts;
  }

  /** Answers that arrived damaged; what was asked was asked again. */
  get damagedFrames(): number {
    return this.#parts.damage.damagedFrames;
  }

  /** The engines, their targets and space. */
  async query(options: SignalOptions = {}): Promise<SystemQueryReply> {
    return this.#parts.calls.querySystem(options);
  }

  /** Counters since the engine started. */
  async metrics(options: SignalOptions = {}): Promise<EngineMetricsReply> {
    return this.#parts.calls.queryMetrics(options);
  }

  async plugins(options: SignalOptions = {}): Promise<PluginListReply["plugins"]> {
    return this.#parts.calls.listPlugins(options);
  }

  /** The engine's block devices and how they do. */
  async devices(options: SignalOptions = {}): Promise<readonly DeviceDescription[]> {
    return this.#parts.calls.queryDevices(options);
  }

  /** Takes a device out of service; BUSY without `force`, for there is one copy of its data. */
  async setDeviceFaulty(device: string, options: DeviceChangeOptions): Promise<DeviceDescription> {
    return this.#parts.calls.setDeviceFaulty({ device, force: options.force }, { signal: options.signal });
  }

  /** The same id twice: back into service. Else the device that takes its place, empty, at the next start. */
  async replaceDevice(device: string, successor: string, options: DeviceChangeOptions): Promise<DeviceDescription> {
    const { force, signal } = options;
    return this.#parts.calls.replaceDevice({ device, successor, force }, { signal });
  }

  /** Lights the device's lamp; UNSUPPORTED where it has none. */
  async identifyDevice(device: string, options: SignalOptions = {}): Promise<DeviceDescription> {
    return this.#parts.calls.identifyDevice({ device }, options);
  }

  /**
   * One step of a check of the system; `next` of the reply, as `after`, begins the next one. May be sent again: what it
   * repairs may be repaired twice. Rejects with NOT_FOUND (pool), INVALID_ARGUMENT (policy).
   */
  async check(args: CheckArguments, options: SignalOptions = {}): Promise<CheckReply> {
    return this.#parts.calls.check(args, options);
  }

  /** Asks all engines, or that of one rank, to stop in good order; resolves when they have said that they will. */
  async stop(options: SignalOptions & { readonly rank?: number | undefined } = {}): Promise<void> {
    const { rank, signal } = options;
    await this.#parts.calls.stopServer(rank === undefined ? {} : { rank }, { signal });
  }

  /** Asks these engines, or all, to stop; resolves when they have said that they will. `force`: without finishing what runs. */
  async stopEngines(args: SystemStopArguments, options: SignalOptions = {}): Promise<void> {
    await this.#parts.calls.stopEngines(args, options);
  }

  /** Asks supervisors to start those of these engines, or of all, that are stopped; resolves at once. */
  async startEngines(ranks: readonly number[] | undefined, options: SignalOptions = {}): Promise<SystemStartReply> {
    return this.#parts.calls.startEngines(ranks === undefined ? {} : { ranks }, options);
  }

  /** All records of the system as they are now, piece after piece; whoever has them has the system's key. */
  async *backup(options: SignalOptions = {}): AsyncGenerator<SystemBackupReply> {
    let piece = await this.#parts.calls.readBackup({}, options);
    for (let offset = piece.bytes.length; ; offset += piece.bytes.length) {
      yield piece;
      if (offset >= piece.sizeBytes) return;
      piece = await this.#parts.calls.readBackup({ id: piece.id, offset }, options);
    }
  }

  /** The engine that runs the control plane. */
  async leader(options: SignalOptions = {}): Promise<SystemLeaderReply> {
    return this.#parts.calls.queryLeader(options);
  }

  /** As exclude, drain and reintegrate of a pool, of all targets of these ranks in all pools; a pool that refuses keeps no other from it. */
  async changeRanks(
    change: RanksChange,
    ranks: readonly number[],
    { force, signal }: SignalOptions & { readonly force?: boolean } = {},
  ): Promise<readonly PoolOutcome[]> {
    return this.#parts.calls.changeRanks(change, { ranks, ...(force === true && { force }) }, { signal });
  }

  /** Flags of what the system does by itself, those that are on. */
  async selfHeal(options: SignalOptions = {}): Promise<readonly string[]> {
    return this.#parts.calls.getSelfHeal(options);
  }

  /** These are on from now on, and no others. */
  async setSelfHeal(flags: readonly string[], options: SignalOptions = {}): Promise<readonly string[]> {
    return this.#parts.calls.setSelfHeal(flags, options);
  }

  /** Does now what was not done while flags were off. */
  async evalSelfHeal(options: SignalOptions = {}): Promise<SelfHealEvalReply> {
    return this.#parts.calls.evalSelfHeal(options);
  }

  /** A page of the log of events; `next` of the reply is `after` for the one that follows. */
  async events(args: SystemEventsArguments = {}, options: SignalOptions = {}): Promise<SystemEventsReply> {
    return this.#parts.calls.listEvents(args, options);
  }

  async listPools(options: SignalOptions = {}): Promise<readonly PoolDescription[]> {
    return this.#parts.calls.listPools(options);
  }

  /** NO_SPACE when the pools together would be larger than the system, ALREADY_EXISTS. */
  async createPool(options: PoolCreateOptions): Promise<PoolDescription> {
    const { label, sizeBytes, properties, signal } = options;
    return this.#parts.calls.createPool(
      { label, sizeBytes, ...(properties !== undefined && { properties }) },
      { signal },
    );
  }

  /** The pool of this label or id; nothing is asked of the engine. */
  pool(name: string): Pool {
    return new Pool(name, this.#parts);
  }

  /** Closes all containers and connections. What is under way fails with CANCELED. */
  async close(): Promise<void> {
    await Promise.all([...this.#parts.sessions].map((session) => session.close()));
    this.#parts.connections.close();
    this.#parts.management.close();
  }
}
