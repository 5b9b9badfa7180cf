/**
 * Finds the one bit in which bytes differ from those that a CRC-32 was made of. Flips of single bits, in the bytes or in the
 * checksum itself, all change the checksum differently for messages of up to 2^32 - 33 bits, for x is a primitive element modulo
 * the CRC's polynomial: so the difference says which bit it was.
 *
 * Bytes that are damaged in another way look like that by chance once in 2^32 divided by their bits: of a row of 200 bytes once
 * in 2.6 million, of a record of 4 KiB once in 130,000.
 */
const POLYNOMIAL = 0xedb88320;

/** Where a bit is that has flipped: in the message, at byte `at`, or in its checksum, which the message then matches. */
export type FlippedBit =
  { readonly in: "message"; readonly at: number; readonly mask: number } | { readonly in: "checksum" };

/** `stored`: the checksum as it was stored with a message of so many bytes; `actual`: the message's. Undefined: more than one bit, or none. */
export function flippedBit(stored: number, actual: number, messageBytes: number): FlippedBit | undefined {
  const difference = (stored ^ actual) >>> 0;
  if (difference === 0) return undefined;
  if ((difference & (difference - 1)) === 0) return { in: "checksum" };
  // What the flip of a bit does to the checksum, from the last bit on: each one before it is shifted once more.
  let change = POLYNOMIAL;
  for (let distance = 0; distance < 8 * messageBytes; distance += 1) {
    if (change >>> 0 === difference) {
      return { in: "message", at: messageBytes - 1 - (distance >>> 3), mask: 0x80 >>> (distance & 7) };
    }
    change = (change & 1) === 1 ? (change >>> 1) ^ POLYNOMIAL : change >>> 1;
  }
  return undefined;
}
