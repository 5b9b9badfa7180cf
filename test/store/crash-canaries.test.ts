/**
 * Power loss, checked: bugs that are planted in how a store keeps prepared records and what is above an epoch gate are found
 * within some power losses. Each is a method of the store that does not do its part.
 */
import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import type { LoggedWrite } from "../../src/format/log-record.ts";
import { CellRewriter } from "../../src/store/cell-rewriter.ts";
import { DecisionLog } from "../../src/store/decision-log.ts";
import { GateTable } from "../../src/store/gate-table.ts";
import type { Gates } from "../../src/store/kept-views.ts";
import { LoggedCells } from "../../src/store/logged-cells.ts";
import { PreparedRecords } from "../../src/store/prepared-records.ts";
import { PreparedTable } from "../../src/store/prepared-table.ts";
import { RequestRows } from "../../src/store/request-rows.ts";
import { CrashHarness } from "./crash-harness.ts";
import { isGatedCell } from "./crash-model.ts";

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

/** What is there before anything is planted. */
function method<Method>(owner: object, name: string): Method {
  return (owner as Record<string, unknown>)[name] as Method;
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

test("canary: a settle that lets writes of one batch hide each other above the gate is found out", async () => {
  const add = method<LoggedCells["add"]>(LoggedCells.prototype, "add");
  const hiding = function (this: LoggedCells, write: LoggedWrite, keepsHidden: boolean): void {
    add.call(this, write, keepsHidden && !isGatedCell(write.key));
  };
  expect((await found(LoggedCells.prototype, "add", hiding)).length).toBeGreaterThan(2);
});

test("canary: a settle that supersedes what was settled above the gate is found out", async () => {
  const showsLatestOnly = method<CellRewriter["showsLatestOnly"]>(CellRewriter.prototype, "showsLatestOnly");
  const superseding = function (this: CellRewriter, key: ByteString): boolean {
    return isGatedCell(key) || showsLatestOnly.call(this, key);
  };
  expect((await found(CellRewriter.prototype, "showsLatestOnly", superseding)).length).toBeGreaterThan(2);
});

test("canary: a gate that something was dropped by and that a crash forgets is found out", async () => {
  expect((await found(CellRewriter.prototype, "useGate", () => undefined)).length).toBeGreaterThan(2);
});

test("canary: a gate that is believed to be higher than it is is found out", async () => {
  const list = method<GateTable["list"]>(GateTable.prototype, "list");
  const early = function (this: GateTable): Gates {
    return new Map([...list.call(this)].map(([container, gate]) => [container, (gate + 3) as Epoch]));
  };
  expect((await found(GateTable.prototype, "list", early)).length).toBeGreaterThan(2);
});
