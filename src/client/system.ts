/**
 * A connection to a system: one management connection, and one connection to each target in use, shared by everything
 * that is opened through it.
 */
import type {
  DeviceDescription,
  EngineMetricsReply,
  PluginListReply,
  PoolDescription,
  Properties,
  SystemQueryReply,
} from "../format/operations.ts";
import type { SignalOptions } from "./array-handle.ts";
import type { ManagementConnection } from "./management-connection.ts";
import { Pool, type PoolParts } from "./pool.ts";

export interface SystemParts extends PoolParts {
  readonly management: ManagementConnection;
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

  /** Asks all engines, or that of one rank, to stop in good order; resolves when they have said that they will. */
  async stop(options: SignalOptions & { readonly rank?: number | undefined } = {}): Promise<void> {
    const { rank, signal } = options;
    await this.#parts.calls.stopServer(rank === undefined ? {} : { rank }, { signal });
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
