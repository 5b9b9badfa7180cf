/** Keys from text and bytes: never two keys from one, never one from two. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { bytesOf } from "../../src/base/bytes.ts";
import { hasCode } from "../../src/base/errors.ts";
import { akeyOf, byteStringOfKey, dkeyOf, type Key } from "../../src/base/key.ts";
import { MAX_AKEY_BYTES, MAX_DKEY_BYTES } from "../../src/base/limits.ts";

function codeOf(make: (key: Key) => unknown, key: Key): string {
  try {
    make(key);
  } catch (error) {
    if (hasCode(error, "TOO_LARGE")) return "TOO_LARGE";
    if (hasCode(error, "INVALID_ARGUMENT")) return "INVALID_ARGUMENT";
    throw error;
  }
  return "none";
}

test("text is its UTF-8 bytes, bytes are themselves", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      expect(Buffer.from(bytesOf(byteStringOfKey(text))).toString("utf8")).toBe(text);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => expect(Uint8Array.from(bytesOf(byteStringOfKey(bytes)))).toEqual(bytes)),
  );
});

test("limits count bytes, and halves of surrogate pairs are refused", () => {
  expect(codeOf(dkeyOf, "k".repeat(MAX_DKEY_BYTES))).toBe("none");
  expect(codeOf(dkeyOf, "k".repeat(MAX_DKEY_BYTES + 1))).toBe("TOO_LARGE");
  expect(codeOf(dkeyOf, "é".repeat(MAX_DKEY_BYTES / 2 + 1))).toBe("TOO_LARGE");
  expect(codeOf(akeyOf, new Uint8Array(MAX_AKEY_BYTES))).toBe("none");
  expect(codeOf(akeyOf, new Uint8Array(MAX_AKEY_BYTES + 1))).toBe("TOO_LARGE");
  expect(codeOf(dkeyOf, "\udc00")).toBe("INVALID_ARGUMENT");
});
