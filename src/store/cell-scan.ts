/**
 * Walks cells in key order over both memtables and the settled index at once, giving the newest version at or before an
 * epoch. Younger sources win: an equal epoch in a younger one replaces.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import type { Version } from "./cell.ts";
import type { Memtable } from "./memtable.ts";
import type { KeyCursor } from "./ordered-keys.ts";
import { settledVersionOfRow } from "./settled-cells.ts";
import type { IndexReader } from "./settled-index.ts";

export interface ScanRange {
  readonly from: ByteString;
  /** Empty: no bound. */
  readonly to: ByteString;
  readonly epoch: Epoch;
  readonly reverse: boolean;
}

/** Visits until `visit` returns false. `memtables`: youngest first. */
export function scanCells(
  memtables: readonly Memtable[],
  index: IndexReader,
  range: ScanRange,
  visit: (key: ByteString, version: Version) => boolean | undefined,
): void {
  const settled = index.cursor("cells", range.from, range.to, range.reverse);
  const cursors = memtables.map((memtable) => memtable.cursor(range.from, range.to, range.reverse));
  try {
    for (;;) {
      const key = nextKey(cursors, settled, range.reverse);
      if (key === undefined) return;
      const version =
        versionAt(memtables, cursors, key, range.epoch) ??
        (settled.key === key ? settledVersionOfRow(index, key, settled.value, range.epoch) : undefined);
      for (const cursor of cursors) if (cursor.key === key) cursor.next();
      if (settled.key === key) settled.next();
      if (version !== undefined && visit(key, version) === false) return;
    }
  } finally {
    settled.close();
  }
}

function nextKey(cursors: readonly KeyCursor[], settled: KeyCursor, reverse: boolean): ByteString | undefined {
  let key = settled.key;
  for (let index = 0; index < cursors.length; index += 1) {
    const other = cursors[index]!.key;
    if (other === undefined) continue;
    if (key === undefined || (reverse ? other > key : other < key)) key = other;
  }
  return key;
}

function versionAt(
  memtables: readonly Memtable[],
  cursors: readonly KeyCursor[],
  key: ByteString,
  epoch: Epoch,
): Version | undefined {
  for (let index = 0; index < memtables.length; index += 1) {
    if (cursors[index]!.key !== key) continue;
    const version = memtables[index]!.get(key, epoch);
    if (version !== undefined) return version;
  }
  return undefined;
}
