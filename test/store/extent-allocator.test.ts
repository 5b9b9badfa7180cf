import { expect, test } from "bun:test";
import fc from "fast-check";
import type { DaosError } from "../../src/base/errors.ts";
import { ExtentAllocator } from "../../src/store/extent-allocator.ts";
import { expectCode } from "./expect-code.ts";

test("ExtentAllocator never gives a block twice, and finds a run whenever there is one", () => {
  const commands = fc.array(
    fc.record({ count: fc.integer({ min: 1, max: 90 }), free: fc.nat(3), pick: fc.nat(1000) }),
    {
      maxLength: 200,
    },
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), commands, (blocks, run) => {
      const allocator = new ExtentAllocator(blocks);
      const taken = new Array<boolean>(blocks).fill(false);
      const extents: { first: number; count: number }[] = [];
      for (const { count, free, pick } of run) {
        if (free === 0 && extents.length > 0) {
          const [extent] = extents.splice(pick % extents.length, 1);
          allocator.free(extent!.first, extent!.count);
          taken.fill(false, extent!.first, extent!.first + extent!.count);
          continue;
        }
        let first = -1;
        try {
          first = allocator.allocate(count);
        } catch (error) {
          expect((error as DaosError).code).toBe("NO_SPACE");
          expect(longestRun(taken)).toBeLessThan(count);
          continue;
        }
        for (let block = first; block < first + count; block += 1) expect(taken[block]).toBe(false);
        taken.fill(true, first, first + count);
        extents.push({ first, count });
        expect(allocator.freeBlocks).toBe(taken.filter((one) => !one).length);
      }
    }),
    { numRuns: 150 },
  );
});

function longestRun(taken: readonly boolean[]): number {
  let longest = 0;
  let run = 0;
  for (const one of taken) {
    run = one ? 0 : run + 1;
    if (run > longest) longest = run;
  }
  return longest;
}

test("ExtentAllocator says whether space is gone or fragmented", () => {
  const allocator = new ExtentAllocator(100);
  expect(allocator.allocate(100)).toBe(0);
  expect(expectCode("NO_SPACE", () => allocator.allocate(1)).message).toContain("only 0 B are free");
  for (let block = 0; block < 100; block += 2) allocator.free(block, 1);
  expect(expectCode("NO_SPACE", () => allocator.allocate(2)).message).toContain("fragmented");
  expect(allocator.allocate(1) % 2).toBe(0);
});

test("ExtentAllocator.take refuses what is taken or past the end, and changes nothing then", () => {
  const allocator = new ExtentAllocator(64);
  expect(allocator.take(10, 5)).toBe(true);
  expect(allocator.take(8, 3)).toBe(false);
  expect(allocator.take(60, 5)).toBe(false);
  expect(allocator.freeBlocks).toBe(59);
  expect([8, 9, 10, 14, 15].map((block) => allocator.isTaken(block))).toEqual([false, false, true, true, false]);
});

test("ExtentAllocator frees only what is taken", () => {
  const allocator = new ExtentAllocator(64);
  allocator.take(0, 4);
  expect(() => allocator.free(3, 2)).toThrow("a freed block is taken");
});

test("ExtentAllocator passes over a crowded device", () => {
  const allocator = new ExtentAllocator(1_000_000);
  allocator.take(0, 999_990);
  expect(allocator.allocate(10)).toBe(999_990);
  allocator.free(500_000, 3);
  expect(allocator.allocate(3)).toBe(500_000);
});
