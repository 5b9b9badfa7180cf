/**
 * Walks the versions that have bytes on the device, all of them, whoever sees them: of the settled index and of what is not settled. Rows
 * that are damaged are passed over: row-check.ts finds those.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { hasCode } from "../base/errors.ts";
import { decodeSettledVersion, HISTORY_SUFFIX_BYTES } from "../format/settled-version.ts";
import type { ExtentRef, Version } from "./cell.ts";
import type { Memtable } from "./memtable.ts";
import type { IndexReader } from "./settled-index.ts";

/** Keys that one slice looks at in each place where cells are. */
const SLICE_KEYS = 256;

/** A version's bytes on the device. */
export interface StoredExtent extends Pick<Version, "epoch" | "kind" | "metaType" | "meta"> {
  readonly key: ByteString;
  readonly extent: ExtentRef;
}

export interface StoredSlice {
  /** Decided versions only. */
  readonly extents: readonly StoredExtent[];
  /** Where the next slice begins; undefined: these were all. */
  readonly next: ByteString | undefined;
}

/** A part of what lies in one place. */
interface Part {
  readonly extents: readonly StoredExtent[];
  /** All before it is in the part. */
  readonly next: ByteString | undefined;
}

/** A slice of the cells in [from, to); an empty `to` is no bound. */
export function storedSlice(
  memtables: readonly Memtable[],
  index: IndexReader,
  from: ByteString,
  to: ByteString,
): StoredSlice {
  const parts = [...memtables.map((memtable) => loggedPart(memtable, from, to)), settledPart(index, from, to)];
  let next: ByteString | undefined;
  for (const part of parts) if (part.next !== undefined && (next === undefined || part.next < next)) next = part.next;
  const end = next;
  const all = parts.flatMap(({ extents }) => extents.filter(({ key }) => end === undefined || key < end));
  return { extents: all, next };
}

function loggedPart(memtable: Memtable, from: ByteString, to: ByteString): Part {
  const extents: StoredExtent[] = [];
  const cursor = memtable.cursor(from, to, false);
  for (let count = 0; cursor.key !== undefined; cursor.next(), count += 1) {
    const { key } = cursor;
    if (count >= SLICE_KEYS) return { extents, next: key };
    for (let version = memtable.newest(key); version !== undefined; version = version.older) {
      if (version.sequence === 0) addTo(extents, key, version);
    }
  }
  return { extents, next: undefined };
}

function settledPart(index: IndexReader, from: ByteString, to: ByteString): Part {
  const extents: StoredExtent[] = [];
  let next: ByteString | undefined;
  const cells = index.cursor("cells", from, to, false);
  for (let count = 0; cells.key !== undefined; cells.next(), count += 1) {
    if (count >= SLICE_KEYS) {
      next = cells.key;
      break;
    }
    addRow(extents, cells.key, cells.value);
  }
  cells.close();
  const history = index.cursor("history", from, next ?? to, false);
  for (let count = 0; history.key !== undefined; history.next(), count += 1) {
    const key = history.key.slice(0, -HISTORY_SUFFIX_BYTES) as ByteString;
    // All versions of a cell are in one slice.
    if (count >= SLICE_KEYS && key > from) {
      next = key;
      break;
    }
    addRow(extents, key, history.value);
  }
  history.close();
  return { extents, next };
}

function addRow(extents: StoredExtent[], key: ByteString, row: Uint8Array): void {
  try {
    addTo(extents, key, decodeSettledVersion(key, row));
  } catch (error) {
    if (!hasCode(error, "CORRUPT")) throw error;
  }
}

function addTo(extents: StoredExtent[], key: ByteString, version: Omit<Version, "inline" | "sequence">): void {
  const { epoch, kind, metaType, extent } = version;
  if (extent === undefined) return;
  extents.push({ key, epoch: epoch as Epoch, kind, metaType, meta: new Uint8Array(version.meta), extent });
}
