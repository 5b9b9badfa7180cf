/**
 * The frame of the benchmarks: interleaving, medians, goals, tables, and that what was started is stopped.
 */
import { expect, test } from "bun:test";
import { type Benchmark, type Contender, formatReport, runBenchmark } from "../../bench/benchmark.ts";
import { parsePeerFigures, peerProblem } from "../../bench/peers.ts";
import { formatFigure, formatTable, median, medianFigures } from "../../bench/table.ts";

function benchmarkOf(contenders: Contender[], goals: Benchmark["goals"] = []): Benchmark {
  return {
    title: "sample",
    unavailable: () => undefined,
    workloads: ["put", "get"],
    contenders: () => contenders,
    goals,
  };
}

test("median takes the middle, or the mean of two", () => {
  expect(median([10, 9, 2])).toBe(9);
  expect(median([10, 2])).toBe(6);
  expect(median([])).toBeNaN();
});

test("medianFigures goes over the rounds in which a figure was measured", () => {
  expect(medianFigures([{ ops: 1, p99: 5 }, { ops: 3 }, { ops: 2 }])).toEqual({ ops: 2, p99: 5 });
});

test("runBenchmark interleaves, begins each round with another contender, and reports medians and goals", async () => {
  const calls: string[] = [];
  const contender = (name: string, values: number[]): Contender => ({
    name,
    start: async () => void calls.push(`start ${name}`),
    measure: async (workload) => {
      calls.push(`${name} ${workload}`);
      return { opsPerSecond: values.shift() ?? 0 };
    },
    stop: async () => void calls.push(`stop ${name}`),
  });
  const goal = { figure: "opsPerSecond", contender: "a", reference: "b" };
  const goals = [
    { ...goal, workload: "put", atLeast: 2 },
    { ...goal, workload: "put", atLeast: 2.5 },
    { ...goal, workload: "put", atMost: 1 },
    { ...goal, workload: "put", figure: "absent", atLeast: 0 },
  ];
  const report = await runBenchmark(
    benchmarkOf([contender("a", [10, 1, 30, 3, 20, 2]), contender("b", [10, 1, 10, 1, 10, 1])], goals),
    3,
    () => {},
  );
  expect(calls.slice(0, 2)).toEqual(["start a", "start b"]);
  expect(calls.slice(2, 10)).toEqual(["a put", "b put", "a get", "b get", "b put", "a put", "b get", "a get"]);
  expect(calls.slice(-2)).toEqual(["stop b", "stop a"]);
  expect(
    report.rows.map(({ workload, contender: name, figures }) => [workload, name, figures["opsPerSecond"]]),
  ).toEqual([
    ["put", "a", 20],
    ["put", "b", 10],
    ["get", "a", 2],
    ["get", "b", 1],
  ]);
  expect(report.goals.map(({ met }) => met)).toEqual([true, false, false, false]);
  expect(formatReport(report)).toContain("| put      | a         |         20.0 |");
});

test("runBenchmark stops what it started when a measurement fails", async () => {
  const stopped: string[] = [];
  const failing: Contender = {
    name: "failing",
    measure: () => Promise.reject(new Error("disk gone")),
    stop: async () => void stopped.push("failing"),
  };
  await expect(runBenchmark(benchmarkOf([failing]), 1, () => {})).rejects.toThrow("disk gone");
  expect(stopped).toEqual(["failing"]);
});

test("formatTable aligns numbers right and words left", () => {
  const rows = [
    ["put", "5"],
    ["get", "1234"],
  ];
  expect(formatTable(["name", "ops"], rows)).toBe(
    ["| name |  ops |", "| ---- | ---: |", "| put  |    5 |", "| get  | 1234 |"].join("\n"),
  );
});

test.each([
  [123456.7, "123457"],
  [12.345, "12.3"],
  [1.2345, "1.23"],
  [0.012345, "0.0123"],
  [0, "0"],
  [undefined, ""],
])("formatFigure(%p) is %p", (value, expected) => {
  expect(formatFigure(value)).toBe(expected);
});

test("parsePeerFigures reads the seven columns and passes over the rest", () => {
  expect(parsePeerFigures("redis\taof_no_set\t100\t50x16\tiops\t1000\top/s\nnoise\n")).toEqual([
    { workload: "aof_no_set", size: "100", concurrency: "50x16", metric: "iops", value: 1000, unit: "op/s" },
  ]);
});

test("peerProblem names the script that is absent", () => {
  expect(peerProblem("no-such-peer")).toBe("no script no-such-peer.sh in ../shared/peers");
});

test("what is to be measured warm is done once by each contender before, and that counts for nothing", async () => {
  const contender = (name: string, values: number[]): Contender => ({
    name,
    measure: async () => ({ opsPerSecond: values.shift()! }),
  });
  const warm = { ...benchmarkOf([contender("a", [1, 1, 5, 6]), contender("b", [2, 2, 7, 8])], []), isWarm: true };
  const report = await runBenchmark(warm, 1, () => {});
  expect(report.rows.map(({ figures }) => figures["opsPerSecond"])).toEqual([5, 7, 6, 8]);
});
