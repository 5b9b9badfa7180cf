/**
 * Divides a range of memory into blocks of powers of two, at least a page: takes and gives back in a few array accesses,
 * joins free neighbours again. Knows offsets only; zeroing and views are left to the owner. The range's start and each
 * block are aligned to pages. Bounded: when nothing fits it says so.
 */
import { assert } from "../../../src/base/assert.ts";

export const PAGE_BYTES = 4096;
const NONE = -1;
/** Marks a page at which no block begins. */
const INSIDE = 0xff;
/** Added to the order of a block in use. */
const USED = 0x40;

export class BuddyAllocator {
  readonly #startByte: number;
  readonly #pages: number;
  readonly #orders: number;
  /** By page: what begins there. */
  readonly #state: Uint8Array;
  /** Free blocks of each order: a doubly linked list through these, by first page. */
  readonly #first: Int32Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  #freePages = 0;

  /** Serves [startByte, startByte + sizeBytes), both multiples of a page. */
  constructor(startByte: number, sizeBytes: number) {
    assert(startByte % PAGE_BYTES === 0 && sizeBytes % PAGE_BYTES === 0 && sizeBytes > 0, "whole pages");
    this.#startByte = startByte;
    this.#pages = sizeBytes / PAGE_BYTES;
    this.#orders = 32 - Math.clz32(this.#pages);
    this.#state = new Uint8Array(this.#pages).fill(INSIDE);
    this.#first = new Int32Array(this.#orders).fill(NONE);
    this.#next = new Int32Array(this.#pages);
    this.#previous = new Int32Array(this.#pages);
    for (let page = 0; page < this.#pages;) {
      const order = this.#largestAt(page);
      this.#link(page, order);
      this.#freePages += 1 << order;
      page += 1 << order;
    }
  }

  get freeBytes(): number {
    return this.#freePages * PAGE_BYTES;
  }

  /** The byte at which a block of at least `sizeBytes` begins; -1 when none is free. */
  allocate(sizeBytes: number): number {
    const order = orderOf(sizeBytes);
    let found = order;
    while (found < this.#orders && this.#first[found] === NONE) found += 1;
    if (found >= this.#orders) return NONE;
    const page = this.#first[found]!;
    this.#unlink(page, found);
    while (found > order) {
      found -= 1;
      this.#link(page + (1 << found), found);
    }
    this.#state[page] = order | USED;
    this.#freePages -= 1 << order;
    return this.#startByte + page * PAGE_BYTES;
  }

  /** Takes back what `allocate` gave; anything else is a bug. */
  release(byte: number): void {
    let page = (byte - this.#startByte) / PAGE_BYTES;
    const state = this.#state[page];
    assert(state !== undefined && state !== INSIDE && (state & USED) !== 0, "a buffer is released once, as given out");
    let order = state & ~USED;
    this.#freePages += 1 << order;
    this.#state[page] = INSIDE;
    while (order + 1 < this.#orders) {
      const buddy = page ^ (1 << order);
      if (buddy + (1 << order) > this.#pages || this.#state[buddy] !== order) break;
      this.#unlink(buddy, order);
      page = Math.min(page, buddy);
      order += 1;
    }
    this.#link(page, order);
  }

  /** The largest order of a block that may begin at `page`. */
  #largestAt(page: number): number {
    const byAlignment = page === 0 ? this.#orders - 1 : 31 - Math.clz32(page & -page);
    const bySpace = 31 - Math.clz32(this.#pages - page);
    return Math.min(byAlignment, bySpace);
  }

  #link(page: number, order: number): void {
    const first = this.#first[order]!;
    this.#state[page] = order;
    this.#next[page] = first;
    this.#previous[page] = NONE;
    if (first !== NONE) this.#previous[first] = page;
    this.#first[order] = page;
  }

  #unlink(page: number, order: number): void {
    const next = this.#next[page]!;
    const previous = this.#previous[page]!;
    if (previous === NONE) this.#first[order] = next;
    else this.#next[previous] = next;
    if (next !== NONE) this.#previous[next] = previous;
    this.#state[page] = INSIDE;
  }
}

function orderOf(sizeBytes: number): number {
  const pages = Math.ceil(sizeBytes / PAGE_BYTES);
  return pages <= 1 ? 0 : 32 - Math.clz32(pages - 1);
}
