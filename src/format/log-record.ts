/**
 * Log record: one atomic batch of changes. Records lie back to back in a group; a group starts at the region's
 * granularity and ends padded with zeros to it. Little-endian.
 *
 *     0  u32 CRC-32 of bytes 4..length-1, seeded with the segment's seed
 *     4  u32 length, bytes       8  u64 sequence          16  u64 durable sequence when this was written
 *    24  u16 writes             26  u16 reclaims          28  u16 snapshot lists
 *    30  u16 flags and count of decisions; zero in version 1
 *    32  origin, writes, reclaims, snapshot lists, decisions
 *
 *   write            0  u8 kind  1  u8 flags (1 inline, 2 extent)  2  u16 key length  4  u8 meta length  5  3 zeros
 *                    8  u64 epoch  16  u32 bytes inline or in the extent  20  key, meta, then
 *                    inline: the bytes;  extent: u64 device offset, u32 CRC-32 of each 4 KiB chunk
 *   reclaim          0  u64 epoch  8  u16 from length  10  u16 to length  12  from, to
 *   snapshot list    0  u32 container  4  u32 count  8  u64 epochs, ascending: replaces the container's list
 * Flags, origin and decisions: log-record-transaction.ts. A record without anything is a durable mark: it only testifies
 * what was durable before it.
 */
import { byteString, type ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { BLOCK_BYTES, MAX_CELL_KEY_BYTES, MAX_SNAPSHOTS } from "../base/limits.ts";
import { crc32Range } from "../base/checksum.ts";
import { damagedBeforeStore } from "../base/damage.ts";
import {
  decodeTransaction,
  encodeTransaction,
  malformed,
  type RecordDecision,
  type RecordOrigin,
  type RecordTransaction,
  transactionBytes,
} from "./log-record-transaction.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

export const LOG_RECORD_HEADER_BYTES = 32;
export const LOG_WRITE_BYTES = 20;
const RECLAIM_BYTES = 12;
const SNAPSHOT_LIST_BYTES = 8;
const FLAG_INLINE = 1;
const FLAG_EXTENT = 2;
/** Most writes, reclaims or lists of one record. */
export const MAX_RECORD_ENTRIES = 0xffff;
export interface RecordExtent {
  readonly offset: number;
  readonly length: number;
  readonly checksums: Uint32Array;
}

/** A write as given. */
export interface RecordWrite {
  readonly key: ByteString;
  readonly epoch: Epoch;
  readonly kind: 1 | 2 | 3;
  readonly meta: Uint8Array;
  readonly inline?: Uint8Array;
  /** CRC-32 that the inline bytes must have in the record. */
  readonly checksum?: number | undefined;
  readonly extent?: RecordExtent;
}

export interface RecordReclaim {
  readonly from: ByteString;
  readonly to: ByteString;
  readonly epoch: Epoch;
}

export interface RecordSnapshots {
  readonly container: number;
  readonly epochs: readonly Epoch[];
}

/** A write as found in a record: where its bytes are in the memory that was decoded. */
export interface LoggedWrite {
  readonly key: ByteString;
  readonly epoch: Epoch;
  readonly kind: 1 | 2 | 3;
  readonly metaOffset: number;
  readonly metaLength: number;
  /** Bytes inline, directly after meta; -1 for none. */
  readonly inlineLength: number;
  /** Their CRC-32; 0 without, and where the record is not verified. */
  readonly checksum: number;
  readonly extent: RecordExtent | undefined;
}

const NO_RECLAIMS: readonly RecordReclaim[] = [];
const NO_SNAPSHOTS: readonly RecordSnapshots[] = [];

export interface LogRecord {
  readonly lengthBytes: number;
  readonly sequence: number;
  readonly durableSequence: number;
  readonly writes: readonly LoggedWrite[];
  readonly reclaims: readonly RecordReclaim[];
  readonly snapshots: readonly RecordSnapshots[];
  readonly origin: RecordOrigin | undefined;
  readonly prepared: boolean;
  readonly moved: boolean;
  readonly lastMoved: boolean;
  readonly decisions: readonly RecordDecision[];
}

/** Bytes of one write in a record. */
export function logWriteBytes(write: RecordWrite): number {
  const fixed = LOG_WRITE_BYTES + write.key.length + write.meta.length;
  if (write.inline !== undefined) return fixed + write.inline.length;
  return write.extent === undefined ? fixed : fixed + 8 + 4 * write.extent.checksums.length;
}

/** Bytes of the record of these changes. */
export function logRecordBytes(
  writes: readonly RecordWrite[],
  reclaims: readonly RecordReclaim[],
  snapshots: readonly RecordSnapshots[],
  transaction?: RecordTransaction,
): number {
  let bytes = LOG_RECORD_HEADER_BYTES;
  if (transaction !== undefined) bytes += transactionBytes(transaction);
  for (let index = 0; index < writes.length; index += 1) bytes += logWriteBytes(writes[index]!);
  for (let index = 0; index < reclaims.length; index += 1) {
    bytes += RECLAIM_BYTES + reclaims[index]!.from.length + reclaims[index]!.to.length;
  }
  for (let index = 0; index < snapshots.length; index += 1) {
    bytes += SNAPSHOT_LIST_BYTES + 8 * snapshots[index]!.epochs.length;
  }
  return bytes;
}

function encodeWrite(into: Buffer, start: number, write: RecordWrite): number {
  const { key, meta, inline, checksum, extent } = write;
  const flags = inline !== undefined ? FLAG_INLINE : extent !== undefined ? FLAG_EXTENT : 0;
  into.writeUInt32LE((write.kind | (flags << 8) | (key.length << 16)) >>> 0, start);
  into.writeUInt32LE(meta.length, start + 4);
  writeUint64(into, write.epoch, start + 8);
  into.writeUInt32LE(inline !== undefined ? inline.length : extent !== undefined ? extent.length : 0, start + 16);
  into.latin1Write(key, start + LOG_WRITE_BYTES, key.length);
  let position = start + LOG_WRITE_BYTES + key.length;
  if (meta.length > 0) into.set(meta, position);
  position += meta.length;
  if (inline !== undefined) {
    if (inline.length > 0) into.set(inline, position);
    const end = position + inline.length;
    if (checksum !== undefined && checksum !== crc32Range(into, position, end)) throw damagedBeforeStore("in the log");
    return end;
  }
  if (extent === undefined) return position;
  writeUint64(into, extent.offset, position);
  position += 8;
  for (let index = 0; index < extent.checksums.length; index += 1, position += 4) {
    into.writeUInt32LE(extent.checksums[index]!, position);
  }
  return position;
}

/** Writes the record at `offset`; its length is `lengthBytes`, as logRecordBytes gave it. The caller checked all limits. Throws DAMAGED. */
export function encodeLogRecord(
  into: Buffer,
  offset: number,
  lengthBytes: number,
  seed: number,
  sequence: number,
  durableSequence: number,
  writes: readonly RecordWrite[],
  reclaims: readonly RecordReclaim[],
  snapshots: readonly RecordSnapshots[],
  transaction?: RecordTransaction,
): void {
  into.writeUInt32LE(lengthBytes, offset + 4);
  writeUint64(into, sequence, offset + 8);
  writeUint64(into, durableSequence, offset + 16);
  into.writeUInt32LE((writes.length | (reclaims.length << 16)) >>> 0, offset + 24);
  into.writeUInt32LE(snapshots.length, offset + 28);
  let position = offset + LOG_RECORD_HEADER_BYTES;
  if (transaction !== undefined) {
    position = encodeTransaction(into, offset, LOG_RECORD_HEADER_BYTES, lengthBytes, transaction);
  }
  for (let index = 0; index < writes.length; index += 1) position = encodeWrite(into, position, writes[index]!);
  for (let index = 0; index < reclaims.length; index += 1) {
    const { from, to, epoch } = reclaims[index]!;
    writeUint64(into, epoch, position);
    into.writeUInt16LE(from.length, position + 8);
    into.writeUInt16LE(to.length, position + 10);
    into.latin1Write(from, position + RECLAIM_BYTES, from.length);
    into.latin1Write(to, position + RECLAIM_BYTES + from.length, to.length);
    position += RECLAIM_BYTES + from.length + to.length;
  }
  for (let index = 0; index < snapshots.length; index += 1) {
    const { container, epochs } = snapshots[index]!;
    into.writeUInt32LE(container, position);
    into.writeUInt32LE(epochs.length, position + 4);
    position += SNAPSHOT_LIST_BYTES;
    for (let each = 0; each < epochs.length; each += 1, position += 8) writeUint64(into, epochs[each]!, position);
  }
  into.writeUInt32LE(crc32Range(into, offset + 4, offset + lengthBytes, seed), offset);
}

/** Walks a record's body; every step checks that it stays inside. */
class RecordReader {
  readonly #from: Buffer;
  readonly #end: number;
  position: number;

  constructor(from: Buffer, position: number, end: number) {
    this.#from = from;
    this.#end = end;
    this.position = position;
  }

  /** The position of the next `bytes` bytes, which are thereby consumed. */
  take(bytes: number): number {
    const start = this.position;
    if (start + bytes > this.#end) throw malformed("its parts exceed its length");
    this.position = start + bytes;
    return start;
  }

  uint64(): number {
    const value = readUint64(this.#from, this.take(8));
    if (!Number.isSafeInteger(value)) throw malformed("a number is over 2^53");
    return value;
  }

  text(bytes: number): ByteString {
    const start = this.take(bytes);
    return byteString(this.#from, start, start + bytes);
  }

  /** `knownKey`: what its key is, if that is known; then the inline bytes are not summed up. */
  write(knownKey?: ByteString): LoggedWrite {
    const from = this.#from;
    const start = this.take(LOG_WRITE_BYTES);
    const word = from.readUInt32LE(start);
    const kind = word & 0xff;
    const flags = (word >>> 8) & 0xff;
    const metaLength = from.readUInt32LE(start + 4);
    const epoch = readUint64(from, start + 8);
    const dataLength = from.readUInt32LE(start + 16);
    if (kind < 1 || kind > 3 || flags > FLAG_EXTENT || metaLength > 255 || word >>> 16 > MAX_CELL_KEY_BYTES) {
      throw malformed("a write has impossible fields");
    }
    if (!Number.isSafeInteger(epoch)) throw malformed("a number is over 2^53");
    const key = knownKey ?? this.text(word >>> 16);
    if (knownKey !== undefined && this.take(word >>> 16) + knownKey.length !== this.position) {
      throw malformed("a key has changed");
    }
    const metaOffset = this.take(metaLength);
    const dataStart = flags === FLAG_INLINE ? this.take(dataLength) : this.position;
    const isSummed = flags === FLAG_INLINE && knownKey === undefined;
    const extent = flags === FLAG_EXTENT ? this.#extent(dataLength) : undefined;
    return {
      key,
      epoch: epoch as Epoch,
      kind: kind as 1 | 2 | 3,
      metaOffset,
      metaLength,
      inlineLength: flags === FLAG_INLINE ? dataLength : -1,
      checksum: isSummed ? crc32Range(from, dataStart, dataStart + dataLength) : 0,
      extent,
    };
  }

  #extent(length: number): RecordExtent {
    const offset = this.uint64();
    const count = Math.ceil(length / BLOCK_BYTES);
    let position = this.take(4 * count);
    const checksums = new Uint32Array(count);
    for (let index = 0; index < count; index += 1, position += 4) checksums[index] = this.#from.readUInt32LE(position);
    if (offset % BLOCK_BYTES !== 0 || length === 0) throw malformed("an extent has an impossible place");
    return { offset, length, checksums };
  }

  reclaim(): RecordReclaim {
    const epoch = this.uint64() as Epoch;
    const lengths = this.#from.readUInt32LE(this.take(4));
    const from = this.text(lengths & 0xffff);
    return { from, to: this.text(lengths >>> 16), epoch };
  }

  snapshots(): RecordSnapshots {
    const start = this.take(SNAPSHOT_LIST_BYTES);
    const count = this.#from.readUInt32LE(start + 4);
    if (count > MAX_SNAPSHOTS) throw malformed(`a snapshot list has ${count} entries`);
    const epochs: Epoch[] = [];
    for (let index = 0; index < count; index += 1) epochs.push(this.uint64() as Epoch);
    return { container: this.#from.readUInt32LE(start), epochs };
  }
}

/** Whether what is at `offset`, record or not, says that it has this sequence. Its checksum is not looked at. */
export function isSequenceAt(from: Buffer, offset: number, end: number, sequence: number): boolean {
  return offset + LOG_RECORD_HEADER_BYTES <= end && readUint64(from, offset + 8) === sequence;
}

/** Sequence and durable sequence of the record at `offset` if its checksum holds, without decoding the rest. */
export function probeLogRecord(
  from: Buffer,
  offset: number,
  end: number,
  seed: number,
): { lengthBytes: number; sequence: number; durableSequence: number } | undefined {
  if (offset + LOG_RECORD_HEADER_BYTES > end) return undefined;
  const lengthBytes = from.readUInt32LE(offset + 4);
  if (lengthBytes < LOG_RECORD_HEADER_BYTES || offset + lengthBytes > end) return undefined;
  if (from.readUInt32LE(offset) !== crc32Range(from, offset + 4, offset + lengthBytes, seed)) return undefined;
  return { lengthBytes, sequence: readUint64(from, offset + 8), durableSequence: readUint64(from, offset + 16) };
}

/**
 * The record at `offset` of `from`, which must end by `end`. Undefined when there is none: the checksum fails. Throws
 * CORRUPT when the checksum holds and the content breaks the format's rules.
 */
export function decodeLogRecord(from: Buffer, offset: number, end: number, seed: number): LogRecord | undefined {
  const probe = probeLogRecord(from, offset, end, seed);
  if (probe === undefined) return undefined;
  if (!Number.isSafeInteger(probe.sequence) || !Number.isSafeInteger(probe.durableSequence)) {
    throw malformed("a number is over 2^53");
  }
  const recordEnd = offset + probe.lengthBytes;
  const bodyStart = offset + LOG_RECORD_HEADER_BYTES;
  const transaction = decodeTransaction(from, offset, bodyStart, recordEnd);
  const reader = new RecordReader(from, bodyStart + transaction.originBytes, recordEnd - transaction.decisionBytes);
  const writeCount = from.readUInt16LE(offset + 24);
  const reclaimCount = from.readUInt16LE(offset + 26);
  const snapshotCount = from.readUInt16LE(offset + 28);
  const writes: LoggedWrite[] = [];
  const reclaims = reclaimCount === 0 ? NO_RECLAIMS : [];
  const snapshots = snapshotCount === 0 ? NO_SNAPSHOTS : [];
  for (let index = 0; index < writeCount; index += 1) writes.push(reader.write());
  for (let index = 0; index < reclaimCount; index += 1) (reclaims as RecordReclaim[]).push(reader.reclaim());
  for (let index = 0; index < snapshotCount; index += 1) (snapshots as RecordSnapshots[]).push(reader.snapshots());
  if (reader.position !== recordEnd - transaction.decisionBytes) throw malformed("bytes are left over");
  const { lengthBytes, sequence, durableSequence } = probe;
  const { origin, prepared, moved, lastMoved, decisions } = transaction;
  const changes = { lengthBytes, sequence, durableSequence, writes, reclaims, snapshots };
  return { ...changes, origin, prepared, moved, lastMoved, decisions };
}

/** The write at `offset`, which was decoded before and found to have this key. Throws CORRUPT when it cannot be. */
export function decodeLoggedWrite(from: Buffer, offset: number, end: number, key: ByteString): LoggedWrite {
  return new RecordReader(from, offset, end).write(key);
}
