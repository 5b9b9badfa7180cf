/**
 * The memory that a back-end shares, as the engine's I/O buffers: views of it are given out and taken back, and a part is
 * kept for bouncing buffers that lie elsewhere. That part is only ever held by requests that are on the device, so it
 * always comes free again. When the rest is exhausted, ordinary memory is given, which bounces.
 */
import { assert } from "../../../src/base/assert.ts";
import { MIB } from "../../../src/base/limits.ts";
import { BuddyAllocator, PAGE_BYTES } from "./buddy-allocator.ts";

/** Most bytes kept for bouncing, and most of the pool as a fraction. */
const MAX_BOUNCE_BYTES = 8 * MIB;
const BOUNCE_FRACTION = 4;
/** Memory that devices take as it is begins at such multiples, bytes. */
const DEVICE_ALIGNMENT = 512;

export class IoMemory {
  readonly #memory: ArrayBuffer;
  readonly #bytes: Uint8Array;
  readonly #pool: BuddyAllocator;
  readonly #bounce: BuddyAllocator;
  readonly #poolStart: number;
  readonly #bounceBytes: number;

  /** `reservedBytes` at the front belong to others; whole pages. */
  constructor(memory: ArrayBuffer, reservedBytes: number) {
    this.#memory = memory;
    this.#bytes = new Uint8Array(memory);
    const freeBytes = memory.byteLength - reservedBytes;
    const share = Math.floor(freeBytes / BOUNCE_FRACTION / PAGE_BYTES) * PAGE_BYTES;
    this.#bounceBytes = Math.min(MAX_BOUNCE_BYTES, share);
    this.#poolStart = reservedBytes + this.#bounceBytes;
    this.#bounce = new BuddyAllocator(reservedBytes, this.#bounceBytes);
    this.#pool = new BuddyAllocator(this.#poolStart, memory.byteLength - this.#poolStart);
  }

  /** The largest block that bouncing can always have, bytes. */
  get maxBounceBytes(): number {
    return 2 ** Math.floor(Math.log2(this.#bounceBytes / 2));
  }

  get freeBytes(): number {
    return this.#pool.freeBytes;
  }

  /** `sizeBytes` zeros, page aligned. */
  allocate(sizeBytes: number): Uint8Array {
    const start = this.#pool.allocate(sizeBytes);
    if (start < 0) return new Uint8Array(sizeBytes);
    return new Uint8Array(this.#memory, start, sizeBytes).fill(0);
  }

  /** Takes back what `allocate` gave. */
  release(buffer: Uint8Array): void {
    if (buffer.buffer !== this.#memory) return;
    assert(buffer.byteOffset >= this.#poolStart, "a buffer of the pool");
    this.#pool.release(buffer.byteOffset);
  }

  /** Where the buffer lies in the shared memory, bytes; -1 when it must be bounced. */
  placeOf(buffer: Uint8Array): number {
    return buffer.buffer === this.#memory && buffer.byteOffset % DEVICE_ALIGNMENT === 0 ? buffer.byteOffset : -1;
  }

  /** Room for bouncing, up to `maxBounceBytes`; -1: ask again when some was released. */
  allocateBounce(sizeBytes: number): number {
    return this.#bounce.allocate(sizeBytes);
  }

  releaseBounce(place: number): void {
    this.#bounce.release(place);
  }

  copyIn(place: number, from: Uint8Array, start: number, length: number): void {
    this.#bytes.set(from.subarray(start, start + length), place);
  }

  copyOut(place: number, into: Uint8Array, start: number, length: number): void {
    into.set(this.#bytes.subarray(place, place + length), start);
  }
}
