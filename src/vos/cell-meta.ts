/**
 * The meta bytes of cell versions: what a version means to objects. Little-endian; the first byte names the layout.
 *
 *     1 object    u8 flags, u64 epoch of the object's latest punch (0 none)      2 dkey punch
 *     3 single value           4 array   u8 window classes used, u32 record bytes, u64 epoch the array began
 *     5 whole window           6 part    u24 offset, u24 length                  7 hole    u24 offset, u24 length
 *     8 segments  u8 count, then (u24 offset, u24 length) each: a whole window with nothing outside the segments
 *     9 bitmap    as segments; the bytes start with one bit a byte of the (4 KiB) window
 *    10 snapshot              11 part of a transaction     12 decision     13 writes of a part
 *    14 fill mark  u32 map version        15 read bound  u64 epoch         16 scrub mark
 *    17 note (holding-notes.ts)
 *
 * Bytes of a part or of segments begin, inline, with the first byte stored; in an extent at the block that holds it
 * (first offset mod BLOCK_BYTES). Tombstones have no meta. Meta comes from a disk: damage raises CORRUPT.
 */
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { Version } from "../store/cell.ts";

export const MetaType = {
  object: 1,
  dkeyPunch: 2,
  single: 3,
  array: 4,
  whole: 5,
  part: 6,
  hole: 7,
  segments: 8,
  bitmap: 9,
  snapshot: 10,
  transactionPart: 11,
  transactionDecision: 12,
  transactionWrites: 13,
  fillMark: 14,
  readBound: 15,
  scrub: 16,
  note: 17,
} as const;

export const NO_META = new Uint8Array(0);
export const DKEY_PUNCH_META = Uint8Array.of(MetaType.dkeyPunch);
export const SINGLE_META = Uint8Array.of(MetaType.single);
export const WHOLE_META = Uint8Array.of(MetaType.whole);
export const BITMAP_META = Uint8Array.of(MetaType.bitmap);
export const TRANSACTION_PART_META = Uint8Array.of(MetaType.transactionPart);
export const TRANSACTION_DECISION_META = Uint8Array.of(MetaType.transactionDecision);
export const TRANSACTION_WRITES_META = Uint8Array.of(MetaType.transactionWrites);
export const SCRUB_META = Uint8Array.of(MetaType.scrub);
export const SNAPSHOT_META = Uint8Array.of(MetaType.snapshot);
export const NOTE_META = Uint8Array.of(MetaType.note);

/** Most segments that fit VERSION_META. */
export const MAX_META_SEGMENTS = 42;

export const ObjectCellFlag = {
  /** A dkey of the object was punched as a whole: reads look at the dkey's cell. */
  dkeyPunches: 1,
  /** An array was written in the object: single value updates look at the akey first. */
  arrays: 2,
} as const;

function writeUInt64(into: Uint8Array, value: number, offset: number): void {
  const low = value % 0x1_0000_0000;
  const high = Math.floor(value / 0x1_0000_0000);
  for (let index = 0; index < 4; index += 1) {
    into[offset + index] = (low >>> (8 * index)) & 0xff;
    into[offset + 4 + index] = (high >>> (8 * index)) & 0xff;
  }
}

function readUInt64(from: Uint8Array, offset: number): number {
  const value = readUInt32(from, offset) + readUInt32(from, offset + 4) * 0x1_0000_0000;
  if (!Number.isSafeInteger(value)) throw corruptMeta();
  return value;
}

function readUInt32(from: Uint8Array, offset: number): number {
  return (from[offset]! | (from[offset + 1]! << 8) | (from[offset + 2]! << 16) | (from[offset + 3]! << 24)) >>> 0;
}

function writeUInt24(into: Uint8Array, value: number, offset: number): void {
  into[offset] = value & 0xff;
  into[offset + 1] = (value >>> 8) & 0xff;
  into[offset + 2] = value >>> 16;
}

export function readUInt24(from: Uint8Array, offset: number): number {
  return from[offset]! | (from[offset + 1]! << 8) | (from[offset + 2]! << 16);
}

export function corruptMeta(): DaosError {
  return new DaosError(
    "CORRUPT",
    "Cannot read versioned object: a cell's description is damaged. Run a scrub; restore from a copy.",
  );
}

/** Checks layout and length of a version's meta. */
export function expectMeta(version: Pick<Version, "metaType" | "meta">, type: number, length: number): void {
  if (version.metaType !== type || version.meta.length !== length) throw corruptMeta();
}

export function encodeObjectMeta(flags: number, punchEpoch: number): Uint8Array {
  const meta = new Uint8Array(10);
  meta[0] = MetaType.object;
  meta[1] = flags;
  writeUInt64(meta, punchEpoch, 2);
  return meta;
}

export function objectMetaFlags(version: Version): number {
  expectMeta(version, MetaType.object, 10);
  return version.meta[1]!;
}

export function objectMetaPunchEpoch(version: Version): number {
  expectMeta(version, MetaType.object, 10);
  return readUInt64(version.meta, 2);
}

/** What the cell of an array akey says. */
export interface ArrayHeader {
  readonly recordBytes: number;
  /** Window classes that hold data: bit 0 for 12, bit 1 for 16, bit 2 for 20. */
  readonly classMask: number;
  /** Windows written before this epoch belong to an array that was punched. */
  readonly since: number;
}

export function encodeArrayMeta(header: ArrayHeader): Uint8Array {
  const meta = new Uint8Array(14);
  meta[0] = MetaType.array;
  meta[1] = header.classMask;
  for (let index = 0; index < 4; index += 1) meta[2 + index] = (header.recordBytes >>> (8 * index)) & 0xff;
  writeUInt64(meta, header.since, 6);
  return meta;
}

export function decodeArrayMeta(version: Pick<Version, "metaType" | "meta">): ArrayHeader {
  // One view of it: each operation on an array comes by here.
  const { meta } = version;
  if (version.metaType !== MetaType.array || meta.length !== 14) throw corruptMeta();
  const recordBytes = readUInt32(meta, 2);
  if (recordBytes === 0) throw corruptMeta();
  return { recordBytes, classMask: meta[1]!, since: readUInt64(meta, 6) };
}

/** Meta of a part or a hole, offsets within the window. */
export function encodePartMeta(type: number, offset: number, length: number): Uint8Array {
  const meta = new Uint8Array(7);
  meta[0] = type;
  writeUInt24(meta, offset, 1);
  writeUInt24(meta, length, 4);
  return meta;
}

/** A run of bytes, [start, end). */
export interface ByteRun {
  readonly start: number;
  readonly end: number;
}

export function encodeSegmentsMeta(segments: readonly ByteRun[]): Uint8Array {
  const meta = new Uint8Array(2 + 6 * segments.length);
  meta[0] = MetaType.segments;
  meta[1] = segments.length;
  for (const [index, segment] of segments.entries()) {
    writeUInt24(meta, segment.start, 2 + 6 * index);
    writeUInt24(meta, segment.end - segment.start, 5 + 6 * index);
  }
  return meta;
}

export function encodeReadBoundMeta(epoch: Epoch): Uint8Array {
  const meta = new Uint8Array(9);
  meta[0] = MetaType.readBound;
  writeUInt64(meta, epoch, 1);
  return meta;
}

export function decodeReadBoundMeta(version: Version): Epoch {
  expectMeta(version, MetaType.readBound, 9);
  return readUInt64(version.meta, 1) as Epoch;
}
