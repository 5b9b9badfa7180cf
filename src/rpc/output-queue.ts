/**
 * Bytes on their way to one socket, in order. Small frames are encoded straight into a block from a shared pool, so
 * that all frames of one turn leave in one write; large payloads are queued by reference and never copied. A queue with
 * nothing to send holds no memory.
 *
 * It does not decide when to flush nor how much may be queued: that is its owner's.
 */
import { KIB } from "../base/limits.ts";
import type { Socket } from "../contracts/world.ts";

/** Size of a pooled block: the replies to a deep pipeline fit one. */
export const OUTPUT_BLOCK_BYTES = 128 * KIB;
/** From this size on, a write of its own costs less than a copy into the block. */
export const OUTPUT_REFERENCE_BYTES = 64 * KIB;
/**
 * With so much queued it pays to send before the turn ends: the peer works on it while the rest is made. Without it both
 * ends of a deep pipeline take turns (256 requests in flight: 175 k instead of 255 k gets a second on two cores).
 */
const EARLY_SEND_BYTES = 8 * KIB;
/** Frames of 4 KiB would go two at a time: a system call for two is dear, so there are as many, or so many bytes. */
const EARLY_SEND_FRAMES = 8;
const EARLY_SEND_MOST_BYTES = 64 * KIB;
/**
 * Requests that gather for a common send leave when they are so many: the peer has enough to work on, and they fit a block.
 */
export const GATHERED_SEND_BYTES = 96 * KIB;
/** Blocks a pool keeps for reuse. */
const MAX_FREE_BLOCKS = 16;

/** Blocks shared by all connections of a listener or client. */
export class OutputBlocks {
  readonly #free: Buffer[] = [];

  take(sizeBytes: number): Buffer {
    if (sizeBytes > OUTPUT_BLOCK_BYTES) return Buffer.allocUnsafeSlow(sizeBytes);
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(OUTPUT_BLOCK_BYTES);
  }

  give(block: Buffer): void {
    if (block.length === OUTPUT_BLOCK_BYTES && this.#free.length < MAX_FREE_BLOCKS) this.#free.push(block);
  }
}

/** What is sent ahead of the open block: a full block, or bytes of someone else with what tells him they are sent. */
interface Segment {
  readonly bytes: Uint8Array;
  readonly block: Buffer | undefined;
  readonly released: (() => void) | undefined;
}

export class OutputQueue {
  /** Bytes not yet taken by the socket. */
  queuedBytes = 0;
  /** Frames that were queued since the last `flush`. */
  queuedFrames = 0;
  /** Bytes taken by the socket so far. */
  sentBytes = 0;
  /** The block that `reserve` gave room in, valid until the next call of any method. */
  block: Buffer | undefined;
  readonly #socket: Socket;
  readonly #blocks: OutputBlocks;
  #blockStart = 0;
  #blockEnd = 0;
  #segments: Segment[] = [];
  #segmentOffset = 0;
  /** The socket took less than it was given: wait for its drain. */
  #isBlocked = false;
  #isClosed = false;

  constructor(socket: Socket, blocks: OutputBlocks) {
    this.#socket = socket;
    this.#blocks = blocks;
  }

  /**
   * Room for `sizeBytes`; returns its offset in `block`. The caller fills all of it before anything else happens. After
   * `close` what is written there goes nowhere.
   */
  reserve(sizeBytes: number): number {
    if (this.#isClosed) {
      this.block = Buffer.allocUnsafeSlow(sizeBytes);
      return 0;
    }
    if (this.block === undefined || this.block.length - this.#blockEnd < sizeBytes) {
      this.#seal();
      this.block = this.#blocks.take(sizeBytes);
    }
    const offset = this.#blockEnd;
    this.#blockEnd = offset + sizeBytes;
    this.queuedBytes += sizeBytes;
    return offset;
  }

  /** Takes back the room that the last call, a `reserve` of so many bytes, gave. */
  unreserve(sizeBytes: number): void {
    if (this.#isClosed) return;
    this.#blockEnd -= sizeBytes;
    this.queuedBytes -= sizeBytes;
    if (this.#blockEnd > this.#blockStart) return;
    this.#blocks.give(this.block!);
    this.block = undefined;
    this.#blockStart = 0;
    this.#blockEnd = 0;
  }

  /**
   * Queues bytes by reference: they must not change until `released` is called, which happens once, when the socket has
   * taken them or is closed.
   */
  append(bytes: Uint8Array, released: (() => void) | undefined): void {
    if (this.#isClosed) {
      released?.();
      return;
    }
    this.#seal();
    this.#segments.push({ bytes, block: undefined, released });
    this.queuedBytes += bytes.length;
  }

  /** Whether it pays to send before the turn ends. */
  get sendsEarly(): boolean {
    if (this.queuedBytes < EARLY_SEND_BYTES) return false;
    return this.queuedFrames >= EARLY_SEND_FRAMES || this.queuedBytes >= EARLY_SEND_MOST_BYTES;
  }

  /** Gives the socket what it takes. False when bytes are left: unblock on its drain. */
  flush(): boolean {
    this.queuedFrames = 0;
    if (this.#isBlocked) return false;
    if (this.#segments.length > 0 && !this.#flushSegments()) return false;
    const block = this.block;
    if (block === undefined) return true;
    const wanted = this.#blockEnd - this.#blockStart;
    const taken = this.#socket.write(block.subarray(this.#blockStart, this.#blockEnd));
    if (this.#isClosed) return false;
    if (taken < wanted) {
      this.#took(Math.max(taken, 0));
      this.#blockStart += Math.max(taken, 0);
      this.#isBlocked = true;
      return false;
    }
    this.#took(wanted);
    this.#blocks.give(block);
    this.block = undefined;
    this.#blockStart = 0;
    this.#blockEnd = 0;
    return true;
  }

  /** The socket takes bytes again: `flush` may go on. */
  unblock(): void {
    if (!this.#isClosed) this.#isBlocked = false;
  }

  /** Drops everything. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isBlocked = true;
    this.#seal();
    const segments = this.#segments;
    this.#segments = [];
    this.queuedBytes = 0;
    for (const segment of segments) this.#release(segment);
  }

  /** Makes the open block the last segment. */
  #seal(): void {
    if (this.block === undefined) return;
    const bytes = this.block.subarray(this.#blockStart, this.#blockEnd);
    this.#segments.push({ bytes, block: this.block, released: undefined });
    this.block = undefined;
    this.#blockStart = 0;
    this.#blockEnd = 0;
  }

  #flushSegments(): boolean {
    let done = 0;
    for (const segment of this.#segments) {
      const rest = this.#segmentOffset === 0 ? segment.bytes : segment.bytes.subarray(this.#segmentOffset);
      const taken = this.#socket.write(rest);
      if (this.#isClosed) return false;
      this.#took(Math.max(taken, 0));
      if (taken < rest.length) {
        this.#segmentOffset += Math.max(taken, 0);
        this.#isBlocked = true;
        break;
      }
      this.#segmentOffset = 0;
      done += 1;
    }
    for (const segment of this.#segments.splice(0, done)) this.#release(segment);
    return !this.#isBlocked;
  }

  #took(count: number): void {
    this.queuedBytes -= count;
    this.sentBytes += count;
  }

  #release(segment: Segment): void {
    if (segment.block !== undefined) this.#blocks.give(segment.block);
    segment.released?.();
  }
}
