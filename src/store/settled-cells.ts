/**
 * Cells as the settled index has them: the newest version under the cell's key, older ones in table `history`.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import {
  decodeSettledVersion,
  HISTORY_SUFFIX_BYTES,
  historyKey,
  type SettledVersion,
} from "../format/settled-version.ts";
import { type Version, VersionKind } from "./cell.ts";
import type { IndexReader } from "./settled-index.ts";

const LAST_SUFFIX = "\xff".repeat(HISTORY_SUFFIX_BYTES + 1);

/** The newest version of the cell at or before `epoch`. Throws CORRUPT. */
export function settledVersionAt(index: IndexReader, key: ByteString, epoch: Epoch): SettledVersion | undefined {
  const row = index.get("cells", key);
  return row === undefined ? undefined : settledVersionOfRow(index, key, row, epoch);
}

/** The same, given the cell's row of table `cells`. */
export function settledVersionOfRow(
  index: IndexReader,
  key: ByteString,
  row: Uint8Array,
  epoch: Epoch,
): SettledVersion | undefined {
  const newest = decodeSettledVersion(key, row);
  if (newest.epoch <= epoch) return newest;
  if (!newest.hasOlder) return undefined;
  let found: SettledVersion | undefined;
  visitHistory(index, key, epoch, (version) => {
    found = version;
    return false;
  });
  return found;
}

/** Visits the cell's versions at or before `epoch`, newest first, until `visit` returns false or one is complete. */
export function visitSettled(
  index: IndexReader,
  key: ByteString,
  epoch: Epoch,
  visit: (version: Version) => boolean | undefined,
): void {
  const row = index.get("cells", key);
  if (row === undefined) return;
  const newest = decodeSettledVersion(key, row);
  if (newest.epoch <= epoch) {
    if (visit(newest) === false || newest.kind !== VersionKind.part) return;
  }
  if (!newest.hasOlder) return;
  visitHistory(index, key, epoch, (version) => visit(version) !== false && version.kind === VersionKind.part);
}

/** Visits the rows that history has of the cell at or before `epoch`, newest first, while `visit` returns true. */
export function visitHistory(
  index: IndexReader,
  key: ByteString,
  epoch: Epoch,
  visit: (version: SettledVersion) => boolean,
): void {
  const cursor = index.cursor("history", historyKey(key, epoch), (key + LAST_SUFFIX) as ByteString, false);
  try {
    for (; cursor.key !== undefined; cursor.next()) {
      // Rows of cells whose keys go on after this one's lie in between.
      if (cursor.key.length !== key.length + HISTORY_SUFFIX_BYTES || !cursor.key.startsWith(key)) continue;
      if (!visit(decodeSettledVersion(key, cursor.value))) return;
    }
  } finally {
    cursor.close();
  }
}

/** All versions of the cell, newest first; `newest` is the one of table `cells`. */
export function allSettled(index: IndexReader, key: ByteString, newest: SettledVersion): SettledVersion[] {
  const versions = [newest];
  if (newest.hasOlder) {
    visitHistory(index, key, Number.MAX_SAFE_INTEGER as Epoch, (version) => {
      versions.push(version);
      return true;
    });
  }
  return versions;
}
