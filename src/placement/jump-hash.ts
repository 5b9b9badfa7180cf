/**
 * Jump consistent hash (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014) and the 64 bit mix
 * that feeds it. 64 bit numbers are held as two unsigned halves, so that nothing is allocated on the way.
 *
 * Both functions are part of what places durable data: they never change. test/placement holds golden vectors.
 */

/** The paper's multiplier, 2862933555777941757, in halves. */
const MULTIPLIER_HIGH = 0x27bb2ee6;
const MULTIPLIER_LOW = 0x87b0b0fd;

/** High 32 bits of the product of two unsigned 32 bit numbers. */
function multiplyHigh(left: number, right: number): number {
  const leftLow = left & 0xffff;
  const leftHigh = left >>> 16;
  const rightLow = right & 0xffff;
  const rightHigh = right >>> 16;
  const middle = leftHigh * rightLow + Math.floor((leftLow * rightLow) / 0x1_0000);
  const cross = leftLow * rightHigh + (middle & 0xffff);
  return (leftHigh * rightHigh + Math.floor(middle / 0x1_0000) + (cross >>> 16)) >>> 0;
}

/** A bucket from 0 to `buckets` - 1 for the key. Growing from n to n + 1 buckets moves 1 / (n + 1) of the keys. */
export function jumpHash(keyHigh: number, keyLow: number, buckets: number): number {
  let high = keyHigh;
  let low = keyLow;
  let bucket = 0;
  let next = 0;
  while (next < buckets) {
    bucket = next;
    const carried = multiplyHigh(low, MULTIPLIER_LOW);
    const product = Math.imul(low, MULTIPLIER_LOW) >>> 0;
    high = (carried + Math.imul(high, MULTIPLIER_LOW) + Math.imul(low, MULTIPLIER_HIGH)) >>> 0;
    low = (product + 1) >>> 0;
    if (low === 0) high = (high + 1) >>> 0;
    next = Math.floor((bucket + 1) * (0x8000_0000 / ((high >>> 1) + 1)));
  }
  return bucket;
}

/** The finaliser of MurmurHash3, 32 bit (Appleby): every input bit moves every output bit. */
export function mix32(value: number): number {
  let mixed = value >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** Salt of the upper half: the golden ratio, so that the halves differ. */
const HIGH_SALT = 0x9e3779b9;

/** jumpHash of a 32 bit checksum spread to 64 bits: high half mix32(checksum xor 0x9e3779b9), low half mix32(checksum). */
export function jumpHashOf32(checksum: number, buckets: number): number {
  return jumpHash(mix32(checksum ^ HIGH_SALT), mix32(checksum), buckets);
}
