/**
 * CRC32C in TypeScript, eight bytes a turn by eight tables ("slicing by 8", Kounavis and Berry, 2005).
 */

/** The Castagnoli polynomial, reflected. */
const POLYNOMIAL = 0x82f63b78;
const SLICES = 8;

/** Table n, 256 words from n * 256: the CRC of a byte with n zero bytes after it. */
const TABLES = makeTables();

function makeTables(): Int32Array {
  const tables = new Int32Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let word = byte;
    for (let bit = 0; bit < 8; bit += 1) word = (word >>> 1) ^ (word & 1 ? POLYNOMIAL : 0);
    tables[byte] = word;
  }
  for (let index = 256; index < tables.length; index += 1) {
    const shorter = tables[index - 256]!;
    tables[index] = (shorter >>> 8) ^ tables[shorter & 0xff]!;
  }
  return tables;
}

/** As Codec.crc32c. */
export function portableCrc32c(bytes: Uint8Array, seed = 0): number {
  const tables = TABLES;
  let state = ~seed;
  let offset = 0;
  for (const end = bytes.length - (SLICES - 1); offset < end; offset += SLICES) {
    state ^= bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24);
    state =
      tables[1792 + (state & 0xff)]! ^
      tables[1536 + ((state >>> 8) & 0xff)]! ^
      tables[1280 + ((state >>> 16) & 0xff)]! ^
      tables[1024 + (state >>> 24)]! ^
      tables[768 + bytes[offset + 4]!]! ^
      tables[512 + bytes[offset + 5]!]! ^
      tables[256 + bytes[offset + 6]!]! ^
      tables[bytes[offset + 7]!]!;
  }
  for (; offset < bytes.length; offset += 1) state = (state >>> 8) ^ tables[(state ^ bytes[offset]!) & 0xff]!;
  return ~state >>> 0;
}
