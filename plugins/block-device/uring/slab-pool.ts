/**
 * Memory for I/O on one ring: buffers cut from slabs that the ring maps and registers, so that the kernel needs no page
 * look-up. Sizes up to 2 MiB are rounded to powers of two, larger ones to whole 2 MiB. A slab goes back when none of its
 * buffers is in use and more than MAX_POOLED_BYTES are mapped; a buffer that was given back must not be used any more.
 */
import { assert } from "../../../src/base/assert.ts";
import { KIB, MIB } from "../../../src/base/limits.ts";
import type { MemoryContent } from "../../../src/contracts/block-device.ts";
import type { Ring, RingMemory } from "./ring.ts";

const SMALLEST_BYTES = 4 * KIB;
const SLAB_BYTES = 2 * MIB;
/** Mapped bytes above which an unused slab is given back. */
export const MAX_POOLED_BYTES = 64 * MIB;

/** One mapping, cut into buffers of one size. */
class Slab {
  readonly memory: RingMemory;
  readonly classBytes: number;
  /** The whole of each buffer that was ever given out, by place. */
  readonly buffers: Uint8Array[] = [];
  readonly isUsed: boolean[] = [];
  /** Places given out before and free again. */
  readonly free: number[] = [];
  readonly places: number;
  used = 0;

  constructor(memory: RingMemory, classBytes: number, slabBytes: number) {
    this.memory = memory;
    this.classBytes = classBytes;
    this.places = slabBytes / classBytes;
  }

  get isFull(): boolean {
    return this.used === this.places;
  }
}

export class SlabPool {
  readonly #ring: Ring;
  readonly #slabs = new Map<ArrayBufferLike, Slab>();
  /** Slabs with a free place, by class. */
  readonly #open = new Map<number, Slab[]>();
  #mappedBytes = 0;

  constructor(ring: Ring) {
    this.#ring = ring;
  }

  get mappedBytes(): number {
    return this.#mappedBytes;
  }

  /** `sizeBytes` page aligned, zeros unless `content` says otherwise. Throws what `Ring.map` throws. */
  allocate(sizeBytes: number, content: MemoryContent = "zeros"): Uint8Array {
    const classBytes = sizeClass(sizeBytes);
    let slabs = this.#open.get(classBytes);
    if (slabs === undefined) {
      slabs = [];
      this.#open.set(classBytes, slabs);
    }
    let slab = slabs.at(-1);
    if (slab === undefined) {
      slab = this.#map(classBytes);
      slabs.push(slab);
    }
    const buffer = takePlace(slab);
    if (content === "zeros") buffer.fill(0, 0, sizeBytes);
    if (slab.isFull) slabs.pop();
    return buffer.length === sizeBytes ? buffer : buffer.subarray(0, sizeBytes);
  }

  /** Takes back what `allocate` gave. */
  release(buffer: Uint8Array): void {
    const slab = this.#slabs.get(buffer.buffer);
    assert(slab !== undefined, "the buffer came from this pool");
    const place = buffer.byteOffset / slab.classBytes;
    assert(slab.isUsed[place] === true, "the buffer is in use, and is given back whole");
    const slabs = this.#open.get(slab.classBytes)!;
    if (slab.isFull) slabs.push(slab);
    slab.isUsed[place] = false;
    slab.free.push(place);
    slab.used -= 1;
    if (slab.used > 0 || this.#mappedBytes <= MAX_POOLED_BYTES) return;
    slabs.splice(slabs.indexOf(slab), 1);
    this.#slabs.delete(buffer.buffer);
    this.#mappedBytes -= slab.places * slab.classBytes;
    this.#ring.unmap(slab.memory);
  }

  /** The memory that holds `bytes`; undefined for memory of others. */
  memoryOf(bytes: Uint8Array): RingMemory | undefined {
    return this.#slabs.get(bytes.buffer)?.memory;
  }

  #map(classBytes: number): Slab {
    const slabBytes = Math.max(classBytes, SLAB_BYTES);
    const slab = new Slab(this.#ring.map(slabBytes), classBytes, slabBytes);
    this.#slabs.set(slab.memory.bytes, slab);
    this.#mappedBytes += slabBytes;
    return slab;
  }
}

function takePlace(slab: Slab): Uint8Array {
  slab.used += 1;
  const place = slab.free.pop();
  if (place !== undefined) {
    slab.isUsed[place] = true;
    return slab.buffers[place]!;
  }
  const buffer = new Uint8Array(slab.memory.bytes, slab.buffers.length * slab.classBytes, slab.classBytes);
  slab.buffers.push(buffer);
  slab.isUsed.push(true);
  return buffer;
}

function sizeClass(sizeBytes: number): number {
  assert(sizeBytes >= 0 && Number.isSafeInteger(sizeBytes), "a size is a count of bytes");
  if (sizeBytes <= SMALLEST_BYTES) return SMALLEST_BYTES;
  if (sizeBytes <= SLAB_BYTES) return 2 ** (32 - Math.clz32(sizeBytes - 1));
  return Math.ceil(sizeBytes / SLAB_BYTES) * SLAB_BYTES;
}
