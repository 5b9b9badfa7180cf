/** The pieces of any range cover it exactly, in order, none across a chunk or over a request's limit. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { bytesOf } from "../../src/base/bytes.ts";
import { MAX_ARRAY_IO_BYTES } from "../../src/base/limits.ts";
import { arrayPieces, ATTRIBUTES_DKEY, chunkDkey, chunkOfDkey, onlyPiece } from "../../src/client/array-pieces.ts";

test("arrayPieces covers every range", () => {
  const property = fc.property(
    fc.constantFrom(1, 3, 8, 4096),
    fc.integer({ min: 1, max: 3000 }),
    fc.oneof(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 0, max: 2 ** 40 })),
    fc.integer({ min: 0, max: 20_000 }),
    (recordBytes, recordsInChunk, recordIndex, recordCount) => {
      const attributes = { recordBytes, chunkBytes: recordBytes * recordsInChunk };
      let next = recordIndex;
      const all = [...arrayPieces(attributes, recordIndex, recordCount)];
      expect(onlyPiece(attributes, recordIndex, recordCount)).toEqual(all.length === 1 ? all[0] : undefined);
      for (const piece of arrayPieces(attributes, recordIndex, recordCount)) {
        expect(chunkOfDkey(piece.dkey)! * recordsInChunk + piece.recordIndex).toBe(next);
        expect(piece.offsetBytes).toBe((next - recordIndex) * recordBytes);
        expect(piece.recordCount).toBeGreaterThan(0);
        expect(piece.recordIndex + piece.recordCount).toBeLessThanOrEqual(recordsInChunk);
        expect(piece.recordCount * recordBytes).toBeLessThanOrEqual(MAX_ARRAY_IO_BYTES);
        next += piece.recordCount;
      }
      expect(next).toBe(recordIndex + recordCount);
    },
  );
  fc.assert(property, { numRuns: 300 });
});

test("a chunk larger than a request is cut", () => {
  const attributes = { recordBytes: 1, chunkBytes: 16 << 20 };
  expect([...arrayPieces(attributes, 0, 16 << 20)].map(({ recordCount }) => recordCount)).toEqual(
    [4, 4, 4, 4].map((n) => n << 20),
  );
});

test("chunk dkeys count from 1, big-endian, in the order of the array", () => {
  expect(Buffer.from(bytesOf(ATTRIBUTES_DKEY)).toString("hex")).toBe("0000000000000000");
  expect(Buffer.from(bytesOf(chunkDkey(0))).toString("hex")).toBe("0000000000000001");
  expect(Buffer.from(bytesOf(chunkDkey(0x1_0000_0000))).toString("hex")).toBe("0000000100000001");
  expect(chunkDkey(255) < chunkDkey(256)).toBe(true);
  expect(chunkOfDkey(chunkDkey(77))).toBe(77);
  expect(chunkOfDkey(ATTRIBUTES_DKEY)).toBe(-1);
});
