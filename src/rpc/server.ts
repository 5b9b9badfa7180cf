/**
 * A listener and its connections. The handler is given requests; greeting, ping, limits, stalled peers and refusals are
 * dealt with here and in the connections. One coarse timer serves all connections, and only while there are any.
 */
import type { HybridLogicalClock } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { Listener, Network, Socket, SocketHandlers, Timers } from "../contracts/world.ts";
import type { HelloReply } from "../format/operations.ts";
import { DEFAULT_RPC_LIMITS, ListenerState, type RpcCounters, type RpcLimits } from "./listener-state.ts";
import { type PayloadBuffers, PooledPayloadBuffers } from "./payload-buffers.ts";
import type { RpcHandler } from "./request.ts";
import { ServerConnection } from "./server-connection.ts";

const TICK_MS = 1_000;

export interface RpcServerOptions {
  readonly network: Network;
  readonly timers: Timers;
  readonly clock: HybridLogicalClock;
  readonly host: string;
  /** 0 picks one. */
  readonly port: number;
  readonly role: HelloReply["role"];
  /** Release name, told to clients. */
  readonly software: string;
  readonly handler: RpcHandler;
  readonly payloadBuffers?: PayloadBuffers;
  readonly limits?: Partial<RpcLimits>;
}

export class RpcServer {
  readonly #state: ListenerState;
  readonly #timers: Timers;
  readonly #listener: Listener;
  readonly #connections = new Set<ServerConnection>();
  #tick = 0;
  #cancelTick: (() => void) | undefined;
  #isClosing = false;
  #whenEmpty: (() => void) | undefined;

  /** Listens at once. Throws UNAVAILABLE when the address is in use. */
  constructor(options: RpcServerOptions) {
    this.#timers = options.timers;
    this.#state = new ListenerState({
      clock: options.clock,
      handler: options.handler,
      role: options.role,
      software: options.software,
      payloadBuffers: options.payloadBuffers ?? new PooledPayloadBuffers(),
      limits: { ...DEFAULT_RPC_LIMITS, ...options.limits },
    });
    this.#listener = options.network.listen(options.host, options.port, (socket) => this.#accept(socket));
  }

  get host(): string {
    return this.#listener.host;
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Open connections. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Bytes held for all connections: frames being collected, requests in flight, replies queued. */
  get heldBytes(): number {
    return this.#state.heldBytes;
  }

  get counters(): Readonly<RpcCounters> {
    return this.#state.counters;
  }

  /**
   * Listens no more and takes in no more requests; resolves when those that run are replied to and all connections are
   * gone, at the latest after `graceMs`, when what is left is cut.
   */
  async close(graceMs = 0): Promise<void> {
    if (!this.#isClosing) this.#listener.close();
    this.#isClosing = true;
    for (const connection of this.#connections) connection.stop();
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        const cancel = this.#timers.after(graceMs, resolve);
        this.#whenEmpty = (): void => {
          cancel();
          resolve();
        };
      });
    }
    for (const connection of this.#connections) connection.terminate();
    this.#cancelTick?.();
  }

  #accept(socket: Socket): SocketHandlers {
    const connection = new ServerConnection(this.#state, socket, (closed) => this.#closed(closed));
    this.#connections.add(connection);
    this.#startTicking();
    if (this.#isClosing) {
      connection.cut(new DaosError("UNAVAILABLE", "Cannot accept connection: the server is shutting down."));
    } else if (this.#connections.size > this.#state.limits.connections) {
      const state = `${this.#state.limits.connections} are open`;
      connection.cut(new DaosError("OVERLOADED", `Cannot accept connection: ${state}. Close some or try again later.`));
    }
    return connection;
  }

  #closed(connection: ServerConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size > 0) return;
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    this.#whenEmpty?.();
  }

  #startTicking(): void {
    this.#cancelTick ??= this.#timers.after(TICK_MS, () => {
      this.#cancelTick = undefined;
      this.#tick += 1;
      for (const connection of this.#connections) connection.tick(this.#tick, TICK_MS);
      if (this.#connections.size > 0) this.#startTicking();
    });
  }
}
