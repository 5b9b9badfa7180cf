/**
 * Where the records of an array lie: chunk c (from 0) under the dkey c + 1, eight bytes big-endian, so that dkeys are in
 * the order of the array; a chunk's records under akey "0", counted from the chunk's start. dkey 0 holds the attributes.
 */
import { byteString, type ByteString, bytesOf } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_ARRAY_BYTES, MAX_ARRAY_IO_BYTES } from "../base/limits.ts";
import type { ArrayAttributes } from "../format/array-attributes.ts";

const dkeyBytes = Buffer.alloc(8);

export const ARRAY_AKEY = "0" as ByteString;
/** The dkey of the attributes. */
export const ATTRIBUTES_DKEY = chunkDkey(-1);

/** Part of a range of records that lies in one chunk and fits one request. */
export interface ArrayPiece {
  readonly dkey: ByteString;
  /** First record within the chunk. */
  readonly recordIndex: number;
  readonly recordCount: number;
  readonly recordBytes: number;
  /** Where its bytes begin within the bytes of the whole range. */
  readonly offsetBytes: number;
}

/** The dkey of a chunk. */
export function chunkDkey(chunk: number): ByteString {
  dkeyBytes.writeUInt32BE(Math.floor((chunk + 1) / 0x1_0000_0000), 0);
  dkeyBytes.writeUInt32BE((chunk + 1) >>> 0, 4);
  return byteString(dkeyBytes);
}

/** The chunk of a dkey: -1 for the attributes, undefined for a dkey that no array has. */
export function chunkOfDkey(dkey: ByteString): number | undefined {
  if (dkey.length !== 8) return undefined;
  const chunk = Number(Buffer.from(bytesOf(dkey)).readBigUInt64BE()) - 1;
  return Number.isSafeInteger(chunk) ? chunk : undefined;
}

export function recordsPerChunk(attributes: ArrayAttributes): number {
  return attributes.chunkBytes / attributes.recordBytes;
}

/** The range as one piece; undefined when it takes several, or is empty. */
export function onlyPiece(
  attributes: ArrayAttributes,
  recordIndex: number,
  recordCount: number,
): ArrayPiece | undefined {
  const { recordBytes } = attributes;
  const perChunk = recordsPerChunk(attributes);
  const chunk = Math.floor(recordIndex / perChunk);
  const within = recordIndex - chunk * perChunk;
  const fits = within + recordCount <= perChunk && recordCount * recordBytes <= MAX_ARRAY_IO_BYTES;
  if (!fits || recordCount === 0) return undefined;
  return { dkey: chunkDkey(chunk), recordIndex: within, recordCount, recordBytes, offsetBytes: 0 };
}

/** The pieces of a range, ascending; each is at most `pieceBytes` long, and at least one record. */
export function* arrayPieces(
  attributes: ArrayAttributes,
  recordIndex: number,
  recordCount: number,
  pieceBytes: number = MAX_ARRAY_IO_BYTES,
): Generator<ArrayPiece, void, void> {
  const perChunk = recordsPerChunk(attributes);
  const perPiece = Math.max(1, Math.floor(Math.min(pieceBytes, MAX_ARRAY_IO_BYTES) / attributes.recordBytes));
  const end = recordIndex + recordCount;
  let index = recordIndex;
  while (index < end) {
    const chunk = Math.floor(index / perChunk);
    const within = index - chunk * perChunk;
    const count = Math.min(perPiece, perChunk - within, end - index);
    const offsetBytes = (index - recordIndex) * attributes.recordBytes;
    const { recordBytes } = attributes;
    yield { dkey: chunkDkey(chunk), recordIndex: within, recordCount: count, recordBytes, offsetBytes };
    index += count;
  }
}

/** Throws INVALID_ARGUMENT for a range that is not one, TOO_LARGE for one beyond what an array can hold. */
export function checkRange(what: string, attributes: ArrayAttributes, recordIndex: number, recordCount: number): void {
  const isRange = [recordIndex, recordCount].every((number) => Number.isSafeInteger(number) && number >= 0);
  if (!isRange) {
    const state = `${recordCount} records from ${recordIndex} are no range`;
    throw new DaosError("INVALID_ARGUMENT", `Cannot ${what} array: ${state}. Give whole numbers from 0.`);
  }
  if ((recordIndex + recordCount) * attributes.recordBytes <= MAX_ARRAY_BYTES) return;
  const state = `the range ends beyond byte ${MAX_ARRAY_BYTES}`;
  throw new DaosError("TOO_LARGE", `Cannot ${what} array: ${state}. Use several arrays.`);
}
