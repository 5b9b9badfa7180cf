/**
 * A network, timers and clock in memory, for tests of connections. Nothing moves unless the test says so: `settle` moves
 * bytes and runs promise continuations until nothing is left to do, `advance` lets time pass.
 *
 * Sockets are as unkind as the contract allows: bytes arrive in pieces that `split` chooses, what was handed over is
 * overwritten right after the call, and a socket whose peer does not read takes no more than `bufferBytes`.
 */
import { EPOCH_ORIGIN_MS, HybridLogicalClock } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import type { Listener, Network, Socket, SocketHandlers, Timers } from "../../src/contracts/world.ts";

/** Rounds without any movement after which all is taken to be quiet. */
const QUIET_ROUNDS = 8;

export class LoopbackSocket implements Socket {
  readonly remoteAddress: string;
  peer: LoopbackSocket | undefined;
  handlers: SocketHandlers | undefined;
  isPaused = false;
  isClosed = false;
  /** Number of `write` calls that took something. */
  writes = 0;
  readonly #world: LoopbackWorld;
  #inbox: Buffer = Buffer.alloc(0);
  #wantsDrain = false;
  #peerEnded = false;

  constructor(world: LoopbackWorld, remoteAddress: string) {
    this.#world = world;
    this.remoteAddress = remoteAddress;
  }

  /** Bytes that have arrived and were not taken. */
  get inboxBytes(): number {
    return this.#inbox.length;
  }

  write(bytes: Uint8Array): number {
    const { peer } = this;
    if (this.isClosed || peer === undefined || peer.isClosed) return -1;
    const taken = Math.min(bytes.length, this.#world.bufferBytes - peer.#inbox.length);
    if (taken < bytes.length) this.#wantsDrain = true;
    if (taken > 0) {
      this.writes += 1;
      peer.#inbox = Buffer.concat([peer.#inbox, bytes.subarray(0, taken)]);
    }
    return taken;
  }

  receive(buffer: Uint8Array): number {
    const taken = this.#inbox.subarray(0, Math.min(buffer.length, this.#world.split(this.#inbox.length)));
    buffer.set(taken);
    this.#inbox = this.#inbox.subarray(taken.length);
    return taken.length;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  end(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.peer !== undefined) this.peer.#peerEnded = true;
    this.#world.later(() => this.handlers?.closed());
  }

  terminate(): void {
    this.breakDown(undefined);
  }

  /** Both ends close at once; what has not arrived is lost. */
  breakDown(error: Error | undefined): void {
    if (!this.isClosed) {
      this.isClosed = true;
      this.#world.later(() => this.handlers?.closed(error));
    }
    const { peer } = this;
    if (peer === undefined || peer.isClosed) return;
    peer.isClosed = true;
    this.#world.later(() => peer.handlers?.closed(error));
  }

  /** Hands over one piece or one event. False when there was nothing to do. */
  step(): boolean {
    if (this.isClosed) return false;
    if (this.#inbox.length > 0 && !this.isPaused) {
      const length = Math.max(1, Math.min(this.#inbox.length, this.#world.split(this.#inbox.length)));
      const piece = new Uint8Array(this.#inbox.subarray(0, length));
      this.#inbox = this.#inbox.subarray(length);
      this.handlers?.received(piece);
      piece.fill(0xa5);
      return true;
    }
    if (this.#inbox.length === 0 && this.#peerEnded) {
      this.isClosed = true;
      this.handlers?.closed();
      return true;
    }
    if (this.#wantsDrain && this.peer !== undefined && this.peer.#inbox.length < this.#world.bufferBytes / 2) {
      this.#wantsDrain = false;
      this.handlers?.drain();
      return true;
    }
    return false;
  }
}

export class LoopbackWorld implements Network, Timers {
  /** How many of the available bytes the next piece has. */
  split: (availableBytes: number) => number = (availableBytes) => availableBytes;
  bufferBytes = 256 * 1024;
  nowMs = EPOCH_ORIGIN_MS + 1_000_000;
  readonly sockets: LoopbackSocket[] = [];
  readonly #listeners = new Map<number, (socket: Socket) => SocketHandlers>();
  #tasks: (() => void)[] = [];
  readonly #timers: { dueMs: number; callback: () => void }[] = [];
  #nextPort = 1;

  /** A clock of this world, off by `skewMs`. */
  clock(skewMs = 0): HybridLogicalClock {
    return new HybridLogicalClock(() => this.nowMs + skewMs);
  }

  listen(host: string, port: number, accept: (socket: Socket) => SocketHandlers): Listener {
    const chosen = port === 0 ? this.#nextPort++ : port;
    this.#listeners.set(chosen, accept);
    return { host, port: chosen, close: () => void this.#listeners.delete(chosen) };
  }

  connect(
    host: string,
    port: number,
    open: (socket: Socket) => SocketHandlers,
    options?: { timeoutMs?: number; signal?: AbortSignal },
  ): Promise<Socket> {
    const accept = this.#listeners.get(port);
    if (accept === undefined) {
      return Promise.reject(new DaosError("UNAVAILABLE", `Cannot connect to "${host}:${port}": refused. Start it.`));
    }
    if (options?.signal?.aborted === true)
      return Promise.reject(new DaosError("CANCELED", "Cannot connect: canceled."));
    const client = new LoopbackSocket(this, `${host}:${port}`);
    const server = new LoopbackSocket(this, "client");
    client.peer = server;
    server.peer = client;
    this.sockets.push(client, server);
    server.handlers = accept(server);
    client.handlers = open(client);
    return Promise.resolve(client);
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      const index = this.#timers.indexOf(timer);
      if (index >= 0) this.#timers.splice(index, 1);
    };
  }

  soon(callback: () => void): void {
    this.later(callback);
  }

  later(task: () => void): void {
    this.#tasks.push(task);
  }

  /** Timers that wait. */
  get timers(): number {
    return this.#timers.length;
  }

  /** Moves everything until nothing moves any more. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < QUIET_ROUNDS;) {
      quiet = this.#round() ? 0 : quiet + 1;
      await Promise.resolve();
    }
  }

  /** Lets `deltaMs` pass in steps short enough for every timer. */
  async advance(deltaMs: number): Promise<void> {
    const endMs = this.nowMs + deltaMs;
    await this.settle();
    for (;;) {
      const next = this.#timers.reduce<number>((earliest, timer) => Math.min(earliest, timer.dueMs), Infinity);
      if (next > endMs) break;
      this.nowMs = Math.max(this.nowMs, next);
      const index = this.#timers.findIndex((timer) => timer.dueMs === next);
      const [timer] = this.#timers.splice(index, 1);
      timer!.callback();
      await this.settle();
    }
    this.nowMs = endMs;
  }

  #round(): boolean {
    const tasks = this.#tasks;
    this.#tasks = [];
    for (const task of tasks) task();
    let moved = tasks.length > 0;
    for (const socket of this.sockets) {
      if (socket.step()) moved = true;
    }
    return moved;
  }
}

/** Settles the world until the promise is settled; gives its value or throws its error. */
export async function settled<T>(world: LoopbackWorld, promise: Promise<T>): Promise<T> {
  let isDone = false;
  const done = (): void => {
    isDone = true;
  };
  promise.then(done, done);
  for (let round = 0; round < 10_000 && !isDone; round += 1) await world.settle();
  if (!isDone) throw new Error("the world is quiet and the promise is not settled");
  return promise;
}
