import { expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import { SnapshotRegistry } from "../../src/store/snapshot-lists.ts";

function epochs(...numbers: number[]): Epoch[] {
  return numbers as Epoch[];
}

test("SnapshotRegistry keeps a replaced list until what replaced it is durable", () => {
  const registry = new SnapshotRegistry();
  registry.restore(1, epochs(3, 5));
  registry.replace(1, epochs(5, 9), 100);
  registry.replace(2, epochs(4), 101);
  registry.replace(1, [], 102);
  expect(registry.get(1)).toEqual([]);
  expect(registry.kept(99)).toEqual(
    new Map([
      [1, epochs(3, 5, 9)],
      [2, epochs(4)],
    ]),
  );
  expect(registry.kept(101)).toEqual(
    new Map([
      [1, epochs(5, 9)],
      [2, epochs(4)],
    ]),
  );
  expect(registry.kept(102)).toEqual(new Map([[2, epochs(4)]]));
});

test("SnapshotRegistry knows the highest epoch of all lists", () => {
  const registry = new SnapshotRegistry();
  expect(registry.highest).toBe(0 as Epoch);
  registry.restore(1, epochs(3, 5));
  registry.restore(2, epochs(4));
  expect(registry.highest).toBe(5 as Epoch);
});
