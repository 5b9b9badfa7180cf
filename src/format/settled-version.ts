/**
 * Settled version: one version of a cell as a row of the settled index. Little-endian.
 *
 *     0  u32 CRC-32 of bytes 4.., seeded with the CRC-32 of the cell's key
 *     4  u8 kind    5  u8 flags (1 inline, 2 extent, 4 older versions in history)    6  u8 meta length    7  u8 zero
 *     8  u64 epoch
 *    16  meta, then  inline: the bytes;  extent: u64 device offset, u32 length, u32 CRC-32 of each 4 KiB chunk
 *
 * Table `cells` has the newest version under the cell's key; table `history` has older ones under the cell's key followed
 * by 8 bytes: 2^53 - 1 minus the epoch, big-endian, so that newer ones come first.
 */
import { asBuffer, type ByteString } from "../base/bytes.ts";
import { crc32, crc32Range } from "../base/checksum.ts";
import { joinChecksums } from "../base/checksum-join.ts";
import { damagedAfterStore } from "../base/damage.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import type { LoggedWrite, RecordExtent } from "./log-record.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

const HEADER_BYTES = 16;
const FLAG_INLINE = 1;
const FLAG_EXTENT = 2;
const FLAG_OLDER = 4;
export const HISTORY_SUFFIX_BYTES = 8;
/** More checksums than this are copied as they are: every processor the runtime knows is little-endian, too. */
const COPIED_CHECKSUMS = 8;

/** What is stored; reading gives the same shape. */
export interface SettledContent {
  readonly epoch: Epoch;
  readonly kind: 1 | 2 | 3;
  readonly meta: Uint8Array;
  readonly inline: Uint8Array | undefined;
  /** CRC-32 of the inline bytes; 0 without. */
  readonly checksum: number;
  readonly extent: RecordExtent | undefined;
}

const keyScratch = Buffer.alloc(4096);
/** The scratch's first bytes, by their count: making a view costs as much as the checksum. */
const keyViews: Uint8Array[] = [];

let seededKey: ByteString | undefined;
let seed = 0;

function keySeed(key: ByteString): number {
  // Settling reads the row of a cell, then writes it.
  if (key === seededKey) return seed;
  keyScratch.latin1Write(key, 0, key.length);
  seed = crc32((keyViews[key.length] ??= keyScratch.subarray(0, key.length)));
  seededKey = key;
  return seed;
}

/** A row's version over the row's bytes, which must stay unchanged. Views are made when asked for. */
export class SettledVersion implements SettledContent {
  /** The log no longer has it: always durable. */
  readonly sequence = 0;
  readonly epoch: Epoch;
  readonly kind: 1 | 2 | 3;
  /** Table `history` has older versions of the cell. */
  readonly hasOlder: boolean;
  readonly extent: RecordExtent | undefined;
  readonly checksum: number;
  readonly #row: Buffer;

  constructor(row: Buffer, checksum: number, extent: RecordExtent | undefined) {
    this.#row = row;
    this.checksum = checksum;
    this.kind = row[4] as 1 | 2 | 3;
    this.hasOlder = (row[5]! & FLAG_OLDER) !== 0;
    this.epoch = readUint64(row, 8) as Epoch;
    this.extent = extent;
  }

  /** Length of the row. */
  get rowBytes(): number {
    return this.#row.length;
  }

  get metaType(): number {
    return this.#row[6] === 0 ? 0 : this.#row[HEADER_BYTES]!;
  }

  get meta(): Uint8Array {
    return this.#row.subarray(HEADER_BYTES, HEADER_BYTES + this.#row[6]!);
  }

  get inline(): Uint8Array | undefined {
    return (this.#row[5]! & FLAG_INLINE) === 0 ? undefined : this.#row.subarray(HEADER_BYTES + this.#row[6]!);
  }
}

/** Length of the row of a version. */
export function settledVersionBytes(content: SettledContent): number {
  if (content instanceof SettledVersion) return content.rowBytes;
  const { meta, inline, extent } = content;
  return rowBytes(meta.length, inline === undefined ? -1 : inline.length, extent);
}

/** Length of the row of a logged write. */
export function settledWriteBytes(write: LoggedWrite): number {
  return rowBytes(write.metaLength, write.inlineLength, write.extent);
}

function rowBytes(metaLength: number, inlineLength: number, extent: RecordExtent | undefined): number {
  const dataBytes = inlineLength >= 0 ? inlineLength : extent === undefined ? 0 : 12 + 4 * extent.checksums.length;
  return HEADER_BYTES + metaLength + dataBytes;
}

/** The row of a version, in memory of its own. Throws CORRUPT when the inline bytes fail their checksum. */
export function encodeSettledVersion(key: ByteString, content: SettledContent, hasOlder: boolean): Buffer {
  const { epoch, kind, meta, inline, checksum, extent } = content;
  const inlineLength = inline === undefined ? -1 : inline.length;
  const row = startRow(epoch, kind, meta.length, inlineLength, extent, hasOlder);
  row.set(meta, HEADER_BYTES);
  if (inline === undefined) return sealRow(key, row);
  row.set(inline, HEADER_BYTES + meta.length);
  return sealInlineRow(key, row, HEADER_BYTES + meta.length, checksum);
}

/** Memory for rows up to its size that are used at once, and views of its first bytes, by their count. */
const rowScratch = Buffer.alloc(8192);
const rowViews: Buffer[] = [];

/** The same for a write as it lies in `bytes` of the log; valid until the next call. Throws as encodeSettledVersion. */
export function encodeSettledWrite(key: ByteString, bytes: Buffer, write: LoggedWrite): Buffer {
  const { epoch, kind, metaOffset, metaLength, inlineLength, checksum, extent } = write;
  const length = rowBytes(metaLength, inlineLength, extent);
  // A new buffer, and finding its address for the index, cost more than all the rest.
  const row =
    length > rowScratch.length ? Buffer.allocUnsafe(length) : (rowViews[length] ??= rowScratch.subarray(0, length));
  fillRow(row, epoch, kind, metaLength, inlineLength, extent, false);
  bytes.copy(row, HEADER_BYTES, metaOffset, metaOffset + metaLength + Math.max(inlineLength, 0));
  return inlineLength < 0 ? sealRow(key, row) : sealInlineRow(key, row, HEADER_BYTES + metaLength, checksum);
}

/** A row with all but meta, inline bytes and checksum. */
function startRow(
  epoch: Epoch,
  kind: number,
  metaLength: number,
  inlineLength: number,
  extent: RecordExtent | undefined,
  hasOlder: boolean,
): Buffer {
  const row = Buffer.allocUnsafe(rowBytes(metaLength, inlineLength, extent));
  fillRow(row, epoch, kind, metaLength, inlineLength, extent, hasOlder);
  return row;
}

function fillRow(
  row: Buffer,
  epoch: Epoch,
  kind: number,
  metaLength: number,
  inlineLength: number,
  extent: RecordExtent | undefined,
  hasOlder: boolean,
): void {
  row[4] = kind;
  row[5] = (inlineLength >= 0 ? FLAG_INLINE : extent !== undefined ? FLAG_EXTENT : 0) | (hasOlder ? FLAG_OLDER : 0);
  row[6] = metaLength;
  row[7] = 0;
  writeUint64(row, epoch, 8);
  if (extent === undefined || inlineLength >= 0) return;
  let position = HEADER_BYTES + metaLength;
  writeUint64(row, extent.offset, position);
  row.writeUInt32LE(extent.length, position + 8);
  position += 12;
  for (const checksum of extent.checksums) position = row.writeUInt32LE(checksum, position);
}

/** The row's checksum is made of that of the inline bytes, which begin at `dataStart`, as the row has them now. */
function sealInlineRow(key: ByteString, row: Buffer, dataStart: number, checksum: number): Buffer {
  if (crc32Range(row, dataStart, row.length) !== checksum) throw damagedAfterStore("when it was settled");
  const before = crc32Range(row, 4, dataStart, keySeed(key));
  row.writeUInt32LE(joinChecksums(before, checksum, row.length - dataStart), 0);
  return row;
}

function sealRow(key: ByteString, row: Buffer): Buffer {
  row.writeUInt32LE(crc32Range(row, 4, row.length, keySeed(key)), 0);
  return row;
}

function decodeExtent(row: Buffer, position: number): RecordExtent {
  if (position + 12 > row.length) throw damaged("its extent is cut off");
  const offset = readUint64(row, position);
  const length = row.readUInt32LE(position + 8);
  const count = Math.ceil(length / BLOCK_BYTES);
  if (!Number.isSafeInteger(offset) || offset % BLOCK_BYTES !== 0 || length === 0)
    throw damaged("its extent is impossible");
  if (position + 12 + 4 * count !== row.length) throw damaged("its extent's checksums do not fit");
  const checksums = new Uint32Array(count);
  if (count > COPIED_CHECKSUMS) row.copy(new Uint8Array(checksums.buffer), 0, position + 12);
  else for (let index = 0; index < count; index += 1) checksums[index] = row.readUInt32LE(position + 12 + 4 * index);
  return { offset, length, checksums };
}

/** Verifies the row; the CRC-32 of its inline bytes, 0 without. Throws CORRUPT. */
function inlineChecksumOf(key: ByteString, row: Buffer): number {
  const dataStart = HEADER_BYTES + row[6]!;
  const isInline = (row[5]! & FLAG_INLINE) !== 0 && dataStart <= row.length;
  const end = isInline ? dataStart : row.length;
  const before = crc32Range(row, 4, end, keySeed(key));
  const checksum = isInline ? crc32Range(row, dataStart, row.length) : 0;
  const whole = isInline ? joinChecksums(before, checksum, row.length - dataStart) : before;
  if (row.readUInt32LE(0) !== whole) throw damaged("its checksum does not match");
  return checksum;
}

/** The version in a row read under `key`. The row becomes the version's memory. Throws CORRUPT. */
export function decodeSettledVersion(key: ByteString, bytes: Uint8Array): SettledVersion {
  const row = asBuffer(bytes);
  if (row.length < HEADER_BYTES) throw damaged("it is too short");
  const checksum = inlineChecksumOf(key, row);
  const kind = row[4]!;
  const flags = row[5]!;
  if (kind < 1 || kind > 3 || flags > 6 || (flags & 3) === 3 || row[7] !== 0)
    throw damaged("its fields are impossible");
  const dataStart = HEADER_BYTES + row[6]!;
  if (dataStart > row.length) throw damaged("its meta is cut off");
  if ((flags & 3) === 0 && dataStart !== row.length) throw damaged("bytes are left over");
  const version = new SettledVersion(
    row,
    checksum,
    (flags & FLAG_EXTENT) === 0 ? undefined : decodeExtent(row, dataStart),
  );
  if (!Number.isSafeInteger(version.epoch)) throw damaged("its epoch is impossible");
  return version;
}

/** The key of a cell's version at `epoch` in table `history`. */
export function historyKey(key: ByteString, epoch: Epoch): ByteString {
  const inverted = Number.MAX_SAFE_INTEGER - epoch;
  keyScratch.writeUInt32BE(Math.floor(inverted / 0x1_0000_0000), 0);
  keyScratch.writeUInt32BE(inverted >>> 0, 4);
  return (key + keyScratch.latin1Slice(0, HISTORY_SUFFIX_BYTES)) as ByteString;
}

function damaged(what: string): DaosError {
  return new DaosError(
    "CORRUPT",
    `Cannot read settled version: ${what}. Restore the target from its redundancy or a backup.`,
  );
}
