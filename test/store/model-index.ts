/**
 * The settled index as a model: sorted tables in memory whose transactions commit whole or not at all. A crash may strike
 * just before or just after a commit; the tables outlive it, as a file would.
 */
import type { ByteString } from "../../src/base/bytes.ts";
import { DaosError } from "../../src/base/errors.ts";
import {
  INDEX_TABLES,
  type IndexCursor,
  type IndexSpace,
  type IndexTable,
  type IndexTransaction,
  type SettledIndex,
} from "../../src/store/settled-index.ts";

/** Small, so that few cells are many pages. */
const PAGE_BYTES = 32;

/** The rows, apart from the index that is open on them: what is on the medium. */
export class ModelTables {
  readonly rows = new Map<IndexTable, Map<ByteString, Uint8Array>>();
  readonly keys = new Map<IndexTable, ByteString[]>();
  usedBytes = 0;

  constructor() {
    for (const table of INDEX_TABLES) {
      this.rows.set(table, new Map());
      this.keys.set(table, []);
    }
  }

  put(table: IndexTable, key: ByteString, row: Uint8Array | undefined): void {
    const rows = this.rows.get(table)!;
    const keys = this.keys.get(table)!;
    const before = rows.get(key);
    if (before !== undefined) this.usedBytes -= key.length + before.length + 16;
    if (row !== undefined) this.usedBytes += key.length + row.length + 16;
    if (row === undefined) {
      if (rows.delete(key)) keys.splice(placeOf(keys, key), 1);
      return;
    }
    if (!rows.has(key)) keys.splice(placeOf(keys, key), 0, key);
    rows.set(key, row);
  }
}

/** First place whose key is not below `key`. */
function placeOf(keys: readonly ByteString[], key: ByteString): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

export interface ModelIndexOptions {
  readonly tables: ModelTables;
  readonly totalBytes?: number;
  /** Called before and after each commit; may throw to crash there. */
  readonly step?: (where: "before commit" | "after commit") => void;
}

export class ModelIndex implements SettledIndex {
  readonly tables: ModelTables;
  totalBytes: number;
  /** Committed transactions of this opening. */
  commits = 0;
  readonly #step: (where: "before commit" | "after commit") => void;
  #cursors = 0;

  constructor(options: ModelIndexOptions) {
    this.tables = options.tables;
    this.totalBytes = options.totalBytes ?? 64 * 1024 * 1024;
    this.#step = options.step ?? (() => {});
  }

  get(table: IndexTable, key: ByteString): Uint8Array | undefined {
    return this.tables.rows.get(table)!.get(key)?.slice();
  }

  cursor(table: IndexTable, from: ByteString, to: ByteString, reverse: boolean): IndexCursor {
    const keys = this.tables.keys.get(table)!;
    const end = to === "" ? keys.length : placeOf(keys, to);
    const found = keys.slice(placeOf(keys, from), end);
    this.#cursors += 1;
    return new ModelCursor(this.tables.rows.get(table)!, reverse ? found.reverse() : found, () => {
      this.#cursors -= 1;
    });
  }

  transact<T>(action: (transaction: IndexTransaction) => T): T {
    const undo: { table: IndexTable; key: ByteString; row: Uint8Array | undefined }[] = [];
    const write = (table: IndexTable, key: ByteString, row: Uint8Array | undefined): void => {
      if (this.#cursors !== 0) throw new Error("a cursor is open while the transaction writes");
      undo.push({ table, key, row: this.tables.rows.get(table)!.get(key) });
      this.tables.put(table, key, row);
    };
    try {
      const result = action({
        get: (table, key) => this.get(table, key),
        cursor: (table, from, to, reverse) => this.cursor(table, from, to, reverse),
        // A slice of a Buffer would be a view of it.
        put: (table, key, row) => write(table, key, new Uint8Array(row)),
        remove: (table, key) => write(table, key, undefined),
      });
      if (this.tables.usedBytes > this.totalBytes) throw new DaosError("NO_SPACE", "Cannot write: the model is full.");
      this.#step("before commit");
      this.commits += 1;
      undo.length = 0;
      this.#step("after commit");
      return result;
    } catch (error) {
      for (const { table, key, row } of undo.reverse()) this.tables.put(table, key, row);
      throw error;
    }
  }

  refresh(): void {
    /* Always current. */
  }

  space(): IndexSpace {
    return { totalBytes: this.totalBytes, usedBytes: this.tables.usedBytes, pageBytes: PAGE_BYTES };
  }

  async close(): Promise<void> {
    /* Nothing is held. */
  }
}

class ModelCursor implements IndexCursor {
  #place = 0;
  #ended = false;
  readonly #rows: ReadonlyMap<ByteString, Uint8Array>;
  readonly #keys: readonly ByteString[];
  readonly #onEnd: () => void;

  constructor(rows: ReadonlyMap<ByteString, Uint8Array>, keys: readonly ByteString[], onEnd: () => void) {
    this.#rows = rows;
    this.#keys = keys;
    this.#onEnd = onEnd;
    this.#checkEnd();
  }

  get key(): ByteString | undefined {
    return this.#ended ? undefined : this.#keys[this.#place];
  }

  get value(): Uint8Array {
    return this.#rows.get(this.#keys[this.#place]!)!.slice();
  }

  next(): void {
    this.#place += 1;
    this.#checkEnd();
  }

  #checkEnd(): void {
    if (!this.#ended && this.#place >= this.#keys.length) this.close();
  }

  close(): void {
    if (!this.#ended) this.#onEnd();
    this.#ended = true;
  }
}
