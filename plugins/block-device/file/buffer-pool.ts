/**
 * Page-aligned memory for device I/O. Buffers are cut from slabs of shared memory by size class (powers of two) and kept
 * for reuse up to a bound; beyond it they go back to the runtime. Buffers are zeroed when they are given out, unless who
 * asks will fill them.
 */
import { KIB, MIB } from "../../../src/base/limits.ts";
import type { MemoryContent } from "../../../src/contracts/block-device.ts";

const SMALLEST_BYTES = 4 * KIB;
/** Slabs are at least this large: the runtime maps such memory page aligned. */
const SLAB_BYTES = 1 * MIB;
/** Bytes kept for reuse. */
export const MAX_POOLED_BYTES = 64 * MIB;

export class BufferPool {
  /** Free buffers by size class, each of the whole class size. */
  readonly #free = new Map<number, Uint8Array[]>();
  #pooledBytes = 0;

  /** Bytes waiting for reuse. */
  get pooledBytes(): number {
    return this.#pooledBytes;
  }

  /** `sizeBytes` page aligned, zeros unless `content` says otherwise. */
  allocate(sizeBytes: number, content: MemoryContent = "zeros"): Uint8Array {
    const classBytes = sizeClass(sizeBytes);
    const free = this.#free.get(classBytes);
    let buffer = free?.pop();
    if (buffer === undefined) {
      buffer = this.#cutSlab(classBytes);
    } else {
      this.#pooledBytes -= classBytes;
      if (content === "zeros") buffer.fill(0, 0, sizeBytes);
    }
    return buffer.length === sizeBytes ? buffer : buffer.subarray(0, sizeBytes);
  }

  /** Takes back what `allocate` gave. */
  release(buffer: Uint8Array): void {
    const classBytes = sizeClass(buffer.length);
    if (this.#pooledBytes + classBytes > MAX_POOLED_BYTES) return;
    this.#put(classBytes, new Uint8Array(buffer.buffer, buffer.byteOffset, classBytes));
  }

  #put(classBytes: number, buffer: Uint8Array): void {
    const free = this.#free.get(classBytes);
    if (free === undefined) this.#free.set(classBytes, [buffer]);
    else free.push(buffer);
    this.#pooledBytes += classBytes;
  }

  #cutSlab(classBytes: number): Uint8Array {
    const slab = new SharedArrayBuffer(Math.max(classBytes, SLAB_BYTES));
    for (let offset = classBytes; offset + classBytes <= slab.byteLength; offset += classBytes) {
      if (this.#pooledBytes + classBytes > MAX_POOLED_BYTES) break;
      this.#put(classBytes, new Uint8Array(slab, offset, classBytes));
    }
    return new Uint8Array(slab, 0, classBytes);
  }
}

function sizeClass(sizeBytes: number): number {
  if (sizeBytes <= SMALLEST_BYTES) return SMALLEST_BYTES;
  return 2 ** (32 - Math.clz32(sizeBytes - 1));
}
