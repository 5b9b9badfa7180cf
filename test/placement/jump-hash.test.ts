/** The jump hash against the paper's algorithm in bigint, its published vectors, and its promise of little movement. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { jumpHash, jumpHashOf32, mix32 } from "../../src/placement/jump-hash.ts";

/** The paper's listing, word for word, in bigint. */
function referenceJumpHash(key: bigint, buckets: number): number {
  let state = key;
  let bucket = -1;
  let next = 0;
  while (next < buckets) {
    bucket = next;
    state = BigInt.asUintN(64, state * 2862933555777941757n + 1n);
    next = Math.floor((bucket + 1) * (2 ** 31 / Number((state >> 33n) + 1n)));
  }
  return bucket;
}

describe("jumpHash", () => {
  test("gives the published vectors", () => {
    const vectors: [bigint, number, number][] = [
      [1n, 1, 0],
      [42n, 57, 43],
      [0xdead10ccn, 1, 0],
      [0xdead10ccn, 666, 361],
      [256n, 1024, 520],
    ];
    for (const [key, buckets, expected] of vectors) {
      expect(referenceJumpHash(key, buckets)).toBe(expected);
      expect(jumpHash(Number(key >> 32n), Number(key & 0xffffffffn), buckets)).toBe(expected);
    }
  });

  test("equals the paper's algorithm for any key", () => {
    const property = fc.property(
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.integer({ min: 1, max: 100_000 }),
      (key, buckets) =>
        jumpHash(Number(key >> 32n), Number(key & 0xffffffffn), buckets) === referenceJumpHash(key, buckets),
    );
    fc.assert(property, { numRuns: 5000 });
  });

  test("moves keys only into the new bucket", () => {
    let moved = 0;
    for (let key = 0; key < 20_000; key += 1) {
      const before = jumpHashOf32(key, 10);
      const after = jumpHashOf32(key, 11);
      if (before !== after) {
        expect(after).toBe(10);
        moved += 1;
      }
    }
    expect(Math.abs(moved / 20_000 - 1 / 11)).toBeLessThan(0.01);
  });

  test("spreads evenly", () => {
    const counts = Array.from({ length: 16 }, () => 0);
    for (let key = 0; key < 64_000; key += 1) counts[jumpHashOf32(key, 16)]! += 1;
    for (const count of counts) expect(Math.abs(count - 4000)).toBeLessThan(400);
  });
});

test("mix32 and jumpHashOf32 keep their golden vectors", () => {
  expect([0, 1, 0xffffffff].map(mix32)).toEqual([0, 0x514e28b7, 0x81f16f39]);
  expect([0, 1, 2, 0xcbf43926, 0xffffffff].map((checksum) => jumpHashOf32(checksum, 1000))).toMatchInlineSnapshot(`
    [
      729,
      150,
      622,
      714,
      931,
    ]
  `);
});
