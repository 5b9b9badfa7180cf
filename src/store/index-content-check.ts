/**
 * Checks the content of the settled index's file before LMDB opens it. lmdb-check.ts makes sure that the file can be
 * mapped; this makes sure that nothing in it is hidden, lost or about to be overwritten: a flipped bit in a key makes a
 * row unfindable, and one in the list of free pages has live pages written over, and no checksum of a row tells.
 *
 * Guarantees, for the snapshot that LMDB would open: the pages are of its transaction or older ones, page and row counts
 * agree, no page is used twice or both used and free; and in all leaves within the budget keys are in order, between
 * their parents', and every row matches its checksum, which covers its key, but for one flipped bit in rows of cells (row-check.ts). What is
 * damaged later, or beyond the budget, is left to the checksums of the rows when they are read.
 *
 * The layout is that of the package's LMDB, see lmdb-check.ts. Records of the free tree: u64 count, then so many page
 * numbers; a negative one is the length of the run that the next one begins; zeros are unused places.
 */
import { asBuffer, byteString, type ByteString } from "../base/bytes.ts";
import { crc32 } from "../base/checksum.ts";
import { DaosError } from "../base/errors.ts";
import { flippedBit } from "../base/flipped-bit.ts";
import type { Disk } from "../contracts/world.ts";
import { HISTORY_SUFFIX_BYTES } from "../format/settled-version.ts";
import { readUint64 } from "../format/uint64.ts";
import { INDEX_TABLES, type IndexTable } from "./settled-index.ts";

/** Leaf and overflow pages that are read at most: 128 MiB of 4 KiB pages, about half a second on a laptop. */
export const CHECKED_LEAF_PAGES = 32_768;

/** The file, as src/contracts/world.ts has it. */
export interface CheckedFile {
  sizeBytes(): number;
  readSync(buffer: Uint8Array, offset: number): number;
}

const HEADER_BYTES = 24;
const NODE_BYTES = 8;
const TREE_BYTES = 48;
const META_MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const META_BYTES = 168;
const FLAG_BRANCH = 1;
const FLAG_LEAF = 2;
const FLAG_OVERFLOW = 4;
const FLAG_META = 8;
const NODE_OVERFLOW = 1;
const NODE_TREE = 2;
/** Integer keys, and the file being no folder: the environment's flags that are kept in it. */
const FREE_TREE_FLAGS = 0x4008;
const MAX_DEPTH = 16;
/** The pages in use are at least the file's size over this: bounds the memory of the check. */
const MAX_LEAD = 64;
/** Root of an empty tree: all bits set. */
const NO_PAGE = 2 ** 64;

interface Tree {
  readonly name: string;
  readonly depth: number;
  readonly branchPages: number;
  readonly leafPages: number;
  readonly overflowPages: number;
  readonly entries: number;
  readonly root: number;
}

interface Meta {
  readonly pageBytes: number;
  readonly transaction: number;
  readonly lastPage: number;
  readonly free: Tree;
  readonly main: Tree;
}

interface Node {
  readonly key: ByteString;
  /** Of the child page; in a leaf the data's size. */
  readonly number: number;
  readonly flags: number;
  readonly dataOffset: number;
}

/** What was met of a tree. */
interface TreeCounts {
  branchPages: number;
  leafPages: number;
  overflowPages: number;
  entries: number;
  /** Leaves were left out: rows and overflow pages are not all counted. */
  isPartial: boolean;
}

/** See checkIndexContent. */
export function checkIndexFile(disk: Disk, path: string): void {
  const file = disk.openFile(path, { readOnly: true });
  try {
    checkIndexContent(path, file);
  } finally {
    file.close();
  }
}

/** Throws CORRUPT (damage), VERSION (another LMDB's file) or IO. An empty file passes: LMDB makes it anew. */
export function checkIndexContent(path: string, file: CheckedFile, leafPages: number = CHECKED_LEAF_PAGES): void {
  if (file.sizeBytes() > 0) new ContentCheck(path, file, leafPages).run();
}

class ContentCheck {
  readonly #path: string;
  readonly #file: CheckedFile;
  readonly #meta: Meta;
  readonly #used: Uint8Array;
  readonly #pages: Buffer[] = [];
  #budget: number;

  constructor(path: string, file: CheckedFile, leafPages: number) {
    this.#path = path;
    this.#file = file;
    this.#budget = leafPages;
    this.#meta = this.#newestMeta();
    this.#used = new Uint8Array(Math.ceil((this.#meta.lastPage + 1) / 8));
  }

  run(): void {
    const { main, free } = this.#meta;
    const trees = new Map<string, Tree>();
    this.#walk(main, Number.MAX_SAFE_INTEGER, (page, node) => {
      // The package ends the names with a zero.
      const name = node.key.replace(/\0$/, "");
      if (node.flags !== NODE_TREE || node.number !== TREE_BYTES) throw this.#damaged("a table's entry is impossible");
      trees.set(name, this.#tree(name, page, node.dataOffset, 0));
    });
    for (const name of INDEX_TABLES) {
      const tree = trees.get(name);
      if (tree === undefined) throw this.#damaged(`table "${name}" is missing`);
      const keyEnd = name === "history" ? -HISTORY_SUFFIX_BYTES : undefined;
      this.#walk(tree, undefined, (page, node) => {
        const row = this.#data(tree, page, node);
        const body = crc32(row.subarray(4), crc32(Buffer.from(node.key.slice(0, keyEnd), "latin1")));
        const isWhole = row.length >= 4 && row.readUInt32LE(0) === body;
        if (!isWhole && !isMendable(name, row, body)) throw this.#damaged(`a row of table "${name}" is damaged`);
      });
    }
    this.#checkFreePages(free);
  }

  /** LMDB opens the snapshot of the meta page with the higher transaction. */
  #newestMeta(): Meta {
    const first = this.#readMeta(0, 0);
    const second = this.#readMeta(first.pageBytes, 1);
    if (second.pageBytes !== first.pageBytes) throw this.#damaged("its two meta pages disagree");
    const meta = second.transaction > first.transaction ? second : first;
    // Free pages at the end may never have been written.
    if (meta.lastPage * meta.pageBytes <= MAX_LEAD * this.#file.sizeBytes()) return meta;
    throw this.#damaged(`${this.#file.sizeBytes()} bytes of ${(meta.lastPage + 1) * meta.pageBytes} are there`);
  }

  #readMeta(offset: number, number: number): Meta {
    const bytes = Buffer.alloc(META_BYTES);
    if (this.#file.readSync(bytes, offset) < META_BYTES) throw this.#damaged("it is cut off in its meta pages");
    const isMeta = bytes.readUInt16LE(18) === FLAG_META && readUint64(bytes, 0) === number;
    if (!isMeta || bytes.readUInt32LE(24) !== META_MAGIC) throw this.#damaged(`meta page ${number} is none`);
    const version = bytes.readUInt32LE(28);
    if (version !== DATA_VERSION) {
      const state = `its LMDB format is version ${version}, this program knows ${DATA_VERSION}`;
      throw new DaosError("VERSION", `Cannot open "${this.#path}": ${state}. Run the release that wrote it.`);
    }
    const pageBytes = bytes.readUInt32LE(48);
    if (pageBytes < 4096 || pageBytes > 65_536 || (pageBytes & (pageBytes - 1)) !== 0) {
      throw this.#damaged("its page size is impossible");
    }
    return {
      pageBytes,
      free: this.#tree("free pages", bytes, 48, FREE_TREE_FLAGS, pageBytes),
      main: this.#tree("tables", bytes, 96, 0),
      lastPage: readUint64(bytes, 144),
      transaction: readUint64(bytes, 152),
    };
  }

  #tree(name: string, bytes: Buffer, offset: number, flags: number, pad = 0): Tree {
    const tree: Tree = {
      name,
      depth: bytes.readUInt16LE(offset + 6),
      branchPages: readUint64(bytes, offset + 8),
      leafPages: readUint64(bytes, offset + 16),
      overflowPages: readUint64(bytes, offset + 24),
      entries: readUint64(bytes, offset + 32),
      root: readUint64(bytes, offset + 40),
    };
    const isEmpty = tree.root === NO_PAGE && tree.depth === 0 && tree.entries === 0;
    const isRight = bytes.readUInt32LE(offset) === pad && bytes.readUInt16LE(offset + 4) === flags;
    if (isRight && (isEmpty || (tree.depth > 0 && tree.depth <= MAX_DEPTH))) return tree;
    throw this.#damaged(`the root of "${name}" is impossible`);
  }

  /** Visits every row of the tree, or of the leaves that `budget` (default: the check's) allows, and counts its pages. */
  #walk(tree: Tree, budget: number | undefined, visit: (page: Buffer, node: Node) => void): void {
    const counts: TreeCounts = { branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0, isPartial: false };
    if (budget !== undefined) this.#withBudget(budget, () => this.#walkTree(tree, counts, visit));
    else this.#walkTree(tree, counts, visit);
    const pagesAgree = counts.branchPages === tree.branchPages && counts.leafPages === tree.leafPages;
    const rowsAgree = counts.entries === tree.entries && counts.overflowPages === tree.overflowPages;
    if (!pagesAgree || (!rowsAgree && !counts.isPartial)) throw this.#damaged(`the counts of "${tree.name}" are wrong`);
  }

  #withBudget(budget: number, action: () => void): void {
    const saved = this.#budget;
    this.#budget = budget;
    action();
    this.#budget = saved;
  }

  #walkTree(tree: Tree, counts: TreeCounts, visit: (page: Buffer, node: Node) => void): void {
    if (tree.depth === 0) return;
    const check = (number: number, depth: number, from: ByteString, to: ByteString | undefined): void => {
      this.#useWritten(number, 1);
      const isLeaf = depth === tree.depth;
      if (isLeaf) counts.leafPages += 1;
      else counts.branchPages += 1;
      if (isLeaf && this.#budget <= 0) {
        counts.isPartial = true;
        return;
      }
      if (isLeaf) this.#budget -= 1;
      const page = this.#page(number, depth, isLeaf ? FLAG_LEAF : FLAG_BRANCH);
      const nodes = this.#nodes(tree, page, number, isLeaf, from, to);
      if (nodes.length === 0) throw this.#damaged(`page ${number} is empty`);
      for (let index = 0; index < nodes.length; index += 1) {
        const node = nodes[index]!;
        if (!isLeaf) {
          check(node.number, depth + 1, index === 0 ? from : node.key, nodes[index + 1]?.key ?? to);
          continue;
        }
        counts.entries += 1;
        visit(page, node);
        if ((node.flags & NODE_OVERFLOW) !== 0) counts.overflowPages += this.#overflowCount(page, node);
      }
    };
    check(tree.root, 1, "" as ByteString, undefined);
  }

  /** The nodes of a page, in order. Integer keys (of the free pages) are compared as they are: their order is not checked. */
  #nodes(
    tree: Tree,
    page: Buffer,
    number: number,
    isLeaf: boolean,
    from: ByteString,
    to: ByteString | undefined,
  ): Node[] {
    const pointers = page.readUInt16LE(20);
    const upper = page.readUInt16LE(22) + HEADER_BYTES;
    if (pointers % 2 !== 0 || pointers + HEADER_BYTES > upper || upper > page.length) {
      throw this.#damaged(`the bounds of page ${number} are impossible`);
    }
    const ordered = tree !== this.#meta.free;
    const nodes: Node[] = [];
    let before = from;
    let nodeBytes = 0;
    for (let index = 0; index < pointers / 2; index += 1) {
      const offset = page.readUInt16LE(HEADER_BYTES + 2 * index) + HEADER_BYTES;
      const node = offset % 2 === 0 && offset >= upper ? nodeAt(page, offset, isLeaf) : undefined;
      if (node === undefined) throw this.#damaged(`a node of page ${number} lies outside`);
      const isFirst = index === 0;
      const inOrder = isFirst ? node.key >= before : node.key > before;
      // The first key of a branch page counts as the lowest of all.
      const isLowest = isFirst && !isLeaf;
      if (ordered && ((!inOrder && !isLowest) || (to !== undefined && node.key >= to))) {
        throw this.#damaged(`the keys of page ${number} are out of order`);
      }
      if (!isLowest) before = node.key;
      nodeBytes += evenBytes(NODE_BYTES + node.key.length + (isLeaf ? storedBytes(node) : 0));
      nodes.push(node);
    }
    // Nodes fill the page from the end without gaps or overlaps.
    if (upper + nodeBytes !== page.length) throw this.#damaged(`the nodes of page ${number} overlap`);
    return nodes;
  }

  /** A row's bytes, in the page or on overflow pages. */
  #data(tree: Tree, page: Buffer, node: Node): Buffer {
    if (node.flags === 0) return page.subarray(node.dataOffset, node.dataOffset + node.number);
    if (node.flags !== NODE_OVERFLOW) throw this.#damaged(`a node of "${tree.name}" is of no kind that is used`);
    const first = readUint64(page, node.dataOffset);
    const count = this.#overflowCount(page, node);
    const { pageBytes, transaction, lastPage } = this.#meta;
    if (count < 1 || !(first + count - 1 <= lastPage) || HEADER_BYTES + node.number > count * pageBytes) {
      throw this.#damaged(`a large row of "${tree.name}" lies outside`);
    }
    this.#useWritten(first, count);
    this.#budget -= count;
    const bytes = Buffer.allocUnsafe(HEADER_BYTES + node.number);
    this.#read(bytes, first * pageBytes);
    const isRight = readUint64(bytes, 0) === first && bytes.readUInt16LE(18) === FLAG_OVERFLOW;
    if (!isRight || bytes.readUInt32LE(20) !== count || !(readUint64(bytes, 8) <= transaction)) {
      throw this.#damaged(`overflow page ${first} is none`);
    }
    return bytes.subarray(HEADER_BYTES);
  }

  #overflowCount(page: Buffer, node: Node): number {
    return readUint64(page, node.dataOffset + 16);
  }

  #checkFreePages(free: Tree): void {
    this.#walk(free, Number.MAX_SAFE_INTEGER, (page, node) => {
      if (node.key.length !== 8) throw this.#damaged("a record of free pages is impossible");
      const bytes = this.#data(free, page, node);
      const count = bytes.length < 8 ? Number.NaN : readUint64(bytes, 0);
      if (!(8 * (count + 1) <= bytes.length)) throw this.#damaged("a record of free pages is cut off");
      let run = 1;
      for (let index = 1; index <= count; index += 1) {
        const number = Number(bytes.readBigInt64LE(8 * index));
        if (number < 0) {
          run = -number;
          continue;
        }
        if (number !== 0) this.#use(number, run);
        run = 1;
      }
    });
  }

  /** Marks pages as taken: by one tree, or by the list of free ones. */
  #use(first: number, count: number): void {
    if (!Number.isSafeInteger(first) || first < 2 || first + count - 1 > this.#meta.lastPage) {
      throw this.#damaged(`page ${first} is beyond its end`);
    }
    for (let number = first; number < first + count; number += 1) {
      const mask = 1 << (number & 7);
      if ((this.#used[number >>> 3]! & mask) !== 0) throw this.#damaged(`page ${number} is used twice`);
      this.#used[number >>> 3]! |= mask;
    }
  }

  /** The same for pages that hold something: they lie within the file. */
  #useWritten(first: number, count: number): void {
    this.#use(first, count);
    const neededBytes = (first + count) * this.#meta.pageBytes;
    const sizeBytes = this.#file.sizeBytes();
    if (sizeBytes < neededBytes) throw this.#damaged(`${sizeBytes} bytes of ${neededBytes} are there`);
  }

  /** Reads a page into the buffer of its depth. */
  #page(number: number, depth: number, flags: number): Buffer {
    const { pageBytes, transaction } = this.#meta;
    const page = (this.#pages[depth] ??= Buffer.allocUnsafe(pageBytes));
    this.#read(page, number * pageBytes);
    const isRight = readUint64(page, 0) === number && page.readUInt16LE(18) === flags && page.readUInt16LE(16) === 0;
    if (!isRight || !(readUint64(page, 8) <= transaction))
      throw this.#damaged(`page ${number} is not the one expected`);
    return page;
  }

  #read(buffer: Buffer, offset: number): void {
    if (this.#file.readSync(buffer, offset) < buffer.length) throw this.#damaged("it is cut off");
  }

  #damaged(state: string): DaosError {
    return new DaosError(
      "CORRUPT",
      `Cannot open "${this.#path}": ${state}. Restore the target from its redundancy or a backup.`,
    );
  }
}

/** The node at `offset`; undefined when it is not inside the page. */
function nodeAt(page: Buffer, offset: number, isLeaf: boolean): Node | undefined {
  if (offset + NODE_BYTES > page.length) return undefined;
  const low = page.readUInt32LE(offset);
  const flags = page.readUInt16LE(offset + 4);
  const dataOffset = offset + NODE_BYTES + page.readUInt16LE(offset + 6);
  if (dataOffset > page.length) return undefined;
  const key = byteString(asBuffer(page), offset + NODE_BYTES, dataOffset);
  if (!isLeaf) return { key, number: low + flags * 0x1_0000_0000, flags: 0, dataOffset };
  const node = { key, number: low, flags, dataOffset };
  return dataOffset + storedBytes(node) <= page.length ? node : undefined;
}

/** Bytes of a leaf node's data that are in the page: the data, or where it is. */
function storedBytes(node: Node): number {
  return (node.flags & NODE_OVERFLOW) === 0 ? node.number : NODE_BYTES * 3;
}

function evenBytes(bytes: number): number {
  return bytes + (bytes & 1);
}

/** Whether nothing but a bit of a cell's row has flipped, its key being right: it is mended when it is read, settled or scrubbed. */
function isMendable(table: IndexTable, row: Buffer, actual: number): boolean {
  const isCell = table === "cells" || table === "history";
  return isCell && row.length >= 4 && flippedBit(row.readUInt32LE(0), actual, row.length - 4) !== undefined;
}
