/**
 * Bytes as strings and back. A *byte string* is a JavaScript string whose characters are all below 256: the runtime
 * stores it one byte a character, hashes and compares it natively, and its order is the order of the bytes. Keys travel
 * through the store in this form.
 */
declare global {
  /** Methods that the runtime has and its type declarations lack. */
  interface Buffer {
    latin1Slice(start?: number, end?: number): string;
    latin1Write(text: string, offset?: number, length?: number): number;
  }
}

declare const byteStringBrand: unique symbol;
export type ByteString = string & { readonly [byteStringBrand]: true };

/** The bytes from `start` to `end` as a byte string. */
export function byteString(bytes: Uint8Array, start = 0, end = bytes.length): ByteString {
  return asBuffer(bytes).latin1Slice(start, end) as ByteString;
}

/** The bytes of a byte string, in a buffer of their own. */
export function bytesOf(text: ByteString | string): Uint8Array {
  return Buffer.from(text, "latin1");
}

/** The byte string of the UTF-8 encoding of `text`. */
export function byteStringOfText(text: string): ByteString {
  return byteString(Buffer.from(text, "utf8"));
}

/** A Buffer over the same memory: no copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** True when both hold the same bytes. */
export function bytesEqual(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && asBuffer(left).equals(right);
}

/** As bytesEqual, of what nobody may guess byte by byte: the time it takes does not tell where they differ. */
export function tagsEqual(left: Uint8Array, right: Uint8Array): boolean {
  let difference = left.length ^ right.length;
  for (let index = 0; index < right.length; index += 1) difference |= (left[index] ?? 0) ^ right[index]!;
  return difference === 0;
}
