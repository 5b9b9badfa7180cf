import { expect, test } from "bun:test";
import fc from "fast-check";
import { readUint64, writeUint64 } from "../../src/format/uint64.ts";

test("uint64: safe integers come back, little-endian", () => {
  const bytes = Buffer.alloc(10);
  fc.assert(
    fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (value) => {
      writeUint64(bytes, value, 1);
      expect(readUint64(bytes, 1)).toBe(value);
      expect(Number(bytes.readBigUInt64LE(1))).toBe(value);
    }),
  );
});

test("uint64: what is over the safe integers is seen as such", () => {
  expect(Number.isSafeInteger(readUint64(Buffer.alloc(8, 0xff), 0))).toBe(false);
});
