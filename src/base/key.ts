/**
 * Keys as callers write them: text, which stands for its UTF-8 bytes, or bytes. Inside they are byte strings (bytes.ts).
 * Two different keys never become one: text that has no UTF-8 encoding is refused instead of mended.
 */
import { byteString, type ByteString, byteStringOfText } from "./bytes.ts";
import { kindOf } from "./bytes-argument.ts";
import { DaosError } from "./errors.ts";
import { MAX_AKEY_BYTES, MAX_DKEY_BYTES } from "./limits.ts";

export type Key = string | Uint8Array;

/**
 * The byte string of a key of any length. Throws INVALID_ARGUMENT for text with half of a surrogate pair, and for what is
 * neither text nor bytes.
 */
export function byteStringOfKey(key: Key): ByteString {
  if (typeof key !== "string") {
    if (key instanceof Uint8Array) return byteString(key);
    throw noKey(key);
  }
  if (isAscii(key)) return key as string as ByteString;
  if (!key.isWellFormed()) {
    throw new DaosError("INVALID_ARGUMENT", `Cannot use key "${key}": it is not valid Unicode. Give it as bytes.`);
  }
  return byteStringOfText(key);
}

/** A distribution key. Throws INVALID_ARGUMENT, or TOO_LARGE over MAX_DKEY_BYTES. */
export function dkeyOf(key: Key): ByteString {
  const dkey = byteStringOfKey(key);
  if (dkey.length > MAX_DKEY_BYTES) throw tooLong("dkey", dkey, MAX_DKEY_BYTES);
  return dkey;
}

/** An attribute key. Throws INVALID_ARGUMENT, or TOO_LARGE over MAX_AKEY_BYTES. */
export function akeyOf(key: Key): ByteString {
  const akey = byteStringOfKey(key);
  if (akey.length > MAX_AKEY_BYTES) throw tooLong("akey", akey, MAX_AKEY_BYTES);
  return akey;
}

/** ASCII text is its own byte string: most keys are, and need no conversion. */
function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) > 0x7f) return false;
  }
  return true;
}

function noKey(key: unknown): DaosError {
  const state = `${kindOf(key)} was given instead of text or bytes`;
  return new DaosError("INVALID_ARGUMENT", `Cannot use key: ${state}. Pass a string or Uint8Array.`);
}

function tooLong(what: string, key: ByteString, limitBytes: number): DaosError {
  const state = `it has ${key.length} bytes, ${limitBytes} are allowed`;
  return new DaosError("TOO_LARGE", `Cannot use ${what} "${key.slice(0, 32)}...": ${state}. Use a shorter key.`);
}
