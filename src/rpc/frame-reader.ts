/**
 * Finds the frames in a stream of bytes that arrives in pieces of any size. Both ends of a connection use it.
 *
 * A frame that lies whole in one piece and is small is handed over as views of that piece: no copy. One that is cut in
 * two is collected in memory of exactly its size, which is let go with the frame; between frames a reader holds nothing.
 * A payload of OWNED_PAYLOAD_BYTES or more always gets a buffer of its own. Bodies that the sink has no memory for, or
 * that are over the limits, are skipped without being stored. Checksums are verified here.
 */
import { asBuffer } from "../base/bytes.ts";
import { crc32, crc32Range } from "../base/checksum.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { OWNED_PAYLOAD_BYTES } from "../base/limits.ts";
import { decodeFrameHeader, emptyFrameHeader, FRAME_HEADER_BYTES, type FrameHeader } from "../format/frame.ts";
import { FrameBody } from "./frame-body.ts";

/** Whom the frames are for. `header` and `body` are the reader's own, valid in the call only. */
export interface FrameSink {
  /**
   * A whole frame with a good checksum. Its bytes are valid in the call only, except that the payload buffer of a large
   * payload is the sink's from now on. False: read no further than this frame for now.
   */
  frame(header: FrameHeader, body: FrameBody): boolean;
  /** The header is good, the body is damaged (DAMAGED), over the limits (TOO_LARGE) or unwanted (OVERLOADED). */
  refused(header: FrameHeader, error: DaosError): boolean;
  /** Whether this frame's body, which has to be collected, may take its memory now. Ended by frame or refused. */
  admit(header: FrameHeader): boolean;
  /** A buffer of at least the payload's length, for the frame of this id; undefined when there is none. */
  allocatePayload(sizeBytes: number, requestId: number): Uint8Array | undefined;
  /** Takes back a buffer whose payload turned out damaged or was never completed. */
  releasePayload(buffer: Uint8Array): void;
}

/** Counts frames that failed their checksum: bytes were damaged between the peer and here. */
export interface DamageCount {
  damagedFrames: number;
}

const NOTHING = Buffer.alloc(0);

export class FrameReader {
  /** Whole frames seen so far, refused ones included. */
  framesRead = 0;
  readonly #sink: FrameSink;
  readonly #damage: DamageCount;
  readonly #header = emptyFrameHeader();
  readonly #frameBody = new FrameBody();
  /** A header that came in part; kept once made, it is small. */
  #headerBytes: Buffer | undefined;
  #headerFilled = 0;
  /** Arguments, and the payload too when it is small; undefined unless a body is being collected. */
  #body: Buffer | undefined;
  /** A large payload: its bytes follow those of #body. */
  #payload: Buffer = NOTHING;
  #payloadBuffer: Uint8Array | undefined;
  #bodyFilled = 0;
  #checksum = 0;
  /** Body bytes still to be dropped. */
  #skip = 0;
  #goOn = true;

  constructor(sink: FrameSink, damage: DamageCount = { damagedFrames: 0 }) {
    this.#sink = sink;
    this.#damage = damage;
  }

  /** A frame has begun and is not complete. */
  get isInFrame(): boolean {
    return this.#headerFilled > 0 || this.#body !== undefined || this.#skip > 0;
  }

  /** Bytes of the open frame's body so far; with `framesRead` it shows progress. */
  get bodyBytesRead(): number {
    return this.#bodyFilled;
  }

  /** The part of a large payload that has not come yet, to be filled in place; undefined when none is under way. */
  get payloadRoom(): Buffer | undefined {
    const body = this.#body;
    if (body === undefined || this.#payloadBuffer === undefined || this.#bodyFilled < body.length) return undefined;
    return this.#payload.subarray(this.#bodyFilled - body.length);
  }

  /** The first `count` bytes of `payloadRoom` have been filled. Returns false when the sink wants no further frame. */
  filledPayload(count: number): boolean {
    const body = this.#body!;
    const start = this.#bodyFilled - body.length;
    this.#goOn = true;
    this.#checksum = crc32(this.#payload.subarray(start, start + count), this.#checksum);
    this.#collected(count, body);
    return this.#goOn;
  }

  /**
   * Takes in `bytes` from `start` to `end`; returns where it stopped: `end`, unless the sink said so. Throws DAMAGED,
   * PROTOCOL or VERSION when the stream cannot be followed any more.
   */
  read(bytes: Buffer, start: number, end: number): number {
    let at = start;
    this.#goOn = true;
    while (this.#goOn && at < end) {
      if (this.#skip > 0) at = this.#skipBody(at, end);
      else if (this.#body !== undefined) at = this.#collectBody(bytes, at, end, this.#body);
      else if (this.#headerFilled > 0 || end - at < FRAME_HEADER_BYTES) at = this.#collectHeader(bytes, at, end);
      else at = this.#begin(bytes, at, bytes, at + FRAME_HEADER_BYTES, end);
    }
    return at;
  }

  /** The rest of the large payload under way goes into this buffer, not where it was begun: nobody will look at it. */
  divertPayload(buffer: Uint8Array): void {
    this.#payloadBuffer = buffer;
    this.#payload = asBuffer(buffer).subarray(0, this.#payload.length);
  }

  /** Lets go of an open frame. The reader is of no use afterwards. */
  discard(): void {
    if (this.#payloadBuffer !== undefined) this.#sink.releasePayload(this.#payloadBuffer);
    this.#payloadBuffer = undefined;
    this.#payload = NOTHING;
    this.#body = undefined;
    this.#headerFilled = 0;
    this.#skip = 0;
  }

  #collectHeader(bytes: Buffer, start: number, end: number): number {
    this.#headerBytes ??= Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES);
    const stop = Math.min(end, start + FRAME_HEADER_BYTES - this.#headerFilled);
    bytes.copy(this.#headerBytes, this.#headerFilled, start, stop);
    this.#headerFilled += stop - start;
    if (this.#headerFilled < FRAME_HEADER_BYTES) return stop;
    this.#headerFilled = 0;
    return this.#begin(this.#headerBytes, 0, bytes, stop, end);
  }

  /** Decodes the header at `headerAt`; its body starts at `at` of `bytes`. Returns where to read on. */
  #begin(headerBytes: Buffer, headerAt: number, bytes: Buffer, at: number, end: number): number {
    const header = this.#header;
    try {
      decodeFrameHeader(headerBytes, headerAt, header);
    } catch (error) {
      if (hasCode(error, "DAMAGED")) this.#damage.damagedFrames += 1;
      if (hasCode(error, "TOO_LARGE")) return this.#refuse(error, at);
      throw error;
    }
    const argumentsEnd = at + header.argumentsLength;
    const bodyEnd = argumentsEnd + header.payloadLength;
    if (header.payloadLength >= OWNED_PAYLOAD_BYTES || bodyEnd > end) return this.#beginBody(at);
    this.framesRead += 1;
    this.#deliver(bodyEnd === at ? 0 : crc32Range(bytes, at, bodyEnd), bytes, at);
    return bodyEnd;
  }

  /** Makes room for a body that is to be collected. */
  #beginBody(at: number): number {
    const { argumentsLength, payloadLength } = this.#header;
    const isLarge = payloadLength >= OWNED_PAYLOAD_BYTES;
    const isAdmitted = this.#sink.admit(this.#header);
    if (isAdmitted && isLarge) this.#payloadBuffer = this.#sink.allocatePayload(payloadLength, this.#header.requestId);
    if (!isAdmitted || (isLarge && this.#payloadBuffer === undefined)) {
      const state = "the memory for requests is in use. Try again later";
      return this.#refuse(
        new DaosError("OVERLOADED", `Cannot take in a body of ${argumentsLength + payloadLength} bytes: ${state}.`),
        at,
      );
    }
    if (this.#payloadBuffer !== undefined) this.#payload = asBuffer(this.#payloadBuffer).subarray(0, payloadLength);
    this.#body = Buffer.allocUnsafeSlow(isLarge ? argumentsLength : argumentsLength + payloadLength);
    this.#bodyFilled = 0;
    this.#checksum = 0;
    return at;
  }

  #refuse(error: DaosError, at: number): number {
    this.#skip = this.#header.argumentsLength + this.#header.payloadLength;
    this.#bodyFilled = 0;
    this.framesRead += 1;
    this.#goOn = this.#sink.refused(this.#header, error);
    return at;
  }

  #skipBody(start: number, end: number): number {
    const count = Math.min(this.#skip, end - start);
    this.#skip -= count;
    this.#bodyFilled += count;
    return start + count;
  }

  #collectBody(bytes: Buffer, start: number, end: number, body: Buffer): number {
    const inPayload = this.#bodyFilled >= body.length;
    const into = inPayload ? this.#payload : body;
    const intoAt = inPayload ? this.#bodyFilled - body.length : this.#bodyFilled;
    const count = Math.min(end - start, into.length - intoAt);
    bytes.copy(into, intoAt, start, start + count);
    this.#checksum = crc32(into.subarray(intoAt, intoAt + count), this.#checksum);
    this.#collected(count, body);
    return start + count;
  }

  #collected(count: number, body: Buffer): void {
    this.#bodyFilled += count;
    if (this.#bodyFilled === body.length + this.#payload.length) this.#finishBody(body);
  }

  #finishBody(body: Buffer): void {
    this.#body = undefined;
    this.#payload = NOTHING;
    this.framesRead += 1;
    this.#deliver(this.#checksum, body, 0);
  }

  /** The body's bytes start at `at`. */
  #deliver(checksum: number, bytes: Buffer, at: number): void {
    const buffer = this.#payloadBuffer;
    this.#payloadBuffer = undefined;
    const header = this.#header;
    if (checksum === header.bodyChecksum) {
      const body = this.#frameBody;
      body.bytes = bytes;
      body.argumentsStart = at;
      body.argumentsEnd = at + header.argumentsLength;
      body.payloadLength = header.payloadLength;
      body.payloadBuffer = buffer;
      body.checksum = checksum;
      this.#goOn = this.#sink.frame(header, body);
      // Between frames a reader holds nothing.
      body.bytes = NOTHING;
      body.payloadBuffer = undefined;
      return;
    }
    if (buffer !== undefined) this.#sink.releasePayload(buffer);
    this.#damage.damagedFrames += 1;
    const error = new DaosError(
      "DAMAGED",
      "Cannot read frame: the checksum of its body does not match. Send it again.",
    );
    this.#goOn = this.#sink.refused(this.#header, error);
  }
}
