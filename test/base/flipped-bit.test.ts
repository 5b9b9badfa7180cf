import { expect, test } from "bun:test";
import { crc32 } from "../../src/base/checksum.ts";
import { flippedBit } from "../../src/base/flipped-bit.ts";

function message(length: number): Uint8Array {
  return new Uint8Array(length).map((_, index) => (index * 37 + 11) & 0xff);
}

test("flippedBit names each bit of a message that flips, whatever the checksum was seeded with", () => {
  for (const seed of [0, 0xdeadbeef]) {
    const bytes = message(100);
    const stored = crc32(bytes, seed);
    for (let at = 0; at < bytes.length; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        bytes[at]! ^= 1 << bit;
        expect(flippedBit(stored, crc32(bytes, seed), bytes.length)).toEqual({ in: "message", at, mask: 1 << bit });
        bytes[at]! ^= 1 << bit;
      }
    }
  }
});

test("flippedBit tells when it was the checksum, and of a message that is long", () => {
  const bytes = message(1 << 20);
  const stored = crc32(bytes);
  for (let bit = 0; bit < 32; bit += 1) {
    expect(flippedBit((stored ^ (1 << bit)) >>> 0, stored, bytes.length)).toEqual({ in: "checksum" });
  }
  bytes[3]! ^= 16;
  expect(flippedBit(stored, crc32(bytes), bytes.length)).toEqual({ in: "message", at: 3, mask: 16 });
});

test("flippedBit finds nothing where nothing, or more than a bit, has changed", () => {
  const bytes = message(200);
  const stored = crc32(bytes);
  expect(flippedBit(stored, stored, bytes.length)).toBeUndefined();
  for (let at = 0; at < 199; at += 1) {
    bytes[at]! ^= 1;
    bytes[at + 1]! ^= 4;
    expect(flippedBit(stored, crc32(bytes), bytes.length)).toBeUndefined();
    bytes[at]! ^= 1;
    bytes[at + 1]! ^= 4;
  }
});
