/**
 * Checks the structure of an LMDB file before LMDB maps it: LMDB trusts its pages, and a damaged one would end the process.
 * Every page that the newest meta page reaches is looked at once: its number, type, bounds and depth, each node's bounds,
 * each overflow run. What the rows hold is for their own checksums.
 *
 * Layout: data version 2 of the `lmdb` package (its mdb.c), little-endian, 64 bit. Page header, 24 bytes:
 *     0  u64 page number    8  u64 transaction    16  u16 zero    18  u16 flags    20  u16 lower, u16 upper, or u32 pages
 * Node places (u16) follow; they and lower and upper count from the end of the header. Node: u32 data size (branch: page
 * number with the next field), u16 flags, u16 key size, key, data. Meta, after the header: 0 u32 magic, 4 u32 version,
 * 24 and 72 two trees, 120 u64 last page, 128 u64 transaction. Tree: 0 u32 page size (first tree), 6 u16 depth, 40 u64 root.
 */
import { asBuffer } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import { readUint64 } from "../format/uint64.ts";

const HEADER_BYTES = 24;
const UPPER_OFFSET = 22;
const NODE_BYTES = 8;
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const PageFlag = { branch: 1, leaf: 2, overflow: 4, meta: 8 } as const;
const NodeFlag = { big: 1, tree: 2 } as const;
/** An overflow reference in a leaf: page number, transaction, page count. */
const OVERFLOW_BYTES = 24;
const TREE_BYTES = 48;
const META_PAGES = 2;
/** Deeper than any tree of this file can be. */
const MAX_DEPTH = 32;
/** Most bytes that one read of the check asks for. */
export const LARGEST_CHECK_READ_BYTES = 1 * MIB;

export interface IndexFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** The bytes at `offset`; the result stays unchanged only until the next call. */
  read(offset: number, length: number): Uint8Array;
}

/** Throws CORRUPT when the file cannot be mapped safely. */
export function checkLmdbFile(file: IndexFile): void {
  new FileCheck(file).run();
}

/** A tree's root and depth; no root: an empty tree. */
interface Tree {
  readonly root: number;
  readonly depth: number;
}

const NO_ROOT = 0xffff_ffff;

class FileCheck {
  readonly #file: IndexFile;
  #pageBytes = 4096;
  #lastPage = 0;
  /** Pages that were reached, and leaves that are still to be looked at. */
  #reached = new Uint8Array(0);
  #leaves = new Uint8Array(0);
  readonly #trees: Tree[] = [];

  constructor(file: IndexFile) {
    this.#file = file;
  }

  run(): void {
    this.#readMeta();
    // The main tree's leaves name further trees, so it comes first; then all other leaves in the order of the file.
    this.#walkTrees();
    this.#walkLeaves();
    this.#walkTrees();
    this.#walkLeaves();
  }

  #readMeta(): void {
    const first = this.#meta(0, 4096);
    this.#pageBytes = first.pageBytes;
    const second = this.#meta(1, first.pageBytes);
    const newest = second.transaction > first.transaction ? second : first;
    this.#lastPage = newest.lastPage;
    const pages = Math.min(newest.lastPage + 1, Math.floor(this.#file.sizeBytes / this.#pageBytes));
    this.#reached = new Uint8Array(Math.ceil(pages / 8));
    this.#leaves = new Uint8Array(Math.ceil(pages / 8));
    this.#trees.push(...newest.trees);
  }

  #meta(
    number: number,
    pageBytes: number,
  ): { pageBytes: number; lastPage: number; transaction: number; trees: Tree[] } {
    const offset = number * pageBytes;
    if (offset + 4096 > this.#file.sizeBytes) throw this.#damaged(number, "the file ends before it");
    const page = asBuffer(this.#file.read(offset, 4096));
    const meta = page.subarray(HEADER_BYTES);
    if (readUint64(page, 0) !== number || page.readUInt16LE(18) !== PageFlag.meta || meta.readUInt32LE(0) !== MAGIC) {
      throw this.#damaged(number, "it is no meta page");
    }
    if ((meta.readUInt32LE(4) & 0xffff) !== DATA_VERSION) throw this.#damaged(number, "it has another data version");
    const size = meta.readUInt32LE(24);
    if (size < 4096 || size > 65_536 || (size & (size - 1)) !== 0)
      throw this.#damaged(number, "its page size cannot be");
    const lastPage = readUint64(meta, 120);
    const trees = [this.#tree(meta.subarray(24)), this.#tree(meta.subarray(72))];
    return { pageBytes: size, lastPage, transaction: readUint64(meta, 128), trees };
  }

  #tree(record: Buffer): Tree {
    const isEmpty = record.readUInt32LE(40) === NO_ROOT && record.readUInt32LE(44) === NO_ROOT;
    return { root: isEmpty ? -1 : readUint64(record, 40), depth: record.readUInt16LE(6) };
  }

  /** Looks at the branch pages of all trees found so far; their leaves are left to walkLeaves. */
  #walkTrees(): void {
    for (const { root, depth } of this.#trees.splice(0)) {
      if (root < 0) continue;
      if (depth < 1 || depth > MAX_DEPTH) throw this.#damaged(root, `its tree is ${depth} deep`);
      this.#walk(root, depth);
    }
  }

  #walk(number: number, depth: number): void {
    this.#reach(number, 1);
    if (depth === 1) {
      this.#leaves[number >>> 3]! |= 1 << (number & 7);
      return;
    }
    // Children are read over the same memory: note them first.
    const page = asBuffer(this.#file.read(number * this.#pageBytes, this.#pageBytes));
    const count = this.#checkPage(page, number, PageFlag.branch);
    const children: number[] = [];
    for (let index = 0; index < count; index += 1) {
      const node = this.#node(page, number, index);
      children.push(page.readUInt32LE(node) + page.readUInt16LE(node + 4) * 0x1_0000_0000);
    }
    for (const child of children) this.#walk(child, depth - 1);
  }

  /** Marks pages as used; each is by one place only. */
  #reach(number: number, count: number): void {
    if (!Number.isSafeInteger(number) || number < META_PAGES || number + count - 1 > this.#lastPage) {
      throw this.#damaged(number, "something refers to it and it is beyond the last page");
    }
    if ((number + count) * this.#pageBytes > this.#file.sizeBytes)
      throw this.#damaged(number, "the file ends before it");
    for (let page = number; page < number + count; page += 1) {
      if (((this.#reached[page >>> 3]! >>> (page & 7)) & 1) === 1) throw this.#damaged(page, "it is used twice");
      this.#reached[page >>> 3]! |= 1 << (page & 7);
    }
  }

  /** Checks a page's header; returns how many nodes it has. */
  #checkPage(page: Buffer, number: number, flag: number): number {
    const lower = page.readUInt16LE(20);
    const upper = page.readUInt16LE(UPPER_OFFSET);
    if (readUint64(page, 0) !== number || page.readUInt16LE(18) !== flag)
      throw this.#damaged(number, "its header is another's");
    if (lower % 2 !== 0 || lower === 0 || lower > upper || upper > this.#pageBytes - HEADER_BYTES) {
      throw this.#damaged(number, "its bounds cannot be");
    }
    return lower / 2;
  }

  /** Where a node lies in its page, with its key inside. */
  #node(page: Buffer, number: number, index: number): number {
    const place = page.readUInt16LE(HEADER_BYTES + 2 * index);
    const node = HEADER_BYTES + place;
    const isInside = place >= page.readUInt16LE(UPPER_OFFSET) && node + NODE_BYTES <= this.#pageBytes;
    if (!isInside || node + NODE_BYTES + page.readUInt16LE(node + 6) > this.#pageBytes) {
      throw this.#damaged(number, "a node is outside of it");
    }
    return node;
  }

  /** Looks at the leaves that the trees named, in the order of the file. */
  #walkLeaves(): void {
    const pagesAtOnce = LARGEST_CHECK_READ_BYTES / this.#pageBytes;
    const overflows: { number: number; count: number }[] = [];
    for (let start = 0; start < this.#leaves.length * 8; start += pagesAtOnce) {
      const leaves = this.#leaves.subarray(start / 8, (start + pagesAtOnce) / 8);
      if (leaves.every((bits) => bits === 0)) continue;
      const offset = start * this.#pageBytes;
      const chunk = asBuffer(
        this.#file.read(offset, Math.min(LARGEST_CHECK_READ_BYTES, this.#file.sizeBytes - offset)),
      );
      for (let index = 0; index < leaves.length * 8; index += 1) {
        if (((leaves[index >>> 3]! >>> (index & 7)) & 1) === 0) continue;
        // Each was found inside the file when it was reached.
        const page = chunk.subarray(index * this.#pageBytes, (index + 1) * this.#pageBytes);
        this.#checkLeaf(page, start + index, overflows);
      }
      leaves.fill(0);
    }
    for (const { number, count } of overflows) this.#checkOverflow(number, count);
  }

  /** The hot loop of the check: 16 bit words, for every node begins at one. */
  #checkLeaf(page: Buffer, number: number, overflows: { number: number; count: number }[]): void {
    const count = this.#checkPage(page, number, PageFlag.leaf);
    const words = new Uint16Array(page.buffer, page.byteOffset, page.length / 2);
    const upper = words[UPPER_OFFSET / 2]!;
    const end = this.#pageBytes;
    for (let index = 0; index < count; index += 1) {
      const place = words[HEADER_BYTES / 2 + index]!;
      if (place < upper || place % 2 !== 0 || HEADER_BYTES + place + NODE_BYTES > end) {
        throw this.#damaged(number, "a node is outside of it");
      }
      const word = (HEADER_BYTES + place) / 2;
      const data = HEADER_BYTES + place + NODE_BYTES + words[word + 3]!;
      // Usual rows: no flags, under 64 KiB.
      if (words[word + 1] === 0 && words[word + 2] === 0 && data + words[word]! <= end) continue;
      this.#checkSpecialRow(page, number, HEADER_BYTES + place, data, overflows);
    }
  }

  /** A row that refers to overflow pages or a tree, or one that cannot be. */
  #checkSpecialRow(
    page: Buffer,
    number: number,
    node: number,
    data: number,
    overflows: { number: number; count: number }[],
  ): void {
    const size = page.readUInt32LE(node);
    const flags = page.readUInt16LE(node + 4);
    if (flags === NodeFlag.tree && size === TREE_BYTES && data + TREE_BYTES <= this.#pageBytes) {
      this.#trees.push(this.#tree(page.subarray(data)));
      return;
    }
    if (flags !== NodeFlag.big || data + OVERFLOW_BYTES > this.#pageBytes) {
      throw this.#damaged(number, "a row is outside of it");
    }
    const overflow = readUint64(page, data);
    // A row that shrank may keep the run it had.
    const pages = readUint64(page, data + 16);
    const needed = Math.floor((HEADER_BYTES - 1 + size) / this.#pageBytes) + 1;
    if (pages < needed || pages > this.#lastPage) throw this.#damaged(number, "a row's overflow run cannot be");
    this.#reach(overflow, pages);
    overflows.push({ number: overflow, count: pages });
  }

  #checkOverflow(number: number, count: number): void {
    const header = asBuffer(this.#file.read(number * this.#pageBytes, HEADER_BYTES));
    const isOverflow = readUint64(header, 0) === number && header.readUInt16LE(18) === PageFlag.overflow;
    if (!isOverflow || header.readUInt32LE(20) !== count) throw this.#damaged(number, "its header is another's");
  }

  #damaged(page: number, what: string): DaosError {
    return new DaosError(
      "CORRUPT",
      `Cannot open "${this.#file.path}": page ${page} is damaged: ${what}. Restore the target from its redundancy or a backup.`,
    );
  }
}
