/**
 * Windows: where array data is kept. The bytes of an array (record index x record size) are cut at 1 MiB boundaries; a
 * piece over 64 KiB lies in a window of class 20 (1 MiB), one over 4 KiB is cut at 64 KiB boundaries into windows of class
 * 16, the rest at 4 KiB into class 12. So a piece has exactly one place by its address and size, and an overwrite of the
 * same piece replaces it in its cell. This file knows addresses only; cells and epochs are array-read.ts and array-write.ts.
 */
import { BLOCK_BYTES, KIB, MIB } from "../base/limits.ts";
import type { ExtentRef, Version } from "../store/cell.ts";
import { VersionKind } from "../store/cell.ts";
import { type ByteRun, corruptMeta, expectMeta, MetaType, readUInt24 } from "./cell-meta.ts";

export const WINDOW_CLASSES = [12, 16, 20] as const;
/** The bit of a class in ArrayHeader.classMask. */
export function classBit(windowClass: number): number {
  return 1 << ((windowClass - 12) >> 2);
}

export function windowBytes(windowClass: number): number {
  return 2 ** windowClass;
}

/** A part of a write that lies in one window. Addresses in bytes of the array. */
export interface WindowPiece {
  readonly windowClass: number;
  readonly window: number;
  readonly start: number;
  readonly end: number;
}

/** Cuts the bytes [start, end) into the windows they are stored in, ascending. */
export function cutIntoWindows(start: number, end: number): WindowPiece[] {
  const pieces: WindowPiece[] = [];
  cutAt(start, end, MIB, (from, to) => {
    if (to - from > 64 * KIB) return push(pieces, 20, from, to);
    if (to - from > 4 * KIB) return cutAt(from, to, 64 * KIB, (low, high) => push(pieces, 16, low, high));
    return cutAt(from, to, 4 * KIB, (low, high) => push(pieces, 12, low, high));
  });
  return pieces;
}

function push(pieces: WindowPiece[], windowClass: number, start: number, end: number): void {
  pieces.push({ windowClass, window: Math.floor(start / windowBytes(windowClass)), start, end });
}

function cutAt(start: number, end: number, boundary: number, visit: (from: number, to: number) => void): void {
  for (let from = start; from < end;) {
    const to = Math.min(end, (Math.floor(from / boundary) + 1) * boundary);
    visit(from, to);
    from = to;
  }
}

/** Data or a hole that one version has at array bytes [start, end). */
export interface Piece {
  readonly epoch: number;
  readonly start: number;
  readonly end: number;
  /** Where the byte `start` is within the stored bytes. */
  readonly storedAt: number;
  /** Both undefined: a hole. */
  readonly inline: Uint8Array | undefined;
  /** CRC-32 of all that `inline` is, 0 without. */
  readonly checksum: number;
  readonly extent: ExtentRef | undefined;
}

export function isHole(piece: Piece): boolean {
  return piece.inline === undefined && piece.extent === undefined;
}

const BITMAP_BYTES = 512;
const BITMAP_WINDOW_BYTES = 4 * KIB;

/**
 * Adds to `pieces` what a version of a window cell covers, data and holes; `base` is the window's first byte. Returns false
 * when the version is complete: nothing older shows through. Throws CORRUPT.
 */
export function addPieces(pieces: Piece[], version: Version, windowClass: number, base: number): boolean {
  if (version.kind === VersionKind.tombstone) return false;
  const size = windowBytes(windowClass);
  switch (version.metaType) {
    case MetaType.whole:
      addPiece(pieces, version, base, base + size, 0, true);
      return false;
    case MetaType.part:
    case MetaType.hole: {
      expectMeta(version, version.metaType, 7);
      const offset = readUInt24(version.meta, 1);
      const length = readUInt24(version.meta, 4);
      if (length === 0 || offset + length > size) throw corruptMeta();
      const lead = version.extent === undefined ? 0 : offset % BLOCK_BYTES;
      addPiece(pieces, version, base + offset, base + offset + length, lead, version.metaType === MetaType.part);
      return true;
    }
    case MetaType.segments:
      addSegments(
        pieces,
        version,
        base,
        size,
        segmentsOf(version, size),
        version.extent === undefined ? undefined : BLOCK_BYTES,
      );
      return false;
    case MetaType.bitmap:
      addBitmap(pieces, version, base);
      return false;
    default:
      throw corruptMeta();
  }
}

function addPiece(
  pieces: Piece[],
  version: Version,
  start: number,
  end: number,
  storedAt: number,
  data: boolean,
): void {
  const stored = version.inline === undefined ? (version.extent?.length ?? 0) : version.inline.length;
  if (data && stored < storedAt + end - start) throw corruptMeta();
  pieces.push({
    epoch: version.epoch,
    start,
    end,
    storedAt,
    inline: data ? version.inline : undefined,
    checksum: data ? version.checksum : 0,
    extent: data ? version.extent : undefined,
  });
}

/**
 * DestageRule of array data: what is stored of a window moves to the NVMe tier as if it had been written there. Single
 * values stay where their size has put them, and a bitmap with its window stays in the record.
 */
export function windowLead({ metaType, meta }: Pick<Version, "metaType" | "meta">): number | undefined {
  if (metaType === MetaType.whole) return 0;
  if (metaType === MetaType.part && meta.length === 7) return readUInt24(meta, 1) % BLOCK_BYTES;
  // The first segment's start.
  if (metaType === MetaType.segments && meta.length >= 8) return readUInt24(meta, 2) % BLOCK_BYTES;
  return undefined;
}

function segmentsOf(version: Version, size: number): ByteRun[] {
  const meta = version.meta;
  const count = meta[1] ?? 0;
  expectMeta(version, MetaType.segments, 2 + 6 * count);
  const segments: ByteRun[] = [];
  let last = 0;
  for (let index = 0; index < count; index += 1) {
    const start = readUInt24(meta, 2 + 6 * index);
    const end = start + readUInt24(meta, 5 + 6 * index);
    if (start < last || end <= start || end > size) throw corruptMeta();
    segments.push({ start, end });
    last = end;
  }
  return segments;
}

/** `blockBytes`: the stored bytes begin at the block of the first segment (extents), else at the segment itself. */
function addSegments(
  pieces: Piece[],
  version: Version,
  base: number,
  size: number,
  segments: readonly ByteRun[],
  blockBytes: number | undefined,
): void {
  const first = segments[0]?.start ?? 0;
  const origin = blockBytes === undefined ? first : first - (first % blockBytes);
  let at = 0;
  for (const segment of segments) {
    if (segment.start > at) addPiece(pieces, version, base + at, base + segment.start, 0, false);
    addPiece(pieces, version, base + segment.start, base + segment.end, segment.start - origin, true);
    at = segment.end;
  }
  if (at < size) addPiece(pieces, version, base + at, base + size, 0, false);
}

function addBitmap(pieces: Piece[], version: Version, base: number): void {
  const inline = version.inline;
  if (inline === undefined || inline.length !== BITMAP_BYTES + BITMAP_WINDOW_BYTES) throw corruptMeta();
  let start = 0;
  let present = (inline[0]! & 1) !== 0;
  for (let at = 1; at <= BITMAP_WINDOW_BYTES; at += 1) {
    const next = at < BITMAP_WINDOW_BYTES && (inline[at >> 3]! & (1 << (at & 7))) !== 0;
    if (next === present && at < BITMAP_WINDOW_BYTES) continue;
    addPiece(pieces, version, base + start, base + at, BITMAP_BYTES + start, present);
    start = at;
    present = next;
  }
}

/** The stored form of a sparse 4 KiB window: the bitmap of the segments, then the window. */
export function encodeBitmapWindow(segments: readonly ByteRun[], window: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(BITMAP_BYTES + BITMAP_WINDOW_BYTES);
  for (const segment of segments) {
    for (let at = segment.start; at < segment.end; at += 1) bytes[at >> 3]! |= 1 << (at & 7);
  }
  bytes.set(window, BITMAP_BYTES);
  return bytes;
}
