/**
 * Attributes of an array object: the single value at dkey 0 (8 zero bytes), akey ARRAY_ATTRIBUTES_AKEY, written before the
 * array's first record and never changed after. As DAOS's (src/client/array/dc_array.c), but versioned. Little-endian.
 *
 *      0  u32 magic "DAAR"     4  u32 version    8  u64 record bytes    16  u64 chunk bytes    24  u32 CRC-32 of bytes 0..23
 *     28  u32 zero
 */
import { asBuffer, byteStringOfText } from "../base/bytes.ts";
import { crc32 } from "../base/checksum.ts";
import { DaosError } from "../base/errors.ts";

export const ARRAY_ATTRIBUTES_BYTES = 32;
export const ARRAY_ATTRIBUTES_AKEY = byteStringOfText("daos_array_metadata");
const MAGIC = 0x52414144;
const VERSION = 1;

export interface ArrayAttributes {
  readonly recordBytes: number;
  /** Bytes that one dkey holds: a multiple of recordBytes. */
  readonly chunkBytes: number;
}

export function encodeArrayAttributes(attributes: ArrayAttributes): Uint8Array {
  const bytes = Buffer.alloc(ARRAY_ATTRIBUTES_BYTES);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(VERSION, 4);
  bytes.writeBigUInt64LE(BigInt(attributes.recordBytes), 8);
  bytes.writeBigUInt64LE(BigInt(attributes.chunkBytes), 16);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 24)), 24);
  return bytes;
}

/** Throws CORRUPT (no such record, or attributes that cannot be) or VERSION. */
export function decodeArrayAttributes(bytes: Uint8Array): ArrayAttributes {
  const view = asBuffer(bytes);
  if (view.length !== ARRAY_ATTRIBUTES_BYTES || view.readUInt32LE(0) !== MAGIC)
    throw corrupt("they are no such record");
  if (view.readUInt32LE(24) !== crc32(view.subarray(0, 24))) throw corrupt("their checksum does not match");
  const version = view.readUInt32LE(4);
  if (version !== VERSION) {
    const state = `version ${version}, this program knows ${VERSION}`;
    throw new DaosError("VERSION", `Cannot read array attributes: ${state}. Use a newer program.`);
  }
  const recordBytes = Number(view.readBigUInt64LE(8));
  const chunkBytes = Number(view.readBigUInt64LE(16));
  const fits = recordBytes >= 1 && chunkBytes >= recordBytes && chunkBytes % recordBytes === 0;
  if (!fits || !Number.isSafeInteger(chunkBytes)) throw corrupt("the sizes cannot be");
  if (view.readUInt32LE(28) !== 0) throw corrupt("reserved bytes are not zero");
  return { recordBytes, chunkBytes };
}

function corrupt(state: string): DaosError {
  return new DaosError("CORRUPT", `Cannot read array attributes: ${state}. Something else wrote this object.`);
}
