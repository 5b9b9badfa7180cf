/**
 * The settled index on LMDB: a memory-mapped, copy-on-write B+tree, one file. The environment may be open in several
 * threads of the process; LMDB lets one write at a time.
 *
 * The package grows its map without asking, so the size limit is kept here: a transaction that leaves the live pages over
 * it is aborted with NO_SPACE. Copy-on-write needs room besides: the file may grow to about twice the size.
 */
import { type Database, open, type RootDatabase } from "lmdb";
import { assert } from "../base/assert.ts";
import { asBuffer, type ByteString } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import type { Disk } from "../contracts/world.ts";
import { checkLmdbFile, LARGEST_CHECK_READ_BYTES } from "./lmdb-check.ts";
import {
  INDEX_TABLES,
  type IndexCursor,
  type IndexSpace,
  type IndexTable,
  type IndexTransaction,
  type SettledIndex,
} from "./settled-index.ts";

/** Address space, not memory: growing it later would move the map under the readers. */
const MAP_SHARE = 4;
const MAP_EXTRA_BYTES = 256 * MIB;

interface PageCounts {
  readonly pageSize: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}
/** The package's parts that its type declarations lack. */
interface Table extends Database<Buffer, ByteString> {
  /** Length of the row that getBinaryFast read. */
  readonly lastSize: number;
  readonly db: { stat(): PageCounts };
}
interface Environment extends RootDatabase<Buffer, ByteString> {
  /** Begins a read transaction unless one, or a write transaction, is there. */
  ensureReadTxn(): void;
  readonly env: { stat(): PageCounts; freeStat(): PageCounts };
}

/** Keys are byte strings as they are. */
const KEY_ENCODER = {
  writeKey(key: ByteString, into: Buffer, start: number): number {
    return start + into.latin1Write(key, start, key.length);
  },
  readKey(from: Buffer, start: number, end: number): ByteString {
    return from.latin1Slice(start, end) as ByteString;
  },
};

export interface LmdbIndexOptions {
  /** The file. Its folder is there. A second file beside it, with `-lock` at the end of its name, is LMDB's own. */
  readonly path: string;
  /** Most bytes of live pages. */
  readonly sizeBytes: number;
  /** To check the files before they are mapped. Left out by the thread that opens them second. */
  readonly disk?: Pick<Disk, "openFile">;
}

/** Opens or makes an index. Throws CORRUPT (no index, damaged, truncated), READ_ONLY, NO_SPACE and IO. */
export function openLmdbIndex(options: LmdbIndexOptions): SettledIndex {
  return new LmdbIndex(options);
}

class LmdbIndex implements SettledIndex {
  readonly #path: string;
  readonly #sizeBytes: number;
  readonly #environment: Environment;
  readonly #tables = new Map<IndexTable, Table>();
  readonly #cells: Table;

  constructor(options: LmdbIndexOptions) {
    this.#path = options.path;
    this.#sizeBytes = options.sizeBytes;
    assert(Number.isSafeInteger(options.sizeBytes) && options.sizeBytes > 0, "an index has a size");
    if (options.disk !== undefined) prepareFiles(options.disk, options.path);
    const settings = {
      path: options.path,
      noSubdir: true,
      maxDbs: INDEX_TABLES.length + 1,
      mapSize: options.sizeBytes * MAP_SHARE + MAP_EXTRA_BYTES,
      // A commit returns when it is on the medium.
      overlappingSync: false,
      encoding: "binary" as const,
      cache: false,
    };
    this.#environment = this.#guard("open", () => open<Buffer, ByteString>(settings)) as Environment;
    for (const name of INDEX_TABLES) {
      const table = { name, encoding: "binary" as const, keyEncoder: KEY_ENCODER };
      this.#tables.set(name, this.#guard("open", () => this.#environment.openDB(table)) as unknown as Table);
    }
    this.#cells = this.#tables.get("cells")!;
  }

  #table(name: IndexTable): Table {
    return name === "cells" ? this.#cells : this.#tables.get(name)!;
  }

  get(name: IndexTable, key: ByteString): Uint8Array | undefined {
    const table = this.#table(name);
    try {
      const shared = table.getBinaryFast(key);
      if (shared === undefined) return undefined;
      const row = Buffer.allocUnsafe(table.lastSize);
      asBuffer(shared).copy(row, 0, 0, table.lastSize);
      return row;
    } catch (cause) {
      throw this.#error("read", cause);
    }
  }

  cursor(name: IndexTable, from: ByteString, to: ByteString, reverse: boolean): IndexCursor {
    const range = reverse
      ? { reverse: true, start: to === "" ? undefined : to, exclusiveStart: to !== "", end: undefined }
      : { start: from === "" ? undefined : from, end: to === "" ? undefined : to };
    const lowest = reverse ? from : ("" as ByteString);
    return this.#guard("read", () => {
      const entries = this.#table(name).getRange(range as { start: ByteString });
      return new LmdbCursor(entries[Symbol.iterator](), lowest, (cause) => this.#error("read", cause));
    });
  }

  transact<T>(action: (transaction: IndexTransaction) => T): T {
    const transaction: IndexTransaction = {
      get: (name, key) => this.get(name, key),
      cursor: (name, from, to, reverse) => this.cursor(name, from, to, reverse),
      put: (name, key, row) => this.#table(name).putSync(key, row as Buffer),
      remove: (name, key) => void this.#table(name).removeSync(key),
    };
    return this.#guard("write", () =>
      this.#environment.transactionSync(() => {
        const result = action(transaction);
        this.#checkSize();
        return result;
      }),
    );
  }

  #checkSize(): void {
    if (this.#usedBytes() <= this.#sizeBytes) return;
    throw new DaosError(
      "NO_SPACE",
      `Cannot write "${this.#path}": its ${formatSize(this.#sizeBytes)} are full. Delete data or give the target more SCM.`,
    );
  }

  #usedBytes(): number {
    // Statistics are read in the current transaction, of which there may be none yet.
    this.#environment.ensureReadTxn();
    let pages = 2 + pagesOf(this.#environment.env.stat()) + pagesOf(this.#environment.env.freeStat());
    for (const table of this.#tables.values()) pages += pagesOf(table.db.stat());
    return pages * this.#environment.env.stat().pageSize;
  }

  refresh(): void {
    this.#environment.resetReadTxn();
  }

  space(): IndexSpace {
    const usedBytes = this.#guard("read", () => this.#usedBytes());
    return { totalBytes: this.#sizeBytes, usedBytes, pageBytes: this.#environment.env.stat().pageSize };
  }

  async close(): Promise<void> {
    await this.#environment.close();
  }

  #guard<T>(verb: string, action: () => T): T {
    try {
      return action();
    } catch (cause) {
      throw this.#error(verb, cause);
    }
  }

  #error(verb: string, cause: unknown): Error {
    if (cause instanceof DaosError) return cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    if (/MAP_FULL|No space left/i.test(message)) {
      return new DaosError("NO_SPACE", `Cannot ${verb} "${this.#path}": ${message}. Free space on its device.`, {
        cause,
      });
    }
    const code = /CORRUPT|INVALID|PAGE_NOTFOUND|VERSION_MISMATCH|not an LMDB|Database not found/i.test(message)
      ? "CORRUPT"
      : "IO";
    const advice = code === "CORRUPT" ? "Restore the target from its redundancy or a backup." : "Check the device.";
    return new DaosError(code, `Cannot ${verb} "${this.#path}": ${message}. ${advice}`, { cause });
  }
}

/**
 * Whatever keeps LMDB from opening its files ends the process in its native code. So they are opened here first, for
 * writing, and what is in them is checked.
 */
function prepareFiles(disk: Pick<Disk, "openFile">, path: string): void {
  disk.openFile(`${path}-lock`, { create: true }).close();
  const file = disk.openFile(path, { create: true });
  try {
    const sizeBytes = file.sizeBytes();
    const buffer = new Uint8Array(LARGEST_CHECK_READ_BYTES);
    const read = (offset: number, length: number): Uint8Array => {
      const bytes = buffer.subarray(0, length);
      file.readSync(bytes, offset);
      return bytes;
    };
    // LMDB fills an empty file with its first commit.
    if (sizeBytes > 0) checkLmdbFile({ path, sizeBytes, read });
  } finally {
    file.close();
  }
}

function pagesOf(counts: PageCounts): number {
  return counts.treeBranchPageCount + counts.treeLeafPageCount + counts.overflowPages;
}

class LmdbCursor implements IndexCursor {
  key: ByteString | undefined;
  value: Uint8Array = new Uint8Array(0);
  readonly #entries: Iterator<{ key: ByteString; value: Buffer }>;
  readonly #lowest: ByteString;
  readonly #error: (cause: unknown) => Error;

  constructor(
    entries: Iterator<{ key: ByteString; value: Buffer }>,
    lowest: ByteString,
    error: (cause: unknown) => Error,
  ) {
    this.#entries = entries;
    this.#lowest = lowest;
    this.#error = error;
    this.next();
  }

  next(): void {
    try {
      const step = this.#entries.next();
      if (step.done === true) {
        this.key = undefined;
      } else if (step.value.key < this.#lowest) {
        this.close();
      } else {
        this.key = step.value.key;
        this.value = step.value.value;
      }
    } catch (cause) {
      throw this.#error(cause);
    }
  }

  close(): void {
    this.key = undefined;
    this.#entries.return?.();
  }
}
