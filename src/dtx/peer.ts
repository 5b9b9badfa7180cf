/**
 * Another target of a pool, as a target that replicates to it sees it: one connection, opened at once and again whenever it
 * is lost. A peer is *ready* when the connection stands and both sides agree on what is open between them;
 * only then does it take part in new updates.
 *
 * Requests leave in the order in which they are made, and the peer begins them in that order.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import { Opcode } from "../format/operations.ts";
import type { ArgumentEncoder, RequestPayload, RpcAnswer, RpcCompletion } from "../rpc/pending-call.ts";

/** First and longest pause between attempts to connect, milliseconds. */
const FIRST_RETRY_MS = 20;
const MAX_RETRY_MS = 500;

/** What a peer needs of a connection; src/rpc's RpcConnection is one. */
export interface PeerConnection {
  readonly isClosed: boolean;
  call(opcode: number, args: Uint8Array, payload?: RequestPayload, options?: PeerCallOptions): Promise<RpcAnswer>;
  start(
    opcode: number,
    argsLength: number,
    encoder: ArgumentEncoder,
    payload: RequestPayload | undefined,
    options: PeerCallOptions | undefined,
    completion: RpcCompletion,
  ): void;
  /** Sends the requests that gather. */
  flush(): void;
  onClose(listener: (error: DaosError) => void): void;
  close(): void;
}

export interface PeerCallOptions {
  readonly mapVersion?: number;
  readonly timeoutMs?: number;
  /** The request may wait for others, at the longest until `flush`. */
  readonly gather?: boolean;
}

export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

export interface PeerOptions {
  readonly timers: Timers;
  readonly dial: (address: PeerAddress) => Promise<PeerConnection>;
  /** Arguments that introduce us to the peer, and prove that we belong to the system. */
  readonly introduction: () => Uint8Array;
  /** Brings both sides to agree. Rejects when that has to be tried again. */
  readonly resync: (peer: Peer) => Promise<void>;
}

export class Peer {
  /** Its number in the pool map. */
  readonly index: number;
  readonly #options: PeerOptions;
  #address: PeerAddress;
  #connection: PeerConnection | undefined;
  /** Connections there were: with another one the peer may have started anew. */
  life = 0;
  #isReady = false;
  #isStopped = false;
  #isWorking = false;
  #mustResync = true;
  #retryMs = FIRST_RETRY_MS;

  constructor(index: number, address: PeerAddress, options: PeerOptions) {
    this.index = index;
    this.#address = address;
    this.#options = options;
    this.#work();
  }

  /** It takes part in new updates. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** The engine listens elsewhere since it started anew. */
  moveTo(address: PeerAddress): void {
    if (address.host === this.#address.host && address.port === this.#address.port) return;
    this.#address = address;
    this.#connection?.close();
  }

  /** What is open between the two is to be looked at again before anything new: the pool map has changed. */
  resyncAgain(): void {
    this.#isReady = false;
    this.#mustResync = true;
    this.#work();
  }

  stop(): void {
    this.#isStopped = true;
    this.#isReady = false;
    this.#connection?.close();
  }

  /** As RpcConnection.start; without a connection the completion fails at the end of the turn. */
  start(
    opcode: number,
    argsLength: number,
    encoder: ArgumentEncoder,
    payload: RequestPayload | undefined,
    options: PeerCallOptions,
    completion: RpcCompletion,
  ): void {
    const connection = this.#connection;
    if (connection === undefined) this.#options.timers.soon(() => completion.failed(this.#notConnected(), false));
    else connection.start(opcode, argsLength, encoder, payload, options, completion);
  }

  /** As RpcConnection.flush. */
  flush(): void {
    this.#connection?.flush();
  }

  /** As RpcConnection.call. */
  call(opcode: number, args: Uint8Array, payload?: RequestPayload, options?: PeerCallOptions): Promise<RpcAnswer> {
    const connection = this.#connection;
    if (connection === undefined) return Promise.reject(this.#notConnected());
    return connection.call(opcode, args, payload, options);
  }

  #notConnected(): DaosError {
    const { host, port } = this.#address;
    return new DaosError(
      "UNAVAILABLE",
      `Cannot reach target ${this.index} at "${host}:${port}": not connected. Retry.`,
    );
  }

  #work(): void {
    if (this.#isWorking || this.#isStopped) return;
    this.#isWorking = true;
    void this.#connectAndResync().then(
      () => {
        this.#isWorking = false;
        this.#retryMs = FIRST_RETRY_MS;
        if (this.#mustResync || this.#connection === undefined) this.#work();
      },
      (error: unknown) => {
        if (!(error instanceof DaosError)) throw error;
        this.#options.timers.after(this.#retryMs, () => {
          this.#isWorking = false;
          this.#work();
        });
        this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
      },
    );
  }

  async #connectAndResync(): Promise<void> {
    if (this.#connection === undefined) await this.#connect();
    this.#mustResync = false;
    try {
      await this.#options.resync(this);
    } catch (error) {
      this.#mustResync = true;
      // A peer that knows another map is asked again; one that broke the rules is met afresh.
      if (!hasCode(error, "STALE") && !hasCode(error, "UNAVAILABLE")) this.#connection?.close();
      throw error;
    }
    this.#isReady = !this.#mustResync && this.#connection !== undefined && !this.#isStopped;
  }

  async #connect(): Promise<void> {
    const connection = await this.#options.dial(this.#address);
    if (this.#isStopped) {
      connection.close();
      return;
    }
    try {
      await connection.call(Opcode.dtxAttach, this.#options.introduction());
    } catch (error) {
      connection.close();
      throw error;
    }
    this.#connection = connection;
    this.life += 1;
    connection.onClose(() => {
      if (this.#connection !== connection) return;
      this.#connection = undefined;
      this.#isReady = false;
      this.#mustResync = true;
      this.#work();
    });
  }
}
