/**
 * Checks rows of the settled index, as they are in the file, and turns back single bits that have flipped (flipped-bit.ts): of a
 * row nothing else may be left that says what it was, and its target has to be able to settle what is written over it. A row
 * that is damaged otherwise is left as it is, and named. Done by the settler, a slice at a time, as all that changes the index.
 */
import { asBuffer, bytesOf, type ByteString } from "../base/bytes.ts";
import { crc32 } from "../base/checksum.ts";
import { flippedBit } from "../base/flipped-bit.ts";
import { HISTORY_SUFFIX_BYTES } from "../format/settled-version.ts";
import { type IndexReader, type IndexTable, type IndexTransaction } from "./settled-index.ts";

/** Rows that one slice looks at, and their bytes, about. */
const SLICE_ROWS = 4096;
const SLICE_BYTES = 1024 * 1024;
/** Damaged rows that one slice names; it ends with the last of them. */
const SLICE_DAMAGED = 64;
/** Of each row: its checksum. */
const CHECKSUM_BYTES = 4;

/** Rows of a table in [from, to); an empty bound is none. */
export interface RowRange {
  readonly table: IndexTable;
  readonly from: ByteString;
  readonly to: ByteString;
}

export interface RowName {
  readonly table: IndexTable;
  readonly key: ByteString;
}

export interface RowCheckResult {
  readonly rows: number;
  readonly bytes: number;
  /** Were damaged and are as they were. */
  readonly mended: readonly RowName[];
  /** Are damaged. */
  readonly damaged: readonly RowName[];
}

interface FoundRow {
  readonly key: ByteString;
  readonly row: Buffer;
}

/** Checks a slice of the range, and mends what it can. `next`: where to go on; undefined: all is done. */
export function checkRows(
  transaction: IndexTransaction,
  range: RowRange,
): RowCheckResult & { readonly next: ByteString | undefined } {
  const { table } = range;
  const { failing, ...slice } = sliceOf(transaction, range);
  const mended: RowName[] = [];
  const damaged: RowName[] = [];
  for (const { key, row } of failing) {
    const original = originalOf(table, key, row);
    if (original !== undefined) transaction.put(table, key, original);
    (original === undefined ? damaged : mended).push({ table, key });
  }
  return { ...slice, mended, damaged };
}

/** Whether anything in the slice is damaged: then it is done again by `checkRows`, in a transaction. */
export function sliceOf(
  index: IndexReader,
  { table, from, to }: RowRange,
): { rows: number; bytes: number; failing: readonly FoundRow[]; next: ByteString | undefined } {
  const failing: FoundRow[] = [];
  const cursor = index.cursor(table, from, to, false);
  let rows = 0;
  let bytes = 0;
  let next: ByteString | undefined;
  for (; cursor.key !== undefined; cursor.next()) {
    if (rows >= SLICE_ROWS || bytes >= SLICE_BYTES || failing.length >= SLICE_DAMAGED) {
      next = cursor.key;
      break;
    }
    const row = asBuffer(cursor.value);
    rows += 1;
    bytes += cursor.key.length + row.length;
    if (!isWhole(table, cursor.key, row)) failing.push({ key: cursor.key, row });
  }
  cursor.close();
  return { rows, bytes, failing, next };
}

/** What the checksums of rows are seeded with: those in history with the key of the cell. */
function seedOf(table: IndexTable, key: ByteString): number {
  return crc32(bytesOf(table === "history" ? (key.slice(0, -HISTORY_SUFFIX_BYTES) as ByteString) : key));
}

function isWhole(table: IndexTable, key: ByteString, row: Buffer): boolean {
  if (row.length < CHECKSUM_BYTES) return false;
  return row.readUInt32LE(0) === crc32(row.subarray(CHECKSUM_BYTES), seedOf(table, key));
}

/** The row before one of its bits flipped; undefined when it was more than that. */
function originalOf(table: IndexTable, key: ByteString, row: Buffer): Buffer | undefined {
  if (row.length < CHECKSUM_BYTES) return undefined;
  const body = row.subarray(CHECKSUM_BYTES);
  const actual = crc32(body, seedOf(table, key));
  const flipped = flippedBit(row.readUInt32LE(0), actual, body.length);
  if (flipped === undefined) return undefined;
  const original = Buffer.from(row);
  if (flipped.in === "checksum") original.writeUInt32LE(actual, 0);
  else original[CHECKSUM_BYTES + flipped.at]! ^= flipped.mask;
  return original;
}
