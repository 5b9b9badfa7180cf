/**
 * Where large payloads are received. A payload of OWNED_PAYLOAD_BYTES or more is reassembled straight into a buffer of
 * its own that the receiver keeps as long as it likes, so that it can go on to a device without another copy. A target
 * injects its device's aligned buffers here; elsewhere plain memory serves.
 */
import { BLOCK_BYTES, MIB, OWNED_PAYLOAD_BYTES } from "../base/limits.ts";

/** Memory that a PooledPayloadBuffers keeps for reuse unless told otherwise, bytes. */
const MAX_FREE_BYTES = 64 * MIB;

export interface PayloadBuffers {
  /** At least `sizeBytes`; the payload becomes its prefix. Undefined: no memory now, the request fails OVERLOADED. */
  allocate(sizeBytes: number): Uint8Array | undefined;
  /** Gives back what `allocate` gave, once. */
  release(buffer: Uint8Array): void;
}

/** The least number of bytes in whole blocks. */
export function wholeBlocks(sizeBytes: number): number {
  return Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
}

function powerOfTwo(sizeBytes: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(sizeBytes, OWNED_PAYLOAD_BYTES)));
}

/** Ordinary memory in whole blocks, for receivers that keep what they get; the garbage collector takes it back. */
export const heapPayloadBuffers: PayloadBuffers = {
  allocate: (sizeBytes) => Buffer.allocUnsafeSlow(wholeBlocks(sizeBytes)),
  release: () => {},
};

/**
 * Ordinary memory that is used again when released: fresh memory has to be mapped page by page, which costs as much as
 * receiving into it. Sizes are powers of two unless told otherwise, so that a few kinds of buffer serve all payloads.
 */
export class PooledPayloadBuffers implements PayloadBuffers {
  readonly #free = new Map<number, Uint8Array[]>();
  readonly #roundUp: (sizeBytes: number) => number;
  readonly #maxFreeBytes: number;
  #freeBytes = 0;

  constructor(roundUp: (sizeBytes: number) => number = powerOfTwo, maxFreeBytes = MAX_FREE_BYTES) {
    this.#roundUp = roundUp;
    this.#maxFreeBytes = maxFreeBytes;
  }

  allocate(sizeBytes: number): Uint8Array {
    const bufferBytes = this.#roundUp(sizeBytes);
    const buffer = this.#free.get(bufferBytes)?.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(bufferBytes);
    this.#freeBytes -= bufferBytes;
    return buffer;
  }

  release(buffer: Uint8Array): void {
    if (this.#freeBytes + buffer.length > this.#maxFreeBytes) return;
    this.#freeBytes += buffer.length;
    const free = this.#free.get(buffer.length);
    if (free === undefined) this.#free.set(buffer.length, [buffer]);
    else free.push(buffer);
  }
}
