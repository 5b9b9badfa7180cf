/**
 * The cells that a write or punch of an array puts into its record: the akey's own cell, windows, holes. Used by whole
 * writes (array-write.ts) and by the parts of a shard (shard-write.ts).
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import { type CellWrite, type ExtentRef, type ReclaimRange, VersionKind } from "../store/cell.ts";
import type { ArrayAccess } from "./array-read.ts";
import { classBit, WINDOW_CLASSES, windowBytes, type WindowPiece } from "./array-window.ts";
import { beneathStart, ownCellKey, prefixEnd, windowKey, windowOf } from "./cell-key.ts";
import {
  type ArrayHeader,
  type ByteRun,
  encodeArrayMeta,
  encodeObjectMeta,
  encodePartMeta,
  MetaType,
  NO_META,
  ObjectCellFlag,
  WHOLE_META,
} from "./cell-meta.ts";
import { LATEST } from "./condition.ts";
import type { ObjectState } from "./object-state.ts";
import type { Seen, TargetObjects } from "./target-objects.ts";

/** What a record gathers. */
export interface ArrayRecord {
  readonly epoch: Epoch;
  readonly writes: CellWrite[];
  readonly reclaims: ReclaimRange[];
}

/**
 * Where the bytes of a piece are: with `inline` in the record, with their checksum, else in the extent, whose first byte is array
 * byte `origin`.
 */
export type PieceBytes =
  | { readonly inline: Uint8Array; readonly checksum: number }
  | { readonly inline: undefined; readonly extent: ExtentRef; readonly origin: number };

/** Adds the cells that say that object and akey hold an array of these windows, where they do not say so yet. */
export function addHeader(
  record: ArrayRecord,
  { state, akey, header }: ArrayAccess,
  recordBytes: number,
  classMask: number,
): ArrayHeader {
  const { epoch, writes, reclaims } = record;
  if ((state.flags & ObjectCellFlag.arrays) === 0) {
    const meta = encodeObjectMeta(state.flags | ObjectCellFlag.arrays, state.punchEpoch);
    writes.push({ key: ownCellKey(state.prefix), epoch, kind: VersionKind.value, meta });
  }
  const same = header !== undefined && header.recordBytes === recordBytes;
  if (same && (header.classMask & classMask) === classMask) return header;
  const next: ArrayHeader = same
    ? { recordBytes, classMask: header.classMask | classMask, since: header.since }
    : { recordBytes, classMask, since: epoch };
  writes.push({ key: ownCellKey(akey), epoch, kind: VersionKind.value, meta: encodeArrayMeta(next) });
  // An array with other records, all punched, ends here.
  if (header !== undefined && !same)
    reclaims.push({ from: beneathStart(akey), to: prefixEnd(akey), epoch: (epoch - 1) as Epoch });
  return next;
}

/** Adds a piece of data; what it hides of smaller windows is given back. */
export function addPiece(
  target: TargetObjects,
  record: ArrayRecord,
  akey: string,
  header: ArrayHeader,
  piece: WindowPiece,
  bytes: PieceBytes,
): void {
  const { epoch } = record;
  const size = windowBytes(piece.windowClass);
  const key = windowKey(akey, piece.windowClass, piece.window);
  const length = piece.end - piece.start;
  const isWhole = length === size;
  const kind = isWhole ? VersionKind.value : VersionKind.part;
  const meta = isWhole ? WHOLE_META : encodePartMeta(MetaType.part, piece.start - piece.window * size, length);
  record.writes.push(
    bytes.inline === undefined
      ? { key, epoch, kind, meta, ...storedBytes(target, piece, bytes) }
      : { key, epoch, kind, meta, inline: bytes.inline, checksum: bytes.checksum },
  );
  if (isWhole) addCovered(target, record, akey, header, piece.windowClass, piece);
}

/** The bytes of [start, end) as a cell's write names them. */
export function storedBytes(
  target: TargetObjects,
  { start, end }: ByteRun,
  bytes: PieceBytes,
): Pick<CellWrite, "inline" | "checksum"> | Pick<CellWrite, "extent"> {
  if (bytes.inline !== undefined) return { inline: bytes.inline, checksum: bytes.checksum };
  const from = start - (start % BLOCK_BYTES) - bytes.origin;
  return { extent: target.store.sliceExtent(bytes.extent, from, end - bytes.origin - from) };
}

/** Adds the reclaims of smaller windows in [start, end), which a whole window of this class hides. */
export function addCovered(
  target: TargetObjects,
  record: ArrayRecord,
  akey: string,
  header: ArrayHeader,
  above: number,
  { start, end }: ByteRun,
): void {
  for (const windowClass of WINDOW_CLASSES) {
    if (windowClass >= above || (header.classMask & classBit(windowClass)) === 0) continue;
    const size = windowBytes(windowClass);
    const from = windowKey(akey, windowClass, start / size);
    const to = windowKey(akey, windowClass, end / size);
    if (anyCell(target, from, to)) record.reclaims.push({ from, to, epoch: record.epoch });
  }
}

/**
 * Adds a hole for each window that holds something in the range: each cell hides only its own data. Throws TOO_LARGE when the
 * record has more than `maxWrites` then.
 */
export function addHoles(
  target: TargetObjects,
  record: ArrayRecord,
  akey: string,
  header: ArrayHeader,
  range: ByteRun,
  maxWrites: number,
  seen: Seen,
): void {
  if (range.end <= range.start) return;
  const { writes, epoch } = record;
  for (const windowClass of WINDOW_CLASSES) {
    if ((header.classMask & classBit(windowClass)) === 0) continue;
    const size = windowBytes(windowClass);
    const from = windowKey(akey, windowClass, Math.floor(range.start / size));
    const to = windowKey(akey, windowClass, Math.floor((range.end - 1) / size) + 1);
    target.store.scan(from, to, LATEST, (key, version) => {
      seen.add(version.sequence);
      if (version.kind === VersionKind.tombstone || version.epoch < header.since) return true;
      const base = windowOf(key) * size;
      const start = Math.max(range.start - base, 0);
      const end = Math.min(range.end - base, size);
      writes.push(
        end - start === size
          ? { key, epoch, kind: VersionKind.tombstone, meta: NO_META }
          : { key, epoch, kind: VersionKind.part, meta: encodePartMeta(MetaType.hole, start, end - start) },
      );
      return writes.length <= maxWrites;
    });
  }
  if (writes.length <= maxWrites) return;
  throw new DaosError(
    "TOO_LARGE",
    `Cannot punch ${range.end - range.start} bytes at once: more than ${maxWrites} windows hold data there. Punch smaller ranges, or the akey.`,
  );
}

/** For a record that has to be there though there is nothing to do: repeats what the akey's cell says. */
export function addMarker(
  { epoch, writes }: ArrayRecord,
  { akey, header }: Pick<ArrayAccess, "akey" | "header">,
): void {
  const key = ownCellKey(akey);
  writes.push(
    header === undefined
      ? { key, epoch, kind: VersionKind.tombstone, meta: NO_META }
      : { key, epoch, kind: VersionKind.value, meta: encodeArrayMeta(header) },
  );
}

/** Takes over into the object's state an object cell that was just appended. */
export function noteArrays(state: ObjectState, writes: readonly CellWrite[], epoch: Epoch, sequence: number): void {
  if (writes[0]?.key.length !== state.prefix.length + 1) return;
  state.flags |= ObjectCellFlag.arrays;
  state.epoch = epoch;
  state.sequence = sequence;
}

function anyCell(target: TargetObjects, from: ByteString, to: ByteString): boolean {
  let any = false;
  target.store.scan(from, to, LATEST, () => {
    any = true;
    return false;
  });
  return any;
}
