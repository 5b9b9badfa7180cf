/**
 * Power loss with prepared records, checked: bugs that are planted in how a store keeps them are found within some power
 * losses. Each is a method of the store that does not do its part.
 */
import { expect, test } from "bun:test";
import { DecisionLog } from "../../src/store/decision-log.ts";
import { PreparedRecords } from "../../src/store/prepared-records.ts";
import { PreparedTable } from "../../src/store/prepared-table.ts";
import { RequestRows } from "../../src/store/request-rows.ts";
import { CrashHarness } from "./crash-harness.ts";

const SEEDS = [1, 2, 3, 4];

type Plant = readonly [owner: object, method: string, instead: (...given: never[]) => unknown];

/** The first failure of each seed's rounds when each `method` of its `owner` is another one. */
async function planted(plants: readonly Plant[]): Promise<string[]> {
  const kept = plants.map(([owner, method]) => (owner as Record<string, unknown>)[method]);
  for (const [owner, method, instead] of plants) (owner as Record<string, unknown>)[method] = instead;
  try {
    const failures: string[] = [];
    for (const seed of SEEDS) {
      const failure = await new CrashHarness({ seed, granularityBytes: 512 }).run(40).then(
        () => undefined,
        (error: Error) => error.message,
      );
      if (failure !== undefined) failures.push(failure);
    }
    return failures;
  } finally {
    plants.forEach(([owner, method], place) => ((owner as Record<string, unknown>)[method] = kept[place]));
  }
}

/** The same with one plant. */
function found(...plant: Plant): Promise<string[]> {
  return planted([plant]);
}

test("canary: an undecided record that is settled as if it were committed is found out", async () => {
  expect((await found(PreparedTable.prototype, "holds", () => false)).length).toBeGreaterThan(2);
});

test("canary: an undecided record that is passed over and not appended again is found out", async () => {
  const passedOver = function (this: PreparedTable, upTo: number): Float64Array {
    return Float64Array.from(
      [...this.undecided()].map(({ copySequence }) => copySequence).filter((one) => one <= upTo),
    );
  };
  const failures = await planted([
    [PreparedTable.prototype, "skipped", passedOver],
    [PreparedRecords.prototype, "move", () => true],
  ]);
  expect(failures.length).toBeGreaterThan(2);
});

test("canary: an aborted record that is settled is found out", async () => {
  expect((await found(PreparedTable.prototype, "skipped", () => new Float64Array(0))).length).toBeGreaterThan(2);
});

test("canary: a decision that goes with its record is found out", async () => {
  const rows = (): unknown => ({
    added: new Float64Array(0),
    closed: new Float64Array(0),
    settled: () => undefined,
    failed: () => undefined,
  });
  expect((await found(DecisionLog.prototype, "rows", rows)).length).toBeGreaterThan(2);
});

test("canary: a reclaim that is done before what it covers is settled is found out", async () => {
  expect((await found(PreparedRecords.prototype, "carriedCells", () => [])).length).toBeGreaterThan(0);
});

test("canary: a completed request that settling forgets is found out", async () => {
  expect((await found(RequestRows.prototype, "apply", () => undefined)).length).toBeGreaterThan(2);
});
