import { expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import { GateTable } from "../../src/store/gate-table.ts";

function epoch(value: number): Epoch {
  return value as Epoch;
}

test("GateTable: gates that were raised are taken once, from the first gate to the last", () => {
  const table = new GateTable();
  table.restore(1, epoch(3), epoch(0));
  expect(table.takeReached()).toEqual([]);
  expect([table.raise(1, epoch(3)), table.raise(1, epoch(5)), table.raise(1, epoch(8))]).toEqual([false, true, true]);
  expect(table.takeReached()).toEqual([{ container: 1, from: epoch(4), to: epoch(8) }]);
  expect(table.takeReached()).toEqual([]);
  expect([...table.list()]).toEqual([[1, epoch(8)]]);
});

test("GateTable: a pass is due at the first epoch that was noted, the next one at the highest since", () => {
  const table = new GateTable();
  for (const noted of [5, 7, 6, 9]) table.noteKept(1, epoch(noted));
  table.raise(1, epoch(4));
  expect(table.due()).toEqual([]);
  table.raise(1, epoch(5));
  expect(table.due()).toEqual([1]);
  table.passBegun(1);
  expect(table.due()).toEqual([]);
  table.passEnded(1, false);
  expect(table.due()).toEqual([1]);
  table.passBegun(1);
  table.noteKept(1, epoch(8));
  table.passEnded(1, true);
  table.raise(1, epoch(8));
  expect(table.due()).toEqual([]);
  table.raise(1, epoch(9));
  expect(table.due()).toEqual([1]);
  table.passBegun(1);
  table.passEnded(1, true);
  expect(table.due()).toEqual([]);
});

test("GateTable: what the index knows is kept is due when the gate has passed it", () => {
  const table = new GateTable();
  table.restore(1, epoch(0), epoch(6));
  table.restore(2, epoch(6), epoch(6));
  expect([table.get(1), table.get(2), table.get(3)]).toEqual([epoch(0), epoch(6), epoch(0)]);
  expect(table.due()).toEqual([2]);
});
