/**
 * Where the large payloads of answers are received on one connection: in memory of the caller's, when the call names some,
 * else in a buffer. At most one payload is under way at a time. Memory of a caller is written to only while the call is
 * open: when it is given up in the middle of its answer, the rest goes elsewhere.
 */
import type { CallTable } from "./call-table.ts";
import type { FrameReader } from "./frame-reader.ts";
import { type PayloadBuffers, wholeBlocks } from "./payload-buffers.ts";
import type { PendingCall } from "./pending-call.ts";

export class AnswerMemory {
  readonly #buffers: PayloadBuffers;
  readonly #calls: CallTable;
  /** The caller's memory that is being filled, and for which call. */
  #place: Uint8Array | undefined;
  #call: PendingCall | undefined;

  constructor(buffers: PayloadBuffers, calls: CallTable) {
    this.#buffers = buffers;
    this.#calls = calls;
  }

  /** For the payload of the answer to `requestId`; undefined: no memory. */
  allocate(sizeBytes: number, requestId: number): Uint8Array | undefined {
    const call = this.#calls.find(requestId);
    const place = call?.completion.payloadPlace?.(sizeBytes);
    if (place === undefined) return this.#buffers.allocate(sizeBytes);
    this.#call = call;
    this.#place = place;
    return place;
  }

  /** The payload is complete. */
  filled(): void {
    this.#call = undefined;
    this.#place = undefined;
  }

  /** Takes back what `allocate` gave and nobody got. */
  release(buffer: Uint8Array): void {
    if (buffer === this.#place) this.filled();
    else this.#buffers.release(buffer);
  }

  /** The call ends without its answer: its memory is the caller's again. */
  givenUp(call: PendingCall, reader: FrameReader): void {
    if (this.#call !== call) return;
    const sizeBytes = this.#place!.length;
    this.filled();
    reader.divertPayload(this.#buffers.allocate(sizeBytes) ?? Buffer.allocUnsafeSlow(wholeBlocks(sizeBytes)));
  }
}
