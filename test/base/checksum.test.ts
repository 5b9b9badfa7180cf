/**
 * The checksum of everything: the check value of the standard, and the portable code for short ranges against the
 * runtime's at every length around its limit.
 */
import { expect, test } from "bun:test";
import { crc32, crc32Range } from "../../src/base/checksum.ts";

test("crc32 gives the check value of the standard", () => {
  const digits = Buffer.from("123456789");
  expect(crc32(digits)).toBe(0xcbf43926);
  expect(crc32Range(digits, 0, 9)).toBe(0xcbf43926);
});

test("crc32Range equals crc32 of the same bytes, whatever their length and place", () => {
  const bytes = Buffer.from(Array.from({ length: 1300 }, (_, index) => (index * 167 + 13) & 0xff));
  for (let length = 0; length <= 1100; length += 1) {
    for (const start of [0, 1, 7, 199]) {
      const seed = (length * 2_654_435_761) % 0x1_0000_0000;
      expect(crc32Range(bytes, start, start + length)).toBe(crc32(bytes.subarray(start, start + length)));
      expect(crc32Range(bytes, start, start + length, seed)).toBe(crc32(bytes.subarray(start, start + length), seed));
    }
  }
});
