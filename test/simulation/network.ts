/**
 * A network in memory: ordered streams with random delay, small socket buffers so that partial writes and `drain` are
 * met all the time, and severed links.
 */
import { DaosError } from "../../src/base/errors.ts";
import type { Listener, Network, Socket, SocketHandlers } from "../../src/contracts/world.ts";
import type { SimulatedRandom } from "./random.ts";
import type { SimulatedTimers } from "./timers.ts";

/** Bytes one direction of a socket holds before `write` takes no more. */
const SOCKET_BUFFER_BYTES = 64 * 1024;
/** Delay of one packet, uniform in this range, nanoseconds. */
const DELAY_NS: readonly [min: number, max: number] = [20_000, 150_000];
const FIRST_FREE_PORT = 40_000;

export type Accept = (socket: Socket) => SocketHandlers;

/** What carries a socket's packets. */
export interface Carrier {
  /** Runs `event` at the other end, after all that this socket sent before. */
  deliver(from: SimulatedSocket, event: () => void): void;
  forget(socket: SimulatedSocket): void;
  /** Sees what a socket sends, and may change it. */
  carry?(from: SimulatedSocket, packet: Uint8Array): void;
}

export class SimulatedSocket implements Socket {
  readonly remoteAddress: string;
  readonly port: number;
  peer: SimulatedSocket | undefined;
  handlers: SocketHandlers | undefined;
  readonly #network: Carrier;
  /** Bytes on their way to the peer or waiting there. */
  #outstandingBytes = 0;
  #wantsDrain = false;
  #arrived: Uint8Array[] = [];
  #paused = false;
  #ended = false;
  #closed = false;
  #peerEnded = false;

  constructor(network: Carrier, remoteAddress: string, port: number) {
    this.#network = network;
    this.remoteAddress = remoteAddress;
    this.port = port;
  }

  write(bytes: Uint8Array): number {
    if (this.#closed || this.#ended) return -1;
    const taken = Math.min(bytes.length, SOCKET_BUFFER_BYTES - this.#outstandingBytes);
    if (taken < bytes.length) this.#wantsDrain = true;
    if (taken === 0) return 0;
    this.#outstandingBytes += taken;
    const packet = new Uint8Array(bytes.subarray(0, taken)); // a slice of a Buffer would share its memory
    this.#network.carry?.(this, packet);
    this.#network.deliver(this, () => this.peer?.arrive(packet));
    return taken;
  }

  receive(buffer: Uint8Array): number {
    let filled = 0;
    while (filled < buffer.length && this.#arrived.length > 0) {
      const packet = this.#arrived[0]!;
      const part = packet.subarray(0, buffer.length - filled);
      buffer.set(part, filled);
      filled += part.length;
      if (part.length === packet.length) this.#arrived.shift();
      else this.#arrived[0] = packet.subarray(part.length);
    }
    const sender = this.peer;
    if (filled > 0) this.#network.deliver(this, () => sender?.acknowledged(filled));
    return filled;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#network.deliver(this, () => this.#handOver());
  }

  end(): void {
    if (this.#closed || this.#ended) return;
    this.#ended = true;
    this.#network.deliver(this, () => {
      this.peer?.endOfStream();
      this.close();
    });
  }

  terminate(): void {
    if (this.#closed) return;
    const { peer } = this;
    this.close();
    this.#network.deliver(this, () => peer?.close(new Error("connection reset (ECONNRESET)")));
  }

  arrive(packet: Uint8Array): void {
    if (this.#closed) return;
    this.#arrived.push(packet);
    this.#handOver();
  }

  endOfStream(): void {
    this.#peerEnded = true;
    this.#handOver();
  }

  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#arrived = [];
    this.#network.forget(this);
    this.handlers?.closed(error);
  }

  #handOver(): void {
    while (!this.#paused && !this.#closed && this.#arrived.length > 0) {
      const packet = this.#arrived.shift()!;
      this.handlers?.received(packet);
      const length = packet.length;
      packet.fill(0xee);
      const sender = this.peer;
      this.#network.deliver(this, () => sender?.acknowledged(length));
    }
    if (this.#peerEnded && this.#arrived.length === 0 && !this.#paused) this.close();
  }

  acknowledged(length: number): void {
    this.#outstandingBytes -= length;
    if (!this.#wantsDrain || this.#closed) return;
    this.#wantsDrain = false;
    this.handlers?.drain();
  }
}

export class SimulatedNetwork implements Network {
  readonly #random: SimulatedRandom;
  readonly #timers: SimulatedTimers;
  readonly #listeners = new Map<number, Accept>();
  readonly #sockets = new Set<SimulatedSocket>();
  readonly #severed = new Set<number>();
  readonly #silenced = new Set<number>();
  /** When the last packet of a socket arrives: later ones do not overtake it. */
  readonly #lastArrivalNs = new WeakMap<SimulatedSocket, number>();
  readonly #nowNs: () => number;
  #nextPort = FIRST_FREE_PORT;

  constructor(random: SimulatedRandom, timers: SimulatedTimers, nowNs: () => number) {
    this.#random = random;
    this.#timers = timers;
    this.#nowNs = nowNs;
  }

  listen(host: string, port: number, accept: Accept): Listener {
    const chosen = port === 0 ? this.#nextPort : port;
    this.#nextPort += 1;
    if (this.#listeners.has(chosen)) {
      throw new DaosError(
        "UNAVAILABLE",
        `Cannot listen on "${host}:${chosen}": the address is in use. Choose another.`,
      );
    }
    this.#listeners.set(chosen, accept);
    return { host, port: chosen, close: () => void this.#listeners.delete(chosen) };
  }

  connect(
    host: string,
    port: number,
    open: Accept,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<Socket> {
    return new Promise((resolve, reject) => {
      this.#timers.afterNs(this.#delayNs(), () => {
        const accept = this.#listeners.get(port);
        if (options.signal?.aborted === true) {
          reject(new DaosError("CANCELED", `Cannot connect to "${host}:${port}": the caller canceled.`));
        } else if (accept === undefined || this.#severed.has(port)) {
          reject(new DaosError("UNAVAILABLE", `Cannot connect to "${host}:${port}": refused. Check the server.`));
        } else if (this.#silenced.has(port)) {
          const late = new DaosError("TIMEOUT", `Cannot connect to "${host}:${port}": no answer. Check the server.`);
          this.#timers.afterNs((options.timeoutMs ?? 0) * 1e6, () => reject(late));
        } else {
          resolve(this.#join(host, port, accept, open));
        }
      });
    });
  }

  /** Breaks all connections to a listener and refuses new ones until `heal`. */
  sever(port: number): void {
    this.#severed.add(port);
    for (const socket of this.#sockets) {
      if (socket.port === port) socket.close(new Error("connection timed out (ETIMEDOUT)"));
    }
  }

  /** From now on nothing comes from or to a listener, and nobody is told: packets are lost, connections take for ever. */
  silence(port: number): void {
    this.#silenced.add(port);
  }

  heal(port: number): void {
    this.#severed.delete(port);
  }

  // For the sockets of this network.

  deliver(from: SimulatedSocket, event: () => void): void {
    if (this.#silenced.has(from.port)) return;
    const now = this.#nowNs();
    const arrival = Math.max(now + this.#delayNs(), this.#lastArrivalNs.get(from) ?? 0);
    this.#lastArrivalNs.set(from, arrival);
    this.#timers.afterNs(arrival - now, event);
  }

  forget(socket: SimulatedSocket): void {
    this.#sockets.delete(socket);
  }

  #join(host: string, port: number, accept: Accept, open: Accept): Socket {
    const client = new SimulatedSocket(this, `${host}:${port}`, port);
    const server = new SimulatedSocket(this, `${host}:${this.#nextPort}`, port);
    client.peer = server;
    server.peer = client;
    this.#sockets.add(client).add(server);
    server.handlers = accept(server);
    client.handlers = open(client);
    return client;
  }

  #delayNs(): number {
    return DELAY_NS[0] + Math.floor(this.#random.next() * (DELAY_NS[1] - DELAY_NS[0]));
  }
}
