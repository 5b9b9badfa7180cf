/**
 * What a server's handler is given: a request, and the reply to it. Replies may come in any order and at any later time;
 * one to a connection that has closed meanwhile goes nowhere. Every request must be replied to once: until then it
 * counts against its connection's limits.
 */
import { assert } from "../base/assert.ts";
import { asBuffer } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_FRAME_BODY_BYTES } from "../base/limits.ts";
import { encodeErrorReply } from "../format/error-reply.ts";
import { FrameFlag } from "../format/frame.ts";
import type { FrameBody } from "./frame-body.ts";
import { fitsFrame, type FrameWriter } from "./frame-writer.ts";
import { retainedBytes } from "./retained-bytes.ts";

const NOTHING = Buffer.alloc(0);

export interface RpcHandler {
  /** Must not throw but DaosError, which becomes the reply. Answers through `reply`, now or later. */
  handle(request: RpcRequest, reply: RpcReply): void;
  /** Whether the connection may go on when a request of this kind is refused unread. */
  mayMiss?(peer: RpcPeer, opcode: number): boolean;
  /** The connection is gone: drop what was kept for it. */
  connectionClosed?(peer: RpcPeer): void;
}

/** A connection as handlers see it. */
export interface RpcPeer {
  readonly remoteAddress: string;
  readonly isClosed: boolean;
  /** The handler's own, such as what this client has attached. */
  session: unknown;
  /** Cuts the connection. */
  terminate(): void;
}

/** A request. Its bytes are valid until the handler returns, unless retained. */
export class RpcRequest {
  readonly opcode: number;
  readonly requestId: number;
  readonly mapVersion: number;
  /** The sender's clock. */
  readonly epoch: Epoch;
  readonly connection: RpcPeer;
  readonly argumentsLength: number;
  readonly payloadLength: number;
  /** Holds the arguments from `argumentsStart` on, and behind them a payload that has no buffer of its own. */
  bytes: Buffer;
  argumentsStart: number;
  /**
   * Of a payload of OWNED_PAYLOAD_BYTES or more: the buffer whose prefix it is. The handler owns it and gives it back to
   * the server's payload buffers when done.
   */
  readonly payloadBuffer: Uint8Array | undefined;
  #payload: Buffer | undefined = undefined;
  #isRetained = false;

  constructor(
    opcode: number,
    requestId: number,
    mapVersion: number,
    epoch: Epoch,
    connection: RpcPeer,
    body: FrameBody,
  ) {
    this.opcode = opcode;
    this.requestId = requestId;
    this.mapVersion = mapVersion;
    this.epoch = epoch;
    this.connection = connection;
    this.argumentsLength = body.argumentsEnd - body.argumentsStart;
    this.payloadLength = body.payloadLength;
    this.bytes = body.bytes;
    this.argumentsStart = body.argumentsStart;
    this.payloadBuffer = body.payloadBuffer;
  }

  /** A view of the arguments. */
  get args(): Buffer {
    return this.bytes.subarray(this.argumentsStart, this.argumentsStart + this.argumentsLength);
  }

  /** A view of the payload, always the same one. */
  get payload(): Buffer {
    this.#payload ??= this.#viewPayload();
    return this.#payload;
  }

  #viewPayload(): Buffer {
    const { payloadLength } = this;
    if (payloadLength === 0) return NOTHING;
    if (this.payloadBuffer !== undefined) return asBuffer(this.payloadBuffer).subarray(0, payloadLength);
    const start = this.argumentsStart + this.argumentsLength;
    return this.bytes.subarray(start, start + payloadLength);
  }

  get payloadOwned(): boolean {
    return this.payloadBuffer !== undefined;
  }

  /** Makes the bytes valid for as long as the request is kept: copies what is not owned. */
  retain(): void {
    if (this.#isRetained) return;
    this.#isRetained = true;
    const length = this.argumentsLength + (this.payloadBuffer === undefined ? this.payloadLength : 0);
    this.bytes = retainedBytes(this.bytes, this.argumentsStart, length);
    this.argumentsStart = 0;
    this.#payload = undefined;
  }
}

/** What a reply needs of its connection. */
export interface ReplyChannel {
  readonly isClosed: boolean;
  readonly writer: FrameWriter;
  /** Completes the writer's header for a reply. */
  prepareReply(flags: number, opcode: number, requestId: number): void;
  /** A reply was written; its request no longer holds `heldBytes`. */
  replied(heldBytes: number): void;
  /** A request holds that much more memory. */
  held(bytes: number): void;
}

/** The reply to one request: `send`, `start` with `finish`, or `fail`, once. */
export class RpcReply {
  readonly #channel: ReplyChannel;
  readonly #opcode: number;
  readonly #requestId: number;
  #heldBytes: number;
  #isDone = false;

  /** `heldBytes`: what the request counts against its connection's limit. */
  constructor(channel: ReplyChannel, opcode: number, requestId: number, heldBytes: number) {
    this.#channel = channel;
    this.#opcode = opcode;
    this.#requestId = requestId;
    this.#heldBytes = heldBytes;
  }

  /** True when nobody waits for this reply any more. */
  get isVain(): boolean {
    return this.#channel.isClosed;
  }

  /**
   * Counts memory that the request will take until it is replied to, such as the data a read will return, so that a
   * client which asks for much is made to wait. Counted at most as much as a reply can be, so it may be called with what
   * the client claims.
   */
  hold(bytes: number): void {
    const counted = Math.min(bytes, MAX_FRAME_BODY_BYTES);
    this.#heldBytes += counted;
    this.#channel.held(counted);
  }

  /**
   * Sends arguments and payload. Both are copied, except a payload of OUTPUT_REFERENCE_BYTES or more: that must not
   * change until `released` is called, which happens exactly once in every case. A reply that does not fit a frame
   * becomes the error TOO_LARGE. `checksum`: the payload's CRC-32, when the caller has it.
   */
  send(args: Uint8Array, payload: Uint8Array = NOTHING, released?: () => void, checksum?: number): void {
    if (!fitsFrame(args.length, payload.length)) {
      released?.();
      this.fail(
        new DaosError(
          "TOO_LARGE",
          `Cannot answer: ${args.length + payload.length} bytes are over a frame's limit. Ask for less at once.`,
        ),
      );
      return;
    }
    this.#begin(FrameFlag.response);
    this.#channel.writer.write(args, payload, released, checksum);
    this.#channel.replied(this.#heldBytes);
  }

  /**
   * Begins a reply that is encoded in place: the caller writes `argsBytes` and then `payloadBytes` to `block` from the
   * returned offset on, and calls `finish` before anything else happens on the connection. Sizes must fit a frame.
   */
  start(argsBytes: number, payloadBytes: number): number {
    assert(fitsFrame(argsBytes, payloadBytes), "reply over the size of a frame");
    this.#begin(FrameFlag.response);
    return this.#channel.writer.start(argsBytes, payloadBytes);
  }

  get block(): Buffer {
    return this.#channel.writer.block;
  }

  finish(): void {
    this.#channel.writer.finish();
    this.#channel.replied(this.#heldBytes);
  }

  /** As `finish`, with a large payload behind what was encoded, by reference as in `send`. */
  finishWith(payload: Uint8Array, released?: () => void): void {
    this.#channel.writer.finishWith(payload, released);
    this.#channel.replied(this.#heldBytes);
  }

  /** Sends the error. */
  fail(error: DaosError): void {
    this.#begin(FrameFlag.response | FrameFlag.error);
    this.#channel.writer.write(encodeErrorReply(error), NOTHING, undefined);
    this.#channel.replied(this.#heldBytes);
  }

  #begin(flags: number): void {
    assert(!this.#isDone, "a request is replied to twice");
    this.#isDone = true;
    this.#channel.prepareReply(flags, this.#opcode, this.#requestId);
  }
}
