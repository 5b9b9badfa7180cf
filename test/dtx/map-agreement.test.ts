import { expect, test } from "bun:test";
import { MapAgreement } from "../../src/dtx/map-agreement.ts";
import { type PoolMap, servingTarget, type TargetState } from "../../src/format/pool-map.ts";

/** A map of three targets, the last in this state since a version. */
function mapOf(version: number, state: TargetState, since: number): PoolMap {
  const targets = [0, 1, 2].map((index) => servingTarget({ index, host: `target${index}`, port: 1 }, index));
  return { version, targets: targets.map((target) => (target.index === 2 ? { ...target, state, since } : target)) };
}

function agreement(noted = 0): { agreement: MapAgreement; notes: number[] } {
  const notes: number[] = [];
  const note = async (version: number): Promise<void> => void notes.push(version);
  return { agreement: new MapAgreement({ noted: () => noted, note }), notes };
}

test("nobody is missing under the first map, nor under one that excludes a target", () => {
  const { agreement: own } = agreement();
  own.mapChanged(mapOf(1, "UPIN", 1), [1, 2]);
  expect([...own.missing]).toEqual([]);
  own.mapChanged(mapOf(2, "DOWN", 2), [1]);
  expect([...own.missing]).toEqual([]);
});

test("under a map that takes a target back all others are missing until they are heard, also under the next one", async () => {
  const { agreement: own, notes } = agreement();
  own.mapChanged(mapOf(4, "UPIN", 4), [1, 2]);
  expect([...own.missing]).toEqual([1, 2]);
  await own.heard(1);
  expect([...own.missing]).toEqual([2]);
  own.mapChanged(mapOf(5, "DOWN", 5), [1]);
  expect([...own.missing]).toEqual([]);
  own.mapChanged(mapOf(7, "UPIN", 7), [1, 2]);
  await own.heard(1);
  expect(notes).toEqual([]);
  await own.heard(2);
  expect(notes).toEqual([7]);
  await own.heard(2);
  expect(notes).toEqual([7]);
});

test("what was noted is not asked again", () => {
  const { agreement: own } = agreement(7);
  own.mapChanged(mapOf(7, "UPIN", 7), [1, 2]);
  expect([...own.missing]).toEqual([]);
  own.mapChanged(mapOf(9, "UPIN", 9), [1, 2]);
  expect([...own.missing]).toEqual([1, 2]);
});
