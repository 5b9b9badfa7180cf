/**
 * Blocks of extents that were read lately: NVMe devices are read past the page cache, so small reads that repeat would
 * wait for the device each time. Bounded; blocks lie in slabs and give way by CLOCK (second chance), so that a scan does
 * not wash out what is read again and again.
 *
 * It holds copies of what passed its checksum. Whoever takes a block from it verifies it again, and blocks that are
 * written anew are forgotten first: nothing stale is ever taken for an extent's bytes.
 */
import { assert } from "../base/assert.ts";
import { BLOCK_BYTES, MIB } from "../base/limits.ts";

/** Memory of the cache of one target, when it is full; it takes none before. (An OSD of Ceph takes up to 4 GiB.) */
export const BLOCK_CACHE_BYTES = 256 * MIB;
const SLAB_BLOCKS = 256;

export class BlockCache {
  readonly #slots: number;
  /** Slot of each block that is cached. */
  readonly #places = new Map<number, number>();
  /** Block in each slot, -1 for none. */
  readonly #blocks: Int32Array;
  /** 1: read since the hand passed. */
  readonly #wasRead: Uint8Array;
  readonly #slabs: Buffer[] = [];
  #used = 0;
  #hand = 0;

  constructor(sizeBytes = BLOCK_CACHE_BYTES) {
    assert(sizeBytes >= BLOCK_BYTES, "a block cache holds a block");
    this.#slots = Math.floor(sizeBytes / BLOCK_BYTES);
    this.#blocks = new Int32Array(this.#slots).fill(-1);
    this.#wasRead = new Uint8Array(this.#slots);
  }

  get cachedBytes(): number {
    return this.#places.size * BLOCK_BYTES;
  }

  has(block: number): boolean {
    return this.#places.has(block);
  }

  /** A view of the block's bytes, valid until the next call of `put`; undefined when it is not here. */
  get(block: number): Buffer | undefined {
    const slot = this.#places.get(block);
    if (slot === undefined) return undefined;
    this.#wasRead[slot] = 1;
    return this.#view(slot);
  }

  /** Copies the whole blocks in `bytes`, which lie on the device from `first` on. */
  put(first: number, bytes: Uint8Array): void {
    for (let start = 0; start + BLOCK_BYTES <= bytes.length; start += BLOCK_BYTES) {
      const block = first + start / BLOCK_BYTES;
      const slot = this.#places.get(block) ?? this.#free();
      this.#blocks[slot] = block;
      this.#places.set(block, slot);
      const content = bytes.length === BLOCK_BYTES ? bytes : bytes.subarray(start, start + BLOCK_BYTES);
      this.#slabs[Math.floor(slot / SLAB_BLOCKS)]!.set(content, (slot % SLAB_BLOCKS) * BLOCK_BYTES);
    }
  }

  /** Forgets blocks that are about to be written. */
  forget(first: number, count: number): void {
    if (this.#places.size === 0) return;
    for (let block = first; block < first + count; block += 1) {
      const slot = this.#places.get(block);
      if (slot === undefined) continue;
      this.#places.delete(block);
      this.#blocks[slot] = -1;
      this.#wasRead[slot] = 0;
    }
  }

  /** A slot for a block: a new one, else the next that nobody read since the hand came by. */
  #free(): number {
    if (this.#used < this.#slots) {
      if (this.#used % SLAB_BLOCKS === 0) {
        const count = Math.min(SLAB_BLOCKS, this.#slots - this.#used);
        this.#slabs.push(Buffer.allocUnsafeSlow(count * BLOCK_BYTES));
      }
      this.#used += 1;
      return this.#used - 1;
    }
    for (;;) {
      const slot = this.#hand;
      this.#hand = slot + 1 === this.#slots ? 0 : slot + 1;
      if (this.#wasRead[slot] === 0) {
        this.#places.delete(this.#blocks[slot]!);
        return slot;
      }
      this.#wasRead[slot] = 0;
    }
  }

  #view(slot: number): Buffer {
    const start = (slot % SLAB_BLOCKS) * BLOCK_BYTES;
    return this.#slabs[Math.floor(slot / SLAB_BLOCKS)]!.subarray(start, start + BLOCK_BYTES);
  }
}
