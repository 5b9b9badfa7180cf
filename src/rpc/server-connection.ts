/**
 * The server's end of one connection: frames in, requests to the handler, replies out.
 *
 * Replies given while a received chunk is handled leave in one write at its end, later ones with those of the same turn,
 * or sooner when they are many.
 * A connection over its limits is not read from until half of what it holds is gone; bytes already received wait. What
 * the peer does wrong ends as an error reply, or as an error frame with request id 0 and the end of the connection.
 */
import { asBuffer } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { FRAME_PROGRESS_BYTES } from "../base/limits.ts";
import type { Socket, SocketHandlers } from "../contracts/world.ts";
import { encodeErrorReply } from "../format/error-reply.ts";
import { FrameFlag, type FrameHeader } from "../format/frame.ts";
import { Opcode } from "../format/operations.ts";
import { FlowControl } from "./flow-control.ts";
import type { FrameBody } from "./frame-body.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { FrameWriter } from "./frame-writer.ts";
import { answerHello } from "./hello.ts";
import type { ListenerState } from "./listener-state.ts";
import { OutputQueue } from "./output-queue.ts";
import { type ReplyChannel, RpcReply, RpcRequest, type RpcPeer } from "./request.ts";
import { StallWatch } from "./stall-watch.ts";

/** Time for the last frame to reach a peer that does not close, ticks. */
const LINGER_TICKS = 5;
const NOTHING = Buffer.alloc(0);

export class ServerConnection implements SocketHandlers, FrameSink, ReplyChannel, RpcPeer {
  readonly remoteAddress: string;
  readonly writer: FrameWriter;
  session: unknown = undefined;
  isClosed = false;
  readonly #state: ListenerState;
  readonly #socket: Socket;
  readonly #onClosed: (connection: ServerConnection) => void;
  readonly #output: OutputQueue;
  readonly #reader: FrameReader;
  readonly #flow: FlowControl;
  #isGreeted = false;
  /** The last frame is queued: nothing more is read, and the socket ends when all is sent. */
  #isEnding = false;
  #isEnded = false;
  /** No request is taken in any more; those that run are replied to. */
  #isStopping = false;
  /** In `received`: replies are sent at its end. */
  #isReading = false;
  #isListedDirty = false;
  /** Over a limit: no request is taken in. */
  #isPaused = false;
  /** Received bytes that wait for the pause to end. */
  #waiting: Buffer | undefined;
  readonly #readWatch = new StallWatch();
  readonly #sendWatch = new StallWatch();
  #endTick = 0;

  constructor(state: ListenerState, socket: Socket, onClosed: (connection: ServerConnection) => void) {
    this.#state = state;
    this.#socket = socket;
    this.#onClosed = onClosed;
    this.remoteAddress = socket.remoteAddress;
    this.#output = new OutputQueue(socket, state.blocks);
    this.writer = new FrameWriter(this.#output);
    this.#reader = new FrameReader(this);
    this.#flow = new FlowControl(state);
  }

  received(bytes: Uint8Array): void {
    this.#state.counters.receivedBytes += bytes.length;
    if (this.#isEnding || this.isClosed) return;
    if (this.#isPaused) this.#keepWaiting(asBuffer(bytes), 0, bytes.length, false);
    else {
      this.#takeIn(this.#state.input.hold(bytes), 0, bytes.length, false);
      this.#receivePayload();
    }
  }

  /** What has come of a large payload besides goes straight to its place, and so do large payloads that follow it. */
  #receivePayload(): void {
    while (this.#isOpen) {
      const room = this.#reader.payloadRoom;
      const count = room === undefined ? 0 : this.#socket.receive(room);
      if (count === 0) return;
      this.#state.counters.receivedBytes += count;
      this.#readingFrames(() => this.#reader.filledPayload(count));
      this.#framesRead(NOTHING, 0, 0, true);
      if (this.#isOpen && !this.#reader.isInFrame) this.#receiveFrameStart();
    }
  }

  #receiveFrameStart(): void {
    const { frameStart } = this.#state.input;
    const count = this.#socket.receive(frameStart);
    this.#state.counters.receivedBytes += count;
    this.#takeIn(frameStart, 0, count, false);
  }

  /** Bytes may be taken in now. */
  get #isOpen(): boolean {
    return !this.#isPaused && !this.#isEnding && !this.isClosed;
  }

  drain(): void {
    this.#output.unblock();
    this.flush();
  }

  closed(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#reader.discard();
    this.#output.close();
    this.#waiting = undefined;
    this.#flow.close();
    this.#onClosed(this);
    this.#state.handler.connectionClosed?.(this);
  }

  terminate(): void {
    if (this.isClosed) return;
    this.#socket.terminate();
    this.closed();
  }

  /** Sends what is queued, takes up reading again where the limits allow it, and ends an ending connection. */
  flush(): void {
    this.#isListedDirty = false;
    if (this.isClosed) return;
    this.#send();
    if (this.#isEnding) {
      if (this.#output.queuedBytes === 0) this.#endSocket();
      return;
    }
    if (this.#isStopping && this.#flow.inflightRequests === 0) {
      this.#end();
      return;
    }
    if (this.#isPaused && !this.#isStopping && this.#flow.isLow(this.#output.queuedBytes)) this.#resume();
  }

  /**
   * Says why and ends the connection: an error frame with request id 0, as far as the peer takes it. Replies given later
   * are dropped.
   */
  cut(error: DaosError): void {
    if (this.#isEnding || this.isClosed) return;
    this.#state.counters.cuts += 1;
    this.prepareReply(FrameFlag.response | FrameFlag.error, 0, 0);
    this.writer.write(encodeErrorReply(error), NOTHING, undefined);
    this.#end();
  }

  /** Takes in no more; ends the connection when what runs is replied to. */
  stop(): void {
    if (this.isClosed || this.#isEnding || this.#isStopping) return;
    this.#isStopping = true;
    if (!this.#isPaused) this.#socket.pause();
    this.#isPaused = true;
    this.#waiting = undefined;
    if (!this.#isReading) this.flush();
  }

  /** Called about every second with a count that goes up: cuts what stalls. */
  tick(tick: number, tickMs: number): void {
    const { limits } = this.#state;
    if (this.#isEnding) {
      if (this.#endTick === 0) this.#endTick = tick;
      else if (tick - this.#endTick > LINGER_TICKS) this.terminate();
      return;
    }
    const queuedBytes = this.#output.queuedBytes;
    const isFull = queuedBytes > 0 && (this.#isPaused || this.#flow.isPressed(queuedBytes));
    if (this.#sendWatch.isStalled(isFull, 0, this.#output.sentBytes, tick, limits.clientStallTimeoutMs / tickMs)) {
      this.#state.counters.cuts += 1;
      this.terminate();
      return;
    }
    const { framesRead, bodyBytesRead, isInFrame } = this.#reader;
    const progress = Math.floor(bodyBytesRead / FRAME_PROGRESS_BYTES);
    const isOpen = isInFrame && !this.#isPaused;
    if (this.#readWatch.isStalled(isOpen, framesRead, progress, tick, limits.frameStallTimeoutMs / tickMs)) {
      this.cut(new DaosError("TIMEOUT", "Cannot read request: the rest of its frame does not come. Connect again."));
    }
  }

  // FrameSink

  frame(header: FrameHeader, body: FrameBody): boolean {
    const { opcode, requestId } = header;
    const state = this.#state;
    this.#flow.endCollecting();
    if (header.flags !== 0 || requestId === 0) {
      if (body.payloadBuffer !== undefined) state.payloadBuffers.release(body.payloadBuffer);
      this.cut(new DaosError("PROTOCOL", "Cannot read request: it is marked as a reply or has request id 0."));
      return false;
    }
    const heldBytes = header.argumentsLength + header.payloadLength;
    state.counters.requests += 1;
    this.#flow.begin(heldBytes);
    const reply = new RpcReply(this, opcode, requestId, heldBytes);
    if (this.#isGreeted && opcode > Opcode.ping && state.clock.observe(header.epoch as Epoch)) {
      const epoch = header.epoch as Epoch;
      this.#handle(new RpcRequest(opcode, requestId, header.mapVersion, epoch, this, body), reply);
    } else {
      this.#handleHere(header, body, reply);
    }
    return this.#mayReadOn();
  }

  refused(header: FrameHeader, error: DaosError): boolean {
    this.#flow.endCollecting();
    const isMissed = this.#state.handler.mayMiss?.(this, header.opcode) === false;
    if (header.flags !== 0 || header.requestId === 0 || isMissed) {
      this.cut(error);
      return false;
    }
    this.#flow.begin(0);
    new RpcReply(this, header.opcode, header.requestId, 0).fail(error);
    return this.#mayReadOn();
  }

  admit(header: FrameHeader): boolean {
    return this.#flow.collect(header.argumentsLength + header.payloadLength);
  }

  allocatePayload(sizeBytes: number): Uint8Array | undefined {
    return this.#state.payloadBuffers.allocate(sizeBytes);
  }

  releasePayload(buffer: Uint8Array): void {
    this.#state.payloadBuffers.release(buffer);
  }

  // ReplyChannel

  prepareReply(flags: number, opcode: number, requestId: number): void {
    const { header } = this.writer;
    header.flags = flags;
    header.opcode = opcode;
    header.requestId = requestId;
    header.epoch = this.#state.clock.latest;
    if ((flags & FrameFlag.error) !== 0) this.#state.counters.failures += 1;
  }

  replied(heldBytes: number): void {
    if (this.isClosed) return;
    this.#flow.end(heldBytes);
    if (this.#output.sendsEarly) this.#send();
    if (this.#isReading || this.#isListedDirty) return;
    this.#isListedDirty = true;
    this.#state.flushSoon(this);
  }

  held(bytes: number): void {
    if (this.isClosed) return;
    this.#flow.hold(bytes);
  }

  /** Reads no more; once what is queued is sent, the socket ends. */
  #end(): void {
    this.#isEnding = true;
    this.#waiting = undefined;
    this.#reader.discard();
    this.#flow.endCollecting();
    if (this.#isPaused) this.#socket.resume();
    this.#isPaused = false;
    if (!this.#isReading) this.flush();
  }

  #handle(request: RpcRequest, reply: RpcReply): void {
    try {
      this.#state.handler.handle(request, reply);
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      reply.fail(error);
    }
  }

  /** Hello, ping, and requests that are refused before the handler hears of them. */
  #handleHere(header: FrameHeader, body: FrameBody, reply: RpcReply): void {
    const { clock, payloadBuffers, role, software } = this.#state;
    const { payloadBuffer } = body;
    const release = payloadBuffer === undefined ? undefined : (): void => payloadBuffers.release(payloadBuffer);
    if (!clock.observe(header.epoch as Epoch)) {
      release?.();
      const aheadSeconds = Math.round((header.epoch - clock.peek()) / 1e6);
      const advice = "Synchronise the clocks of client and server";
      reply.fail(
        new DaosError(
          "INVALID_ARGUMENT",
          `Cannot take request: the client's clock is ${aheadSeconds} s ahead. ${advice}.`,
        ),
      );
      return;
    }
    if (header.opcode === Opcode.ping && this.#isGreeted) {
      reply.send(NOTHING, body.payload(), release);
      return;
    }
    release?.();
    if (header.opcode === Opcode.hello && !this.#isGreeted) this.#greet(body.args(), reply, role, software);
    else if (header.opcode === Opcode.hello)
      reply.fail(new DaosError("PROTOCOL", "Cannot greet client: it has said hello before."));
    else if (!this.#isGreeted)
      reply.fail(new DaosError("PROTOCOL", "Cannot take request: the connection's first request must be hello."));
    else reply.fail(new DaosError("UNSUPPORTED", `Cannot take request: operation ${header.opcode} is not known.`));
  }

  #greet(args: Buffer, reply: RpcReply, role: "management" | "target", software: string): void {
    try {
      const answer = answerHello(args, role, software);
      this.#isGreeted = true;
      reply.send(answer);
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      reply.fail(error);
    }
  }

  /** Takes in frames until the bytes end or a limit is met; the rest then waits. `isOwn`: the bytes may be kept. */
  #takeIn(bytes: Buffer, start: number, end: number, isOwn: boolean): void {
    let at = start;
    while (at < end) {
      at = this.#readingFrames(() => this.#reader.read(bytes, at, end)) ?? end;
      if (!this.#framesRead(bytes, at, end, isOwn)) return;
    }
  }

  /** Sends the replies to the frames just read. False when reading is over for now: the rest of the bytes waits. */
  #framesRead(bytes: Buffer, at: number, end: number, isOwn: boolean): boolean {
    if (this.#isEnding || this.isClosed) {
      if (this.#isEnding) this.flush();
      return false;
    }
    this.#send();
    if (!this.#isOverLimit()) return true;
    this.#isPaused = true;
    this.#socket.pause();
    if (at < end) this.#keepWaiting(bytes, at, end, isOwn);
    return false;
  }

  /** Undefined when the stream cannot be followed any more: the connection is cut. */
  #readingFrames<T>(read: () => T): T | undefined {
    this.#isReading = true;
    try {
      return read();
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      this.cut(error);
      return undefined;
    } finally {
      this.#isReading = false;
    }
  }

  #keepWaiting(bytes: Buffer, at: number, end: number, isOwn: boolean): void {
    const rest = bytes.subarray(at, end);
    if (this.#waiting !== undefined) this.#waiting = Buffer.concat([this.#waiting, rest]);
    else this.#waiting = isOwn ? rest : Buffer.from(rest);
  }

  #mayReadOn(): boolean {
    return !this.#isEnding && !this.isClosed && !this.#isOverLimit();
  }

  #isOverLimit(): boolean {
    return this.#isStopping || this.#flow.isOver(this.#output.queuedBytes);
  }

  #resume(): void {
    this.#isPaused = false;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.#takeIn(waiting, 0, waiting.length, true);
    if (!this.#isPaused && !this.isClosed) this.#socket.resume();
  }

  #send(): void {
    const output = this.#output;
    const sentBytes = output.sentBytes;
    output.flush();
    this.#state.counters.sentBytes += output.sentBytes - sentBytes;
    if (this.isClosed) return;
    this.#flow.queued(output.queuedBytes);
  }

  #endSocket(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#output.close();
    this.#socket.end();
  }
}
