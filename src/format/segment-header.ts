/**
 * Segment header: the first 64 bytes of a log segment, written and made durable together with the first group of
 * records in it. Little-endian.
 *
 *     0  u32 magic "DSEG"        4  u16 format version     6  u16 zero
 *     8  16 bytes store id      24  u64 ordinal           32  u64 first sequence
 *    40  u64 generation         48  12 bytes zero         60  u32 CRC-32 of bytes 0..59
 *
 * Ordinals count segments since the store was made; a segment of ordinal n lives in slot n modulo the segment count. A
 * header is only written once all records before `first sequence` are durable. The generation is the superblock's, which
 * grows with every opening: a segment that a crash left half written may be begun again, and what is left of the first
 * attempt must not pass for part of the second.
 */
import { asBuffer, byteString, bytesOf, type ByteString } from "../base/bytes.ts";
import { crc32 } from "../base/checksum.ts";
import { checkStoreVersion, STORE_FORMAT_VERSION, STORE_ID_BYTES } from "./superblock.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

export const SEGMENT_HEADER_BYTES = 64;
export const SEGMENT_MAGIC = 0x47455344;

export interface SegmentHeader {
  readonly storeId: ByteString;
  readonly ordinal: number;
  readonly firstSequence: number;
  readonly generation: number;
}

/** Writes the record at `offset`. */
export function encodeSegmentHeader(into: Buffer, offset: number, header: SegmentHeader): void {
  into.fill(0, offset, offset + SEGMENT_HEADER_BYTES);
  into.writeUInt32LE(SEGMENT_MAGIC, offset);
  into.writeUInt16LE(STORE_FORMAT_VERSION, offset + 4);
  into.latin1Write(header.storeId, offset + 8, STORE_ID_BYTES);
  writeUint64(into, header.ordinal, offset + 24);
  writeUint64(into, header.firstSequence, offset + 32);
  writeUint64(into, header.generation, offset + 40);
  into.writeUInt32LE(crc32(into.subarray(offset, offset + 60)), offset + 60);
}

/** Undefined when the bytes are no segment header. Throws VERSION for one of another format version. */
export function decodeSegmentHeader(bytes: Uint8Array, offset: number): SegmentHeader | undefined {
  const from = asBuffer(bytes);
  if (offset + SEGMENT_HEADER_BYTES > from.length || from.readUInt32LE(offset) !== SEGMENT_MAGIC) return undefined;
  if (from.readUInt32LE(offset + 60) !== crc32(from.subarray(offset, offset + 60))) return undefined;
  checkStoreVersion(from.readUInt16LE(offset + 4), "log segment");
  const header: SegmentHeader = {
    storeId: byteString(from, offset + 8, offset + 24),
    ordinal: readUint64(from, offset + 24),
    firstSequence: readUint64(from, offset + 32),
    generation: readUint64(from, offset + 40),
  };
  const numbers = [header.ordinal, header.firstSequence, header.generation];
  return numbers.every(Number.isSafeInteger) ? header : undefined;
}

/** Seed of the checksum of every record in the segment: bytes of an older use of the slot fail under the new one. */
export function segmentSeed(storeId: ByteString, ordinal: number, generation: number): number {
  const bytes = Buffer.alloc(16);
  writeUint64(bytes, ordinal, 0);
  writeUint64(bytes, generation, 8);
  return crc32(bytes, crc32(bytesOf(storeId)));
}
