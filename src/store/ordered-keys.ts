/**
 * The keys of a memtable in order, lazily: added keys wait in an unsorted tail until somebody walks, so that point
 * workloads never pay for order. Sorted keys lie in blocks, so that one more key moves at most a block.
 */
import type { ByteString } from "../base/bytes.ts";

const BLOCK_KEYS = 256;
/** A tail over this share of the sorted keys is merged by sorting everything. */
const REBUILD_SHARE = 0.25;

export interface KeyCursor {
  /** Where the cursor is; undefined past the end. */
  readonly key: ByteString | undefined;
  next(): void;
}

export class OrderedKeys {
  #blocks: ByteString[][] = [];
  #sorted = 0;
  #tail: ByteString[] = [];

  /** Adds a key that is not there. */
  add(key: ByteString): void {
    this.#tail.push(key);
  }

  /** Removes a key that is there. */
  remove(key: ByteString): void {
    this.#order();
    const blocks = this.#blocks;
    let index = lowerBlock(blocks, key);
    if (blocks[index]?.[0] !== key) index -= 1;
    const block = blocks[index]!;
    block.splice(lowerKey(block, key), 1);
    if (block.length === 0) blocks.splice(index, 1);
    this.#sorted -= 1;
  }

  /** Walks [from, to) upwards, or downwards when `reverse`. An empty `to` is no bound. No key may be added meanwhile. */
  cursor(from: ByteString, to: ByteString, reverse: boolean): KeyCursor {
    this.#order();
    return reverse ? new DownCursor(this.#blocks, from, to) : new UpCursor(this.#blocks, from, to);
  }

  #order(): void {
    const tail = this.#tail;
    if (tail.length === 0) return;
    this.#tail = [];
    if (tail.length > this.#sorted * REBUILD_SHARE) {
      this.#rebuild(this.#blocks.flat().concat(tail).sort());
    } else {
      for (const key of tail) this.#insert(key);
    }
  }

  #rebuild(keys: ByteString[]): void {
    this.#blocks = [];
    this.#sorted = keys.length;
    for (let start = 0; start < keys.length; start += BLOCK_KEYS / 2) {
      this.#blocks.push(keys.slice(start, start + BLOCK_KEYS / 2));
    }
  }

  #insert(key: ByteString): void {
    const index = Math.max(0, lowerBlock(this.#blocks, key) - 1);
    const block = this.#blocks[index]!;
    block.splice(lowerKey(block, key), 0, key);
    this.#sorted += 1;
    if (block.length > BLOCK_KEYS) this.#blocks.splice(index + 1, 0, block.splice(BLOCK_KEYS / 2));
  }
}

/** First block whose first key is not below `key`. */
function lowerBlock(blocks: readonly ByteString[][], key: ByteString): number {
  let low = 0;
  let high = blocks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (blocks[middle]![0]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** First place in the block whose key is not below `key`. */
function lowerKey(block: readonly ByteString[], key: ByteString): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (block[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

class UpCursor implements KeyCursor {
  key: ByteString | undefined;
  readonly #blocks: readonly ByteString[][];
  readonly #to: ByteString;
  #block: number;
  #place: number;

  constructor(blocks: readonly ByteString[][], from: ByteString, to: ByteString) {
    this.#blocks = blocks;
    this.#to = to;
    this.#block = Math.max(0, lowerBlock(blocks, from) - 1);
    this.#place = blocks.length === 0 ? 0 : lowerKey(blocks[this.#block]!, from);
    this.#settle();
  }

  next(): void {
    this.#place += 1;
    this.#settle();
  }

  #settle(): void {
    const block = this.#blocks[this.#block];
    if (block !== undefined && this.#place >= block.length) {
      this.#block += 1;
      this.#place = 0;
    }
    const key = this.#blocks[this.#block]?.[this.#place];
    this.key = key !== undefined && (this.#to === "" || key < this.#to) ? key : undefined;
  }
}

class DownCursor implements KeyCursor {
  key: ByteString | undefined;
  readonly #blocks: readonly ByteString[][];
  readonly #from: ByteString;
  #block: number;
  #place: number;

  constructor(blocks: readonly ByteString[][], from: ByteString, to: ByteString) {
    this.#blocks = blocks;
    this.#from = from;
    this.#block = to === "" ? blocks.length - 1 : Math.max(0, lowerBlock(blocks, to) - 1);
    const block = blocks[this.#block];
    this.#place = block === undefined ? -1 : (to === "" ? block.length : lowerKey(block, to)) - 1;
    this.#settle();
  }

  next(): void {
    this.#place -= 1;
    this.#settle();
  }

  #settle(): void {
    if (this.#place < 0 && this.#block > 0) {
      this.#block -= 1;
      this.#place = this.#blocks[this.#block]!.length - 1;
    }
    const key = this.#blocks[this.#block]?.[this.#place];
    this.key = key !== undefined && key >= this.#from ? key : undefined;
  }
}
