import { expect, test } from "bun:test";
import fc from "fast-check";
import { crc32 } from "../../src/base/checksum.ts";
import { checksumOfChunks, joinChecksums } from "../../src/base/checksum-join.ts";
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
