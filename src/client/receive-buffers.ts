/**
 * Memory that large payloads are received in, or computed bytes lie in. Most of it goes to the caller with the data and is never seen again; what
 * the library itself has copied out of comes back and is used for the next payload of that size, for fresh memory has
 * to be mapped page by page, which costs more than receiving into it.
 */
import { BLOCK_BYTES, MIB, OWNED_PAYLOAD_BYTES } from "../base/limits.ts";
import { PooledPayloadBuffers, wholeBlocks } from "../rpc/payload-buffers.ts";

/** Memory kept for reuse, bytes. */
const MAX_FREE_BYTES = 32 * MIB;

export class ReceiveBuffers extends PooledPayloadBuffers {
  /** In whole blocks: what goes to the caller should not be twice the size of its data. */
  constructor() {
    super(wholeBlocks, MAX_FREE_BYTES);
  }

  /** Memory of just so many bytes; they may be anything. */
  take(sizeBytes: number): Uint8Array {
    const buffer = this.allocate(sizeBytes);
    return buffer.length === sizeBytes ? buffer : buffer.subarray(0, sizeBytes);
  }

  /** Takes back the memory of bytes that an operation gave and nobody holds any more. */
  recycle(bytes: Uint8Array): void {
    const { buffer } = bytes;
    if (buffer.byteLength >= OWNED_PAYLOAD_BYTES && buffer.byteLength % BLOCK_BYTES === 0)
      this.release(Buffer.from(buffer));
  }
}
