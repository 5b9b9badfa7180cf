import { expect, test } from "bun:test";
import { EPOCH_MAX, type Epoch } from "../../src/base/epoch.ts";
import { epochGate, readableEpoch } from "../../src/base/epoch-gate.ts";

const at = (epoch: number) => epoch as Epoch;

test("the gate is the least that all leaders have folded to", () => {
  expect(epochGate([])).toBe(EPOCH_MAX);
  expect(epochGate([at(9), at(4), at(7)])).toBe(at(4));
});

test("the first epoch that is left: itself, a snapshot, or what was aggregated to", () => {
  const snapshots = [at(10), at(20), at(40)];
  const cases = [
    [5, 0, 5],
    [5, 30, 10],
    [10, 30, 10],
    [11, 30, 20],
    [21, 30, 30],
    [30, 30, 30],
    [35, 30, 35],
    [21, 40, 40],
    [41, 50, 50],
  ] as const;
  for (const [wanted, aggregatedTo, expected] of cases) {
    expect(readableEpoch(at(wanted), at(aggregatedTo), snapshots)).toBe(at(expected));
  }
});
