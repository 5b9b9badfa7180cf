/**
 * The settled index: ordered tables of rows with atomic, durable transactions. Everything the log no longer holds is in
 * it. LMDB implements it (lmdb-index.ts); the crash tests have a model of it.
 *
 * One thread writes, one transaction at a time; another may read. Keys are byte strings that are not empty.
 */
import type { ByteString } from "../base/bytes.ts";

/** What each table holds: src/format/settled-version.ts and settled-row.ts. */
export const INDEX_TABLES = ["cells", "history", "meta", "space", "usage", "reclaim"] as const;
export type IndexTable = (typeof INDEX_TABLES)[number];

/** A walk over a table. */
export interface IndexCursor {
  /** Where the walk is; undefined past its end. */
  readonly key: ByteString | undefined;
  /** The row there, in memory of its own; only while `key` is defined. */
  readonly value: Uint8Array;
  next(): void;
  /** Ends the walk early. Must be called unless the walk came to its end. */
  close(): void;
}

export interface IndexReader {
  /** The row, in memory of its own. */
  get(table: IndexTable, key: ByteString): Uint8Array | undefined;
  /** Walks [from, to) upwards, or downwards when `reverse`. An empty bound is none. */
  cursor(table: IndexTable, from: ByteString, to: ByteString, reverse: boolean): IndexCursor;
}

/** Sees its own writes. No cursor may be open while it writes. */
export interface IndexTransaction extends IndexReader {
  /** Copies the row. */
  put(table: IndexTable, key: ByteString, row: Uint8Array): void;
  remove(table: IndexTable, key: ByteString): void;
}

export interface IndexSpace {
  /** What a transaction copies at least to change a row. */
  readonly pageBytes: number;
  readonly totalBytes: number;
  readonly usedBytes: number;
}

/** Errors of all methods: IO, CORRUPT. */
export interface SettledIndex extends IndexReader {
  /**
   * Runs `action` as one transaction, durable on return. When `action` throws, nothing of it happened. Throws NO_SPACE,
   * and nothing happened, when the tables would outgrow the index's size.
   */
  transact<T>(action: (transaction: IndexTransaction) => T): T;
  /** Reads after it see all transactions committed before it, also another thread's. */
  refresh(): void;
  space(): IndexSpace;
  close(): Promise<void>;
}
