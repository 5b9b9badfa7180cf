/** What a leader knows of a target that it fills: which dkeys are there. */
import { expect, test } from "bun:test";
import { Destination, LAST_LEVEL, LAST_PREFIX } from "../../src/dtx/fill-round.ts";

const prefixOf = (number: number): string => String(number).padStart(8, "0");

test("what was brought ahead of the walk is there, and what it has come by, level by level", () => {
  const destination = new Destination(7, 1, 1, false, false);
  const has = (number: number, level: number): boolean => destination.has({ prefix: prefixOf(number), level });
  expect(has(1, 0)).toBe(false);
  destination.add({ prefix: prefixOf(9), level: 1 });
  destination.reached(0, prefixOf(5));
  expect([has(5, 0), has(6, 0), has(1, 1), has(9, 1), has(9, 0)]).toEqual([true, false, false, true, true]);
  destination.reached(0, LAST_PREFIX);
  destination.reached(1, prefixOf(2));
  expect([has(6, 0), has(1, 1), has(3, 1), has(9, 1), has(0, 2)]).toEqual([true, true, false, true, false]);
  // It does not go back.
  destination.reached(0, prefixOf(1));
  expect([has(6, 0), has(1, 1)]).toEqual([true, true]);
  destination.broken.add(prefixOf(1));
  expect(has(1, 1)).toBe(false);
  destination.add({ prefix: prefixOf(1), level: 1 });
  expect(has(1, 1)).toBe(true);
  destination.reached(LAST_LEVEL, LAST_PREFIX);
  expect(has(77, 200)).toBe(true);
});

test("of many that the walk brings one after the other few are remembered, of those ahead of it all", () => {
  const destination = new Destination(7, 1, 1, false, true);
  const ahead = Array.from({ length: 5_000 }, (_, index) => prefixOf(90_000_000 + index));
  for (const prefix of ahead) destination.add({ prefix, level: 0 });
  for (let number = 0; number < 100_000; number += 1) {
    destination.add({ prefix: prefixOf(number), level: 0 });
    if (number % 128 === 127) destination.reached(0, prefixOf(number));
  }
  expect(destination.earlyCount).toBeLessThan(2 * ahead.length + 2_000);
  expect(ahead.every((prefix) => destination.has({ prefix, level: 0 }))).toBe(true);
  expect(destination.has({ prefix: prefixOf(99_000), level: 0 })).toBe(true);
  expect(destination.has({ prefix: prefixOf(200_000), level: 0 })).toBe(false);
});

test("what a target has is unknown until it is compared, unless it has nothing or all", () => {
  const dkey = { prefix: prefixOf(3), level: 0 };
  const held = new Destination(7, 1, 1, false, true);
  expect(held.isUnknown(dkey)).toBe(true);
  held.compared(0, prefixOf(3));
  expect(held.isUnknown(dkey)).toBe(false);
  expect(held.isUnknown({ prefix: prefixOf(4), level: 0 })).toBe(true);
  expect(new Destination(7, 1, 1, false, false).isUnknown(dkey)).toBe(false);
  expect(new Destination(7, 1, 1, true, true).isUnknown(dkey)).toBe(false);
});
