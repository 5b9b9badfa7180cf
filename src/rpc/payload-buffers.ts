/**
 * Where large payloads are received. A payload of OWNED_PAYLOAD_BYTES or more is reassembled straight into a buffer of
 * its own that the receiver keeps as long as it likes, so that it can go on to a device without another copy. A target
 * injects its device's aligned buffers here; elsewhere plain memory serves.
 */
import { BLOCK_BYTES, MIB, OWNED_PAYLOAD_BYTES } from "../base/limits.ts";

/** Memory that a HeapPayloadBuffers keeps for reuse, bytes. */
const MAX_FREE_BYTES = 64 * MIB;

export interface PayloadBuffers {
  /** At least `sizeBytes`; the payload becomes its prefix. Undefined: no memory now, the request fails OVERLOADED. */
  allocate(sizeBytes: number): Uint8Array | undefined;
  /** Gives back what `allocate` gave, once. */
  release(buffer: Uint8Array): void;
}

/** Ordinary memory in whole blocks, for receivers that keep what they get; the garbage collector takes it back. */
export const heapPayloadBuffers: PayloadBuffers = {
  allocate: (sizeBytes) => Buffer.allocUnsafeSlow(Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES),
  release: () => {},
};

/**
 * Ordinary memory that is used again when released: fresh memory has to be mapped page by page, which costs as much as
 * receiving into it. Sizes are powers of two, so that a few kinds of buffer serve all payloads.
 */
export class PooledPayloadBuffers implements PayloadBuffers {
  readonly #free = new Map<number, Uint8Array[]>();
  #freeBytes = 0;

  allocate(sizeBytes: number): Uint8Array {
    const bufferBytes = 2 ** Math.ceil(Math.log2(Math.max(sizeBytes, OWNED_PAYLOAD_BYTES)));
    const buffer = this.#free.get(bufferBytes)?.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(bufferBytes);
    this.#freeBytes -= bufferBytes;
    return buffer;
  }

  release(buffer: Uint8Array): void {
    if (this.#freeBytes + buffer.length > MAX_FREE_BYTES) return;
    this.#freeBytes += buffer.length;
    const free = this.#free.get(buffer.length);
    if (free === undefined) this.#free.set(buffer.length, [buffer]);
    else free.push(buffer);
  }
}
