/**
 * Unsigned 64 bit integers as JavaScript numbers, little-endian. Exact up to 2^53 - 1, which every counter, offset and
 * epoch of the stored formats obeys; whoever decodes checks with Number.isSafeInteger and calls what fails CORRUPT.
 */

/** Writes `value`, a safe integer that is not negative. */
export function writeUint64(into: Buffer, value: number, offset: number): void {
  into.writeUInt32LE(value >>> 0, offset);
  into.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4);
}

/** Reads 8 bytes; the result may be over the safe integers when the bytes are wrong. */
export function readUint64(from: Buffer, offset: number): number {
  return from.readUInt32LE(offset) + from.readUInt32LE(offset + 4) * 0x1_0000_0000;
}
