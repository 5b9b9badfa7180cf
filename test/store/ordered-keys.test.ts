import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "../../src/base/bytes.ts";
import { OrderedKeys } from "../../src/store/ordered-keys.ts";

function walk(keys: OrderedKeys, from: string, to: string, reverse: boolean): string[] {
  const found: string[] = [];
  const cursor = keys.cursor(from as ByteString, to as ByteString, reverse);
  for (; cursor.key !== undefined; cursor.next()) found.push(cursor.key);
  return found;
}

function expected(all: Set<string>, from: string, to: string, reverse: boolean): string[] {
  const found = [...all].filter((key) => key >= from && (to === "" || key < to)).sort();
  return reverse ? found.reverse() : found;
}

test("OrderedKeys walks as a sorted list would, whenever keys are added", () => {
  const names = fc.nat(3000).map((number) => number.toString(36));
  const steps = fc.array(
    fc.oneof(
      fc.array(names, { maxLength: 400 }).map((added) => ({ added })),
      fc.record({ from: names, to: fc.oneof(names, fc.constant("")), reverse: fc.boolean() }),
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(steps, (run) => {
      const keys = new OrderedKeys();
      const all = new Set<string>();
      for (const step of run) {
        if ("added" in step) {
          for (const key of step.added) {
            if (!all.has(key)) keys.add(key as ByteString);
            all.add(key);
          }
        } else {
          const { from, to, reverse } = step;
          expect(walk(keys, from, to, reverse)).toEqual(expected(all, from, to, reverse));
        }
      }
      expect(walk(keys, "", "", false)).toEqual(expected(all, "", "", false));
      expect(walk(keys, "", "", true)).toEqual(expected(all, "", "", true));
    }),
    { numRuns: 60 },
  );
});

test("OrderedKeys splits blocks that single keys have filled", () => {
  const keys = new OrderedKeys();
  const all = new Set<string>();
  for (let index = 0; index < 3000; index += 1) {
    const key = String((index * 7919) % 3000).padStart(4, "0");
    keys.add(key as ByteString);
    all.add(key);
    if (index % 50 === 0) expect(walk(keys, "1", "2", false)).toEqual(expected(all, "1", "2", false));
  }
  expect(walk(keys, "", "", false)).toEqual(expected(all, "", "", false));
});
