/**
 * The client's end of one connection. Hundreds of calls may be in flight and end in any order; requests made in one turn
 * leave in one write. When much is queued, further calls wait for room. Losing the connection fails every open call with
 * UNAVAILABLE; connecting again is the caller's business.
 */
import { assert } from "../base/assert.ts";
import type { Epoch, HybridLogicalClock } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_ABANDONED_CALLS, MAX_CLIENT_QUEUED_BYTES } from "../base/limits.ts";
import type { Network, Socket, SocketHandlers } from "../contracts/world.ts";
import { decodeErrorReply } from "../format/error-reply.ts";
import { FrameFlag, type FrameHeader } from "../format/frame.ts";
import { type HelloReply, Opcode } from "../format/operations.ts";
import { AnswerMemory } from "./answer-memory.ts";
import { CallDeadlines, type DeadlineOwner } from "./call-deadlines.ts";
import { CallTable } from "./call-table.ts";
import * as failures from "./connection-errors.ts";
import {
  DEFAULT_CALL_TIMEOUT_MS,
  DEFAULT_CONNECT_TIMEOUT_MS,
  type RpcCallOptions,
  type RpcConnectOptions,
} from "./connection-options.ts";
import type { FrameBody } from "./frame-body.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { FrameWriter } from "./frame-writer.ts";
import { decodeHelloReply, encodeHello } from "./hello.ts";
import { InputBlock } from "./input-block.ts";
import { GATHERED_SEND_BYTES, OutputBlocks, OutputQueue } from "./output-queue.ts";
import { heapPayloadBuffers } from "./payload-buffers.ts";
import {
  type ArgumentEncoder,
  keptPayload,
  notEncoded,
  PendingCall,
  PromiseCompletion,
  type RequestPayload,
  type RpcAnswer,
  type RpcCompletion,
  type WaitingCall,
} from "./pending-call.ts";

const RESOLVED = Promise.resolve();
/** Of all connections of this thread. */
const blocks = new OutputBlocks();
const input = new InputBlock();

export class RpcConnection implements SocketHandlers, FrameSink, DeadlineOwner {
  readonly host: string;
  readonly port: number;
  /** What the server said it is. */
  server: HelloReply | undefined;
  readonly #socket: Socket;
  readonly #clock: HybridLogicalClock;
  readonly #callTimeoutMs: number;
  readonly #memory: AnswerMemory;
  readonly #output: OutputQueue;
  readonly #writer: FrameWriter;
  readonly #reader: FrameReader;
  readonly #calls = new CallTable();
  readonly #deadlines: CallDeadlines;
  #waiting: WaitingCall[] = [];
  #isFlushListed = false;
  #isSendingEarly = false;
  #closeError: DaosError | undefined;
  readonly #closeListeners: ((error: DaosError) => void)[] = [];

  private constructor(socket: Socket, host: string, port: number, options: RpcConnectOptions) {
    this.host = host;
    this.port = port;
    this.#socket = socket;
    this.#clock = options.clock;
    this.#callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    this.#memory = new AnswerMemory(options.payloadBuffers ?? heapPayloadBuffers, this.#calls);
    this.#output = new OutputQueue(socket, blocks);
    this.#writer = new FrameWriter(this.#output);
    this.#reader = new FrameReader(this, options.damage);
    this.#deadlines = new CallDeadlines(options.timers, this, options.silent);
  }

  /**
   * Connects and greets. Rejects with UNAVAILABLE, TIMEOUT, CANCELED, VERSION, OVERLOADED, PROTOCOL (no server of ours),
   * or INVALID_ARGUMENT (the clocks are too far apart).
   */
  static async connect(
    network: Network,
    host: string,
    port: number,
    options: RpcConnectOptions,
  ): Promise<RpcConnection> {
    const { signal, timeoutMs = DEFAULT_CONNECT_TIMEOUT_MS } = options;
    let connection: RpcConnection | undefined;
    const open = (socket: Socket): SocketHandlers => (connection = new RpcConnection(socket, host, port, options));
    await network.connect(host, port, open, { timeoutMs, ...(signal === undefined ? {} : { signal }) });
    assert(connection !== undefined, "connected without a socket");
    try {
      const answer = await connection.call(Opcode.hello, encodeHello(options.peer ?? "daos"), undefined, {
        signal,
        timeoutMs,
      });
      connection.server = decodeHelloReply(answer.args);
      return connection;
    } catch (error) {
      const reason = connection.#closeError;
      connection.close();
      throw reason ?? error;
    }
  }

  get #address(): string {
    return `${this.host}:${this.port}`;
  }

  get isClosed(): boolean {
    return this.#closeError !== undefined;
  }

  /** Calls that have not ended. */
  get openCalls(): number {
    return this.#calls.size + this.#waiting.length;
  }

  /** Request bytes that the socket has not taken. */
  get queuedBytes(): number {
    return this.#output.queuedBytes;
  }

  /** Calls `listener` once when the connection has ended, whoever ended it; at once when it has already. */
  onClose(listener: (error: DaosError) => void): void {
    if (this.#closeError === undefined) this.#closeListeners.push(listener);
    else listener(this.#closeError);
  }

  /**
   * Sends a request; resolves with its answer, whose bytes are the caller's. A payload of OWNED_PAYLOAD_BYTES or more may
   * be sent from where it is, and so may `args` of a call that waits for room: they must not change until the call ends
   * (one that changes after an abort only damages its own request, which the server then refuses). A smaller payload is
   * copied before this returns.
   * Rejects with the server's error, or UNAVAILABLE, TIMEOUT, CANCELED (it may have happened), TOO_LARGE, PROTOCOL.
   */
  call(opcode: number, args: Uint8Array, payload?: RequestPayload, options?: RpcCallOptions): Promise<RpcAnswer> {
    return new Promise((resolve, reject) => {
      const encoder: ArgumentEncoder = { encode: (buffer, offset) => buffer.set(args, offset) };
      this.start(opcode, args.length, encoder, payload, options, new PromiseCompletion(resolve, reject));
    });
  }

  /**
   * As `call`, for those who want the answer in place, without a promise and without a copy. `encode` writes all
   * `argsLength` bytes of the arguments, usually before this returns; when it throws, nothing is sent and the call fails
   * with its DaosError, or with INVALID_ARGUMENT.
   */
  start(
    opcode: number,
    argsLength: number,
    encoder: ArgumentEncoder,
    payload: RequestPayload | undefined,
    options: RpcCallOptions | undefined,
    completion: RpcCompletion,
  ): void {
    const refusal = failures.refusalOf(this.#closeError, argsLength, payload?.length ?? 0, options?.signal);
    if (refusal !== undefined) return void RESOLVED.then(() => completion.failed(refusal, false));
    const call = new PendingCall(opcode, completion, this.#deadlines.after(options?.timeoutMs ?? this.#callTimeoutMs));
    const signal = options?.signal;
    if (signal !== undefined) call.watch(signal, () => this.#giveUp(call, failures.canceledMeanwhile(signal.reason)));
    const mapVersion = options?.mapVersion ?? 0;
    if (this.#waiting.length > 0 || this.#output.queuedBytes > MAX_CLIENT_QUEUED_BYTES) {
      this.#waiting.push({ call, argsLength, encoder, payload: keptPayload(payload), mapVersion });
      return;
    }
    if (!this.#write(call, argsLength, encoder, payload, mapVersion)) return;
    if (options?.gather === true && this.#output.queuedBytes < GATHERED_SEND_BYTES) return;
    if (this.#output.sendsEarly) this.#sendEarly();
    this.#flushSoon();
  }

  /** Gives up the call that this one waits for, with CANCELED; its answer is nobody's. Nothing happens when it has ended. */
  abandon(completion: RpcCompletion): void {
    const call = this.#open().find((open) => open.completion === completion);
    if (call !== undefined) this.#giveUp(call, failures.abandoned());
  }

  /** Sends what has gathered. */
  flush(): void {
    if (this.#output.queuedBytes > 0) this.#sendEarly();
  }

  /** Ends the connection; open calls fail with UNAVAILABLE. */
  close(): void {
    this.#end(failures.closedByUs(this.#address));
  }

  // DeadlineOwner

  expire(tick: number): number {
    let earliest = Infinity;
    for (const call of this.#open()) {
      if (call.deadlineTick > tick) {
        earliest = Math.min(earliest, call.deadlineTick);
        continue;
      }
      this.#giveUp(call, failures.noAnswer(this.#address));
    }
    this.#waiting = this.#waiting.filter((waiting) => !waiting.call.isDone);
    return earliest;
  }

  #open(): PendingCall[] {
    return [...this.#calls.list(), ...this.#waiting.map(({ call }) => call)].filter(({ isDone }) => !isDone);
  }

  // SocketHandlers

  received(bytes: Uint8Array): void {
    if (this.#closeError !== undefined) return;
    this.#deadlines.heard();
    try {
      this.#reader.read(input.hold(bytes), 0, bytes.length);
      this.#receivePayload();
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      this.#end(failures.streamLost(this.#address, error));
    }
  }

  /** What has come of a large payload besides goes straight to its place, and so do large payloads that follow it. */
  #receivePayload(): void {
    const reader = this.#reader;
    for (let room = reader.payloadRoom; room !== undefined; room = reader.payloadRoom) {
      const count = this.#socket.receive(room);
      if (count === 0) return;
      reader.filledPayload(count);
      if (reader.isInFrame || this.isClosed) continue;
      reader.read(input.frameStart, 0, this.#socket.receive(input.frameStart));
    }
  }

  drain(): void {
    this.#output.unblock();
    this.#flush();
  }

  closed(error?: Error): void {
    if (this.#isSendingEarly) {
      void RESOLVED.then(() => this.closed(error));
      return;
    }
    this.#end(failures.closedByPeer(this.#address, error));
  }

  // FrameSink

  frame(header: FrameHeader, body: FrameBody): boolean {
    const { payloadBuffer } = body;
    const call = this.#answeredCall(header);
    if (call === undefined) {
      if (payloadBuffer !== undefined) this.#memory.release(payloadBuffer);
      if ((header.flags & FrameFlag.error) !== 0 && header.requestId === 0)
        this.#end(failures.streamLost(this.#address, decodeErrorReply(body.args())));
      return this.#closeError === undefined;
    }
    if ((header.flags & FrameFlag.error) === 0) {
      this.#memory.filled();
      call.completion.answered(body);
      return this.#closeError === undefined;
    }
    if (payloadBuffer !== undefined) this.#memory.release(payloadBuffer);
    call.completion.failed(decodeErrorReply(body.args()), true);
    return this.#closeError === undefined;
  }

  refused(header: FrameHeader, error: DaosError): boolean {
    this.#answeredCall(header)?.completion.failed(failures.answerRefused(this.#address, error), true);
    return this.#closeError === undefined;
  }

  admit(): boolean {
    return true;
  }

  allocatePayload(sizeBytes: number, requestId: number): Uint8Array | undefined {
    return this.#memory.allocate(sizeBytes, requestId);
  }

  releasePayload(buffer: Uint8Array): void {
    this.#memory.release(buffer);
  }

  /** False when nothing was written, for the arguments cannot be encoded. */
  #write(
    call: PendingCall,
    argsLength: number,
    encoder: ArgumentEncoder,
    payload: RequestPayload | undefined,
    mapVersion: number,
  ): boolean {
    const { header } = this.#writer;
    header.flags = 0;
    header.opcode = call.opcode;
    header.requestId = this.#calls.add(call);
    header.mapVersion = mapVersion;
    // The wall clock is compared once; after that what was received keeps the order.
    header.epoch = call.opcode === Opcode.hello ? this.#clock.peek() : this.#clock.latest;
    try {
      this.#writer.writeEncoded(argsLength, encoder, payload);
    } catch (error) {
      this.#calls.take(call.requestId, call.opcode);
      void RESOLVED.then(() => call.fail(notEncoded(error), false));
      return false;
    }
    return true;
  }

  #flushSoon(): void {
    if (this.#isFlushListed) return;
    this.#isFlushListed = true;
    void RESOLVED.then(this.#flushListed);
  }

  /** Sends within a call: should the socket close meanwhile, nobody hears of it before the call has returned. */
  #sendEarly(): void {
    this.#isSendingEarly = true;
    this.#output.flush();
    this.#isSendingEarly = false;
  }

  readonly #flushListed = (): void => {
    this.#isFlushListed = false;
    this.#flush();
  };

  #flush(): void {
    if (this.#closeError !== undefined) return;
    this.#output.flush();
    while (this.#waiting.length > 0 && this.#output.queuedBytes <= MAX_CLIENT_QUEUED_BYTES / 2) {
      this.#writeWaiting();
      this.#output.flush();
    }
  }

  /** Writes waiting calls, in order, up to the limit. */
  #writeWaiting(): void {
    let count = 0;
    for (const { call, argsLength, encoder, payload, mapVersion } of this.#waiting) {
      if (this.#output.queuedBytes > MAX_CLIENT_QUEUED_BYTES) break;
      count += 1;
      if (!call.isDone) this.#write(call, argsLength, encoder, payload, mapVersion);
    }
    this.#waiting.splice(0, count);
  }

  /**
   * The call a frame answers, which then has ended; undefined when nobody waits for it. A frame that answers nothing we
   * asked ends the connection.
   */
  #answeredCall(header: FrameHeader): PendingCall | undefined {
    this.#clock.observe(header.epoch as Epoch);
    const { requestId } = header;
    const call = (header.flags & FrameFlag.response) === 0 ? undefined : this.#calls.take(requestId, header.opcode);
    if (call !== undefined) {
      call.end();
      return call;
    }
    const isLate = this.#calls.takeAbandoned(requestId);
    const isFarewell = requestId === 0 && (header.flags & FrameFlag.error) !== 0;
    if (!isLate && !isFarewell) this.#end(failures.strayAnswer(this.#address));
    return undefined;
  }

  #giveUp(call: PendingCall, error: DaosError): void {
    if (call.isDone) return;
    call.end();
    const wasSent = call.requestId !== 0;
    if (wasSent) this.#memory.givenUp(call, this.#reader);
    if (wasSent) this.#calls.abandon(call);
    call.completion.failed(error, wasSent);
    if (this.#calls.abandonedCount <= MAX_ABANDONED_CALLS) return;
    this.#end(failures.answersMissing(this.#address, MAX_ABANDONED_CALLS));
  }

  #end(error: DaosError): void {
    if (this.#closeError !== undefined) return;
    this.#closeError = error;
    this.#socket.terminate();
    this.#reader.discard();
    this.#output.close();
    this.#deadlines.stop();
    const calls = this.#calls.list();
    const waiting = this.#waiting;
    this.#calls.clear();
    this.#waiting = [];
    for (const call of calls) call.fail(error, true);
    for (const { call } of waiting) call.fail(error, false);
    for (const listener of this.#closeListeners) listener(error);
  }
}
