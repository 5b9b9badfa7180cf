/**
 * A connection to a system: one management connection, and one connection to each target in use, shared by everything
 * that is opened through it.
 */
import type {
  EngineMetricsReply,
  PluginListReply,
  PoolDescription,
  Properties,
  SystemQueryReply,
} from "../format/operations.ts";
import type { SignalOptions } from "./array-handle.ts";
import type { ContainerSession } from "./container-session.ts";
import type { ManagementConnection } from "./management-connection.ts";
import { Pool, type PoolParts } from "./pool.ts";

export interface SystemParts extends Omit<PoolParts, "sessions"> {
  readonly management: ManagementConnection;
}

export interface PoolCreateOptions extends SignalOptions {
  readonly label: string;
  /** What the pool's containers may take together, bytes over both tiers. */
  readonly sizeBytes: number;
  readonly properties?: Properties;
}

export class System {
  readonly #parts: SystemParts;
  readonly #sessions = new Set<ContainerSession>();

  constructor(parts: SystemParts) {
    this.#parts = parts;
  }

  /** The engine, its targets and space. */
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

  /** Asks the engine to stop in good order; resolves when it has said that it will. */
  async stop(options: SignalOptions = {}): Promise<void> {
    await this.#parts.calls.stopServer(options);
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
    return new Pool(name, { ...this.#parts, sessions: this.#sessions });
  }

  /** Closes all containers and connections. What is under way fails with CANCELED. */
  async close(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.close()));
    this.#parts.connections.close();
    this.#parts.management.close();
  }
}
