/**
 * Superblock: what an SCM region is. Two copies, at byte 0 and one unit later; the valid one of the highest generation
 * counts. Each opening writes a generation one higher into the copy of its parity. Little-endian.
 *
 *     0  u32 magic "DAOS"        4  u16 format version     6  u16 zero
 *     8  16 bytes store id      24  u64 generation        32  u64 region bytes
 *    40  u32 segment bytes      44  u32 segment count     48  u64 device bytes
 *    56  u32 zero               60  u32 CRC-32 of bytes 0..59
 *
 * Magic, version and the place and reach of the checksum are the same in every version, so that an older program can
 * tell "newer" from "damaged".
 */
import { asBuffer, byteString, type ByteString } from "../base/bytes.ts";
import { crc32 } from "../base/checksum.ts";
import { DaosError } from "../base/errors.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

export const SUPERBLOCK_BYTES = 64;
export const SUPERBLOCK_MAGIC = 0x534f4144;
/** Version of everything a store writes: superblock, log, settled entries. 2 added origins, prepared records, decisions. */
export const STORE_FORMAT_VERSION = 2;
/** What it wrote is read, and written as STORE_FORMAT_VERSION from then on. */
export const OLDEST_STORE_FORMAT_VERSION = 1;
export const STORE_ID_BYTES = 16;

export interface Superblock {
  /** 16 random bytes; region, log and index of one store carry the same. */
  readonly storeId: ByteString;
  readonly generation: number;
  readonly regionBytes: number;
  readonly segmentBytes: number;
  readonly segmentCount: number;
  readonly deviceBytes: number;
}

/** Writes the record at `offset`. */
export function encodeSuperblock(into: Buffer, offset: number, superblock: Superblock): void {
  into.fill(0, offset, offset + SUPERBLOCK_BYTES);
  into.writeUInt32LE(SUPERBLOCK_MAGIC, offset);
  into.writeUInt16LE(STORE_FORMAT_VERSION, offset + 4);
  into.latin1Write(superblock.storeId, offset + 8, STORE_ID_BYTES);
  writeUint64(into, superblock.generation, offset + 24);
  writeUint64(into, superblock.regionBytes, offset + 32);
  into.writeUInt32LE(superblock.segmentBytes, offset + 40);
  into.writeUInt32LE(superblock.segmentCount, offset + 44);
  writeUint64(into, superblock.deviceBytes, offset + 48);
  into.writeUInt32LE(crc32(into.subarray(offset, offset + 60)), offset + 60);
}

/** Undefined when the bytes are no superblock (never written, torn, damaged). Throws VERSION for a newer or older one. */
export function decodeSuperblock(bytes: Uint8Array, offset: number): Superblock | undefined {
  const from = asBuffer(bytes);
  if (offset + SUPERBLOCK_BYTES > from.length || from.readUInt32LE(offset) !== SUPERBLOCK_MAGIC) return undefined;
  if (from.readUInt32LE(offset + 60) !== crc32(from.subarray(offset, offset + 60))) return undefined;
  checkStoreVersion(from.readUInt16LE(offset + 4), "superblock");
  const superblock: Superblock = {
    storeId: byteString(from, offset + 8, offset + 24),
    generation: readUint64(from, offset + 24),
    regionBytes: readUint64(from, offset + 32),
    segmentBytes: from.readUInt32LE(offset + 40),
    segmentCount: from.readUInt32LE(offset + 44),
    deviceBytes: readUint64(from, offset + 48),
  };
  const numbers = [superblock.generation, superblock.regionBytes, superblock.deviceBytes];
  if (from.readUInt16LE(offset + 6) !== 0 || from.readUInt32LE(offset + 56) !== 0) return undefined;
  return numbers.every(Number.isSafeInteger) ? superblock : undefined;
}

/** Throws VERSION unless this program reads stored format `version`. */
export function checkStoreVersion(version: number, what: string): void {
  if (version >= OLDEST_STORE_FORMAT_VERSION && version <= STORE_FORMAT_VERSION) return;
  const advice =
    version > STORE_FORMAT_VERSION ? "Upgrade this program." : "Convert it with the program that wrote it.";
  throw new DaosError(
    "VERSION",
    `Cannot open store "${what}": it has format version ${version}, this program reads ` +
      `${OLDEST_STORE_FORMAT_VERSION} to ${STORE_FORMAT_VERSION}. ${advice}`,
  );
}
