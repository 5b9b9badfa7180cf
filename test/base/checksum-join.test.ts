import { expect, test } from "bun:test";
import fc from "fast-check";
import { crc32 } from "../../src/base/checksum.ts";
import {
  checksumBehind,
  checksumOfChunks,
  checksumOfPart,
  checksumOfZeros,
  joinChecksums,
} from "../../src/base/checksum-join.ts";
import { BLOCK_BYTES } from "../../src/base/limits.ts";

test("joinChecksums gives the checksum of both parts together", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (first, second) => {
      const joined = joinChecksums(crc32(first), crc32(second), second.length);
      expect(joined).toBe(crc32(Buffer.concat([first, second])));
    }),
  );
});

test("joinChecksums holds for long second parts", () => {
  for (const sizeBytes of [BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 1 << 20, 3_000_001]) {
    const second = Buffer.alloc(sizeBytes, 0x5a);
    second[sizeBytes - 1] = 1;
    const first = Buffer.from("first");
    expect(joinChecksums(crc32(first), crc32(second), sizeBytes)).toBe(crc32(Buffer.concat([first, second])));
  }
});

test("checksumOfChunks gives the checksum of a run of chunks, the last of them short", () => {
  const bytes = crypto.getRandomValues(Buffer.alloc(5 * BLOCK_BYTES + 77));
  const checksums = Uint32Array.from({ length: 6 }, (_, chunk) =>
    crc32(bytes.subarray(chunk * BLOCK_BYTES, (chunk + 1) * BLOCK_BYTES)),
  );
  expect(checksumOfChunks(checksums, 0, bytes.length)).toBe(crc32(bytes));
  expect(checksumOfChunks(checksums, 2, 2 * BLOCK_BYTES)).toBe(crc32(bytes.subarray(2 * BLOCK_BYTES, 4 * BLOCK_BYTES)));
  expect(checksumOfChunks(checksums, 4, BLOCK_BYTES + 77)).toBe(crc32(bytes.subarray(4 * BLOCK_BYTES)));
});

const CUT = fc.uint8Array({ maxLength: 300 }).chain((bytes) => {
  const place = fc.nat({ max: bytes.length });
  return fc.tuple(fc.constant(bytes), place, place).map(([all, left, right]) => {
    return { all, start: Math.min(left, right), end: Math.max(left, right) };
  });
});

test("checksumBehind gives the checksum of the second part", () => {
  fc.assert(
    fc.property(CUT, ({ all, start }) => {
      const second = all.subarray(start);
      expect(checksumBehind(crc32(all), crc32(all.subarray(0, start)), second.length)).toBe(crc32(second));
    }),
  );
});

test("checksumOfPart agrees with a sum of the part, and sees any flipped bit", () => {
  fc.assert(
    fc.property(CUT, fc.nat(), ({ all, start, end }, bit) => {
      const whole = crc32(all);
      expect(checksumOfPart(all, whole, start, end)).toBe(crc32(all.subarray(start, end)));
      if (all.length === 0 || (start === 0 && end === all.length)) return;
      const flipped = all.slice();
      flipped[(bit >> 3) % all.length]! ^= 1 << (bit & 7);
      expect(checksumOfPart(flipped, whole, start, end)).toBeUndefined();
    }),
  );
});

test("checksumOfZeros gives the checksum of zeros", () => {
  for (const sizeBytes of [0, 1, 7, 4095, 4096, 4097, 1 << 20]) {
    expect(checksumOfZeros(sizeBytes)).toBe(crc32(new Uint8Array(sizeBytes)));
  }
});

test("the powers that are kept are those of the sizes that are asked for", () => {
  // Sizes that share a slot take turns.
  for (const sizeBytes of [5, 5 + 1024, 5, 1 << 20, 5, (1 << 20) + 1024, 5 + 1024]) {
    const second = Buffer.alloc(sizeBytes, 3);
    expect(joinChecksums(7, crc32(second), sizeBytes)).toBe(crc32(second, 7));
  }
});
