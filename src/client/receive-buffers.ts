/**
 * Memory that large payloads are received in. Most of it goes to the caller with the data and is never seen again; what
 * the library itself has copied out of comes back and is used for the next payload of that size, for fresh memory has
 * to be mapped page by page, which costs more than receiving into it.
 */
import { BLOCK_BYTES, MIB, OWNED_PAYLOAD_BYTES } from "../base/limits.ts";
import type { PayloadBuffers } from "../rpc/payload-buffers.ts";

/** Memory kept for reuse, bytes. */
const MAX_FREE_BYTES = 32 * MIB;

export class ReceiveBuffers implements PayloadBuffers {
  readonly #free = new Map<number, Uint8Array[]>();
  #freeBytes = 0;

  allocate(sizeBytes: number): Uint8Array {
    const bufferBytes = Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
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

  /** Takes back the memory of bytes that an operation gave and nobody holds any more. */
  recycle(bytes: Uint8Array): void {
    const { buffer } = bytes;
    if (buffer.byteLength >= OWNED_PAYLOAD_BYTES && buffer.byteLength % BLOCK_BYTES === 0)
      this.release(Buffer.from(buffer));
  }
}
