/**
 * Which blocks of the device are taken: a bitmap in memory, searched next-fit for runs. A second bitmap has a bit for each
 * word that is full, so that a crowded device is passed over 1,024 blocks at a step.
 *
 * It is rebuilt at every start (settled bitmap, then the log) and writes nothing itself.
 */
import { assert } from "../base/assert.ts";
import { DaosError } from "../base/errors.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";

const FULL = 0xffff_ffff;

export class ExtentAllocator {
  readonly blockCount: number;
  #freeBlocks: number;
  /** A set bit is a taken block, least significant first. Bits past the end are set. */
  readonly #words: Uint32Array;
  /** A set bit is a full word. */
  readonly #full: Uint32Array;
  /** Where the next search begins, block number. */
  #hint = 0;

  constructor(blockCount: number) {
    this.blockCount = blockCount;
    this.#freeBlocks = blockCount;
    this.#words = new Uint32Array(Math.ceil(blockCount / 32));
    this.#full = new Uint32Array(Math.ceil(this.#words.length / 32));
    const tail = blockCount % 32;
    if (tail !== 0) this.#setWord(this.#words.length - 1, (FULL << tail) >>> 0);
  }

  get freeBlocks(): number {
    return this.#freeBlocks;
  }

  /** Takes a run of `count` blocks and returns the first one's number. Throws NO_SPACE, and has taken nothing then. */
  allocate(count: number): number {
    assert(count > 0, "an extent has at least one block");
    if (count <= this.#freeBlocks) {
      const start = this.#hint < this.blockCount ? this.#hint : 0;
      let first = this.#find(start, this.blockCount, count);
      if (first < 0 && start > 0) first = this.#find(0, Math.min(start + count, this.blockCount), count);
      if (first >= 0) {
        this.#change(first, count, true);
        this.#hint = first + count;
        return first;
      }
    }
    throw this.#noSpace(count);
  }

  #noSpace(count: number): DaosError {
    const wanted = formatSize(count * BLOCK_BYTES);
    const free = formatSize(this.#freeBlocks * BLOCK_BYTES);
    const state = count <= this.#freeBlocks ? `${free} are free but fragmented` : `only ${free} are free`;
    return new DaosError("NO_SPACE", `Cannot allocate "${wanted} of NVMe": ${state}. Delete data or extend the pool.`);
  }

  /** First block of a free run of `count` within [from, to), or -1. */
  #find(from: number, to: number, count: number): number {
    let runStart = from;
    let block = from;
    while (block < to) {
      const word = this.#words[block >>> 5]!;
      const inWord = block & 31;
      if (inWord === 0 && word === FULL) {
        block = this.#nextOpenWord(block >>> 5) * 32;
        runStart = block;
        continue;
      }
      const rest = (word >>> inWord) >>> 0;
      if (rest === 0) {
        block += 32 - inWord;
      } else {
        const free = trailingZeros(rest);
        block += free;
        if (Math.min(block, to) - runStart >= count) return runStart;
        block += trailingZeros(~(rest >>> free) >>> 0);
        runStart = block;
        continue;
      }
      if (Math.min(block, to) - runStart >= count) return runStart;
    }
    return -1;
  }

  /** First word from `word` on that is not full, or the end. */
  #nextOpenWord(word: number): number {
    let index = word;
    while (index < this.#words.length) {
      const summary = (this.#full[index >>> 5]! >>> (index & 31)) >>> 0;
      if (summary === 0) return index;
      const full = trailingZeros(~summary >>> 0);
      if (full < 32 - (index & 31)) return index + full;
      index = ((index >>> 5) + 1) * 32;
    }
    return this.#words.length;
  }

  /** Takes given blocks. False, and nothing changed, when one of them is taken already or past the end. */
  take(first: number, count: number): boolean {
    if (first + count > this.blockCount) return false;
    for (let block = first; block < first + count; block += 1) if (this.isTaken(block)) return false;
    this.#change(first, count, true);
    return true;
  }

  /** Gives blocks back that are taken. */
  free(first: number, count: number): void {
    for (let block = first; block < first + count; block += 1) assert(this.isTaken(block), "a freed block is taken");
    this.#change(first, count, false);
  }

  isTaken(block: number): boolean {
    return ((this.#words[block >>> 5]! >>> (block & 31)) & 1) === 1;
  }

  #change(first: number, count: number, taken: boolean): void {
    const end = first + count;
    for (let block = first; block < end;) {
      const inWord = block & 31;
      const bits = Math.min(32 - inWord, end - block);
      const mask = bits === 32 ? FULL : (((1 << bits) - 1) << inWord) >>> 0;
      const word = this.#words[block >>> 5]!;
      this.#setWord(block >>> 5, (taken ? word | mask : word & ~mask) >>> 0);
      block += bits;
    }
    this.#freeBlocks += taken ? -count : count;
  }

  #setWord(index: number, word: number): void {
    this.#words[index] = word;
    const bit = (1 << (index & 31)) >>> 0;
    const summary = this.#full[index >>> 5]!;
    this.#full[index >>> 5] = (word === FULL ? summary | bit : summary & ~bit) >>> 0;
  }
}

/** Zero bits below the lowest set one; 32 for zero. */
function trailingZeros(word: number): number {
  return word === 0 ? 32 : 31 - Math.clz32(word & -word);
}
