/**
 * Writes frames to an output queue: arguments are encoded in place behind room left for the header, which is filled in
 * last, when the checksum is known. Both ends of a connection use it.
 */
import { assert } from "../base/assert.ts";
import { crc32, crc32Range } from "../base/checksum.ts";
import { joinChecksums } from "../base/checksum-join.ts";
import { MAX_FRAME_ARGUMENTS_BYTES, MAX_FRAME_BODY_BYTES } from "../base/limits.ts";
import { emptyFrameHeader, encodeFrameHeader, FRAME_HEADER_BYTES } from "../format/frame.ts";
import { OUTPUT_REFERENCE_BYTES, type OutputQueue } from "./output-queue.ts";
import type { ArgumentEncoder, RequestPayload, SummedPayload } from "./pending-call.ts";

const NO_FRAME = -1;

/** Whether a frame may be this large. */
export function fitsFrame(argumentsBytes: number, payloadBytes: number): boolean {
  return argumentsBytes <= MAX_FRAME_ARGUMENTS_BYTES && argumentsBytes + payloadBytes <= MAX_FRAME_BODY_BYTES;
}

export class FrameWriter {
  readonly #output: OutputQueue;
  /** What the next frame's header says: the caller sets flags, opcode, requestId, mapVersion and epoch before `finish`. */
  readonly header = emptyFrameHeader();
  #frameAt = NO_FRAME;
  #inlineBytes = 0;

  constructor(output: OutputQueue) {
    this.#output = output;
  }

  /** Where the bytes of the frame begun last are to be put. */
  get block(): Buffer {
    return this.#output.block!;
  }

  /**
   * Begins a frame whose arguments and, behind them, first payload bytes the caller writes to `block` from the returned
   * offset on. `finish` or `abandon` must follow before anything else is written to the connection.
   */
  start(argumentsBytes: number, payloadBytes: number): number {
    assert(this.#frameAt === NO_FRAME, "a frame is begun while another is open");
    this.header.argumentsLength = argumentsBytes;
    this.header.payloadLength = payloadBytes;
    this.#inlineBytes = argumentsBytes + payloadBytes;
    this.#frameAt = this.#output.reserve(FRAME_HEADER_BYTES + this.#inlineBytes);
    return this.#frameAt + FRAME_HEADER_BYTES;
  }

  /**
   * Ends the frame. `checksum`: CRC-32 that the payload must have; false when it has another one, and there is no frame then.
   */
  finish(checksum?: number): boolean {
    const bodyAt = this.#frameAt + FRAME_HEADER_BYTES;
    const { block, header } = this;
    const bodyChecksum = this.#inlineBytes === 0 ? 0 : crc32Range(block, bodyAt, bodyAt + this.#inlineBytes);
    if (checksum !== undefined && bodyChecksum !== this.#joined(checksum, header.payloadLength)) {
      this.abandon();
      return false;
    }
    header.bodyChecksum = bodyChecksum;
    encodeFrameHeader(block, this.#frameAt, header);
    this.#frameAt = NO_FRAME;
    this.#output.queuedFrames += 1;
    return true;
  }

  /** CRC-32 of the arguments as they were written in place, and behind them a payload of this one. */
  #joined(checksum: number, payloadBytes: number): number {
    const bodyAt = this.#frameAt + FRAME_HEADER_BYTES;
    return joinChecksums(crc32Range(this.block, bodyAt, bodyAt + this.header.argumentsLength), checksum, payloadBytes);
  }

  /**
   * Ends the frame with `payload` behind what was written in place, sent from where it is: it must not change until
   * `released` is called, once, when the socket has taken it or the connection is closed. `checksum`: the payload's CRC-32,
   * when the caller has it.
   */
  finishWith(payload: Uint8Array, released: (() => void) | undefined, checksum?: number): void {
    const before = this.#inlineChecksum();
    const joined = checksum === undefined ? crc32(payload, before) : joinChecksums(before, checksum, payload.length);
    this.#endHeader(payload.length, joined);
    this.#output.append(payload, released);
  }

  #inlineChecksum(): number {
    const bodyAt = this.#frameAt + FRAME_HEADER_BYTES;
    return crc32Range(this.block, bodyAt, bodyAt + this.#inlineBytes);
  }

  /** `moreBytes` of the payload follow what was written in place. */
  #endHeader(moreBytes: number, bodyChecksum: number): void {
    this.header.payloadLength += moreBytes;
    this.header.bodyChecksum = bodyChecksum;
    encodeFrameHeader(this.block, this.#frameAt, this.header);
    this.#frameAt = NO_FRAME;
    this.#output.queuedFrames += 1;
  }

  /** Drops the frame begun, as if it had never been. */
  abandon(): void {
    this.#frameAt = NO_FRAME;
    this.#output.unreserve(FRAME_HEADER_BYTES + this.#inlineBytes);
  }

  /**
   * One whole frame whose arguments `encoder` writes in place, all `argumentsBytes` of them. A large payload is sent from
   * where it is and must not change meanwhile. When it throws, so does this, and nothing is written.
   */
  writeEncoded(argumentsBytes: number, encoder: ArgumentEncoder, payload: RequestPayload | undefined): void {
    if (payload === undefined || payload instanceof Uint8Array) this.#writeWhole(argumentsBytes, encoder, payload);
    else this.#writeSummed(argumentsBytes, encoder, payload);
  }

  #writeSummed(argumentsBytes: number, encoder: ArgumentEncoder, payload: SummedPayload): void {
    const { length, views, checksum } = payload;
    const byReference = length >= OUTPUT_REFERENCE_BYTES;
    const at = this.start(argumentsBytes, byReference ? 0 : length);
    this.#encode(at, encoder);
    // The peer holds what arrives against the checksum that the bytes had where they come from.
    const bodyChecksum = this.#joined(checksum, length);
    if (byReference) {
      this.#endHeader(length, bodyChecksum);
      for (const view of views) this.#output.append(view, undefined);
      return;
    }
    let position = at + argumentsBytes;
    for (const view of views) {
      this.block.set(view, position);
      position += view.length;
    }
    this.#endHeader(0, bodyChecksum);
  }

  #encode(at: number, encoder: ArgumentEncoder): void {
    try {
      encoder.encode(this.block, at);
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  #writeWhole(argumentsBytes: number, encoder: ArgumentEncoder, payload: Uint8Array | undefined): void {
    const payloadBytes = payload === undefined ? 0 : payload.length;
    const byReference = payloadBytes >= OUTPUT_REFERENCE_BYTES;
    const at = this.start(argumentsBytes, byReference ? 0 : payloadBytes);
    this.#encode(at, encoder);
    if (!byReference && payloadBytes > 0) this.block.set(payload!, at + argumentsBytes);
    if (byReference) this.finishWith(payload!, undefined);
    else this.finish();
  }

  /**
   * One whole frame. A large payload is sent from where it is, as in `finishWith`; else `released` is called at once.
   * `checksum`: the payload's CRC-32, when the caller has it; false when the payload, copied, has another one, and there is no
   * frame then.
   */
  write(args: Uint8Array, payload: Uint8Array, released: (() => void) | undefined, checksum?: number): boolean {
    const byReference = payload.length >= OUTPUT_REFERENCE_BYTES;
    const at = this.start(args.length, byReference ? 0 : payload.length);
    if (args.length > 0) this.block.set(args, at);
    if (byReference) {
      this.finishWith(payload, released, checksum);
      return true;
    }
    if (payload.length > 0) this.block.set(payload, at + args.length);
    const isGood = this.finish(checksum);
    released?.();
    return isGood;
  }
}
