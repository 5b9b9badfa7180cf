import { expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import { VersionKind } from "../../src/store/cell.ts";
import { Generations } from "../../src/store/generations.ts";
import { LoggedVersion } from "../../src/store/logged-version.ts";
import { key, LATEST } from "./store-rig.ts";

const GENERATION_CELLS = 100;
const SOURCE = { bytes: Buffer.alloc(0), durableSequence: 0 };

function version(epoch: number): LoggedVersion {
  return new LoggedVersion(SOURCE, epoch, epoch as Epoch, VersionKind.value, 0, 0, -1, 0, undefined);
}

test("dropUpTo drops the generations that end there or before, and counts what is left", () => {
  const generations = new Generations(GENERATION_CELLS);
  generations.put(key("a"), version(1), 10);
  generations.freeze(3);
  generations.put(key("b"), version(2), 20);
  generations.freeze(5);
  generations.put(key("c"), version(3), 40);
  expect(generations.oldestFrozen?.lastOrdinal).toBe(3);
  expect(generations.frozenUpTo(5).length).toBe(2);
  expect(generations.dropUpTo(2)).toBeUndefined();
  expect(generations.dropUpTo(4)).toBe(3);
  expect(generations.unsettledBytes).toBe(60);
  expect(generations.get(key("a"), LATEST)).toBeUndefined();
  expect(generations.get(key("b"), LATEST)?.epoch).toBe(2 as Epoch);
  expect(generations.dropUpTo(5)).toBe(5);
  expect(generations.oldestFrozen).toBeUndefined();
  expect(generations.get(key("c"), LATEST)?.epoch).toBe(3 as Epoch);
  expect(generations.unsettledBytes).toBe(40);
});

test("segmentEnded ends a generation of many cells, and lets one of few cells go on", () => {
  const generations = new Generations(GENERATION_CELLS);
  generations.put(key("a"), version(1), 10);
  for (let epoch = 2; epoch < GENERATION_CELLS + 10; epoch += 1) generations.put(key("a"), version(epoch), 1);
  generations.segmentEnded(1);
  expect(generations.oldestFrozen).toBeUndefined();
  for (let index = 1; index < GENERATION_CELLS; index += 1) generations.put(key(`k${index}`), version(1), 1);
  generations.segmentEnded(2);
  expect(generations.oldestFrozen?.lastOrdinal).toBe(2);
});
