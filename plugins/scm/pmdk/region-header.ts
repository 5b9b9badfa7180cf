/**
 * Region header of scm `pmdk`: what lies in front of the region's bytes in its file or devdax device. Two copies; the
 * valid one of the highest sequence counts, and an update goes to the other one, so that a crash leaves one. Each is one
 * record in a page of zeros. Little-endian.
 *
 *      0  u32 magic "DPMR"         4  u16 format version      6  u16 zero
 *      8  u64 sequence            16  16 bytes region id     32  u64 region bytes
 *     40  u32 granularity bytes   44  u32 flags              48  u64 unsafe shutdowns
 *     56  u32 CRC-32 of the device id                        60  u32 owner length
 *     64  owner: the target's folder when it was made, UTF-8, at most 440 bytes, then zeros
 *    508  u32 CRC-32 of bytes 0..507
 */
import { asBuffer, byteString, type ByteString } from "../../../src/base/bytes.ts";
import { crc32 } from "../../../src/base/checksum.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { KIB } from "../../../src/base/limits.ts";
import { readUint64, writeUint64 } from "../../../src/format/uint64.ts";

export const REGION_HEADER_BYTES = 512;
export const REGION_ID_BYTES = 16;
/** Distance of the two copies. */
export const HEADER_COPY_BYTES = 4 * KIB;
/** Where the region's own bytes begin. */
export const REGION_OFFSET_BYTES = 2 * HEADER_COPY_BYTES;

const MAGIC = 0x524d5044;
const FORMAT_VERSION = 1;
const MAX_OWNER_BYTES = 440;
const IN_USE = 1;
const HEALTH_KNOWN = 2;

/** What the memory modules told when the region was opened last. */
export interface RegionHealth {
  readonly unsafeShutdowns: number;
  /** CRC-32 of the device id, to tell a counter that went on from one of other modules. */
  readonly device: number;
}

export interface RegionHeader {
  readonly sequence: number;
  /** REGION_ID_BYTES random bytes. */
  readonly id: ByteString;
  readonly regionBytes: number;
  readonly granularityBytes: number;
  /** Open, or not closed in order. */
  readonly inUse: boolean;
  readonly health: RegionHealth | undefined;
  /** For messages only. */
  readonly owner: string;
}

/** Where in the file the copy of this sequence lies. */
export function headerOffset(sequence: number): number {
  return (sequence % 2) * HEADER_COPY_BYTES;
}

/** Fills the page at `offset`. */
export function encodeRegionHeader(into: Uint8Array, offset: number, header: RegionHeader): void {
  const buffer = asBuffer(into).subarray(offset, offset + HEADER_COPY_BYTES);
  const owner = Buffer.from(header.owner, "utf8").subarray(0, MAX_OWNER_BYTES);
  buffer.fill(0);
  buffer.writeUInt32LE(MAGIC, 0);
  buffer.writeUInt16LE(FORMAT_VERSION, 4);
  writeUint64(buffer, header.sequence, 8);
  buffer.latin1Write(header.id, 16, REGION_ID_BYTES);
  writeUint64(buffer, header.regionBytes, 32);
  buffer.writeUInt32LE(header.granularityBytes, 40);
  buffer.writeUInt32LE((header.inUse ? IN_USE : 0) | (header.health === undefined ? 0 : HEALTH_KNOWN), 44);
  writeUint64(buffer, header.health?.unsafeShutdowns ?? 0, 48);
  buffer.writeUInt32LE(header.health?.device ?? 0, 56);
  buffer.writeUInt32LE(owner.length, 60);
  buffer.set(owner, 64);
  buffer.writeUInt32LE(crc32(buffer.subarray(0, 508)), 508);
}

/** The newer of the two copies at the start of `bytes`; undefined when none is valid. Throws VERSION for another format. */
export function decodeRegionHeader(bytes: Uint8Array): RegionHeader | undefined {
  const buffer = asBuffer(bytes);
  const first = decodeCopy(buffer.subarray(0, REGION_HEADER_BYTES));
  const second = decodeCopy(buffer.subarray(HEADER_COPY_BYTES, HEADER_COPY_BYTES + REGION_HEADER_BYTES));
  if (first === undefined || second === undefined) return first ?? second;
  return first.sequence > second.sequence ? first : second;
}

function decodeCopy(buffer: Buffer): RegionHeader | undefined {
  if (buffer.length < REGION_HEADER_BYTES || buffer.readUInt32LE(0) !== MAGIC) return undefined;
  if (buffer.readUInt32LE(508) !== crc32(buffer.subarray(0, 508))) return undefined;
  const version = buffer.readUInt16LE(4);
  if (version !== FORMAT_VERSION) {
    throw new DaosError(
      "VERSION",
      `Cannot open "scm region": its header has format ${version}, this program knows ${FORMAT_VERSION}. Use the release that made it.`,
    );
  }
  const flags = buffer.readUInt32LE(44);
  const ownerLength = buffer.readUInt32LE(60);
  const sequence = readUint64(buffer, 8);
  const unsafeShutdowns = readUint64(buffer, 48);
  if (flags > (IN_USE | HEALTH_KNOWN) || ownerLength > MAX_OWNER_BYTES || !Number.isSafeInteger(sequence))
    return undefined;
  return {
    sequence,
    id: byteString(buffer, 16, 16 + REGION_ID_BYTES),
    regionBytes: readUint64(buffer, 32),
    granularityBytes: buffer.readUInt32LE(40),
    inUse: (flags & IN_USE) !== 0,
    health: (flags & HEALTH_KNOWN) === 0 ? undefined : { unsafeShutdowns, device: buffer.readUInt32LE(56) },
    owner: buffer.toString("utf8", 64, 64 + ownerLength),
  };
}
