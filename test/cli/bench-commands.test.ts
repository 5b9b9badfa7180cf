/** `daos bench ...`: which options reach the benchmark, and how its figures are shown. */
import { expect, test } from "bun:test";
import { KIB, MIB } from "../../src/base/limits.ts";
import { DaosError } from "../../src/base/errors.ts";
import { documentedBenchmark, documentedHarness } from "./documentation.ts";

test("bench without flags uses the documented defaults", async () => {
  const harness = documentedHarness();
  expect((await harness.json("bench kv")).value).toEqual(documentedBenchmark);
  expect(harness.benchmarks).toEqual([
    {
      system: "127.0.0.1:10001",
      timeoutMs: 30_000,
      signal: harness.abort.signal,
      workload: "kv",
      sizeBytes: 100,
      concurrency: 16,
      connections: 1,
      seconds: 10,
      readPercent: 50,
      keys: 10_000,
      sequential: false,
    },
  ]);
});

test("bench hands every flag over", async () => {
  const harness = documentedHarness();
  const flags = "--size 64KiB --concurrency 4 --connections 50 --seconds 0.5 --read-percent 0 --keys 7 --sequential";
  await harness.run(`bench array ${flags} --pool tank --container bulk --system h:1 --timeout 5`);
  expect(harness.benchmarks).toEqual([
    {
      system: "h:1",
      timeoutMs: 5000,
      signal: harness.abort.signal,
      workload: "array",
      sizeBytes: 64 * KIB,
      concurrency: 4,
      connections: 50,
      seconds: 0.5,
      readPercent: 0,
      keys: 7,
      sequential: true,
      pool: "tank",
      container: "bulk",
    },
  ]);
});

test.each([
  ["array", "4KiB", 10_000],
  ["array", "1MiB", 512],
  ["array", "64MiB", 64],
  ["kv", "8MiB", 64],
])("bench %s --size %s takes %d keys, so that filling them ends", async (workload, size, keys) => {
  const harness = documentedHarness();
  await harness.run(`bench ${workload} --size ${size}`);
  expect(harness.benchmarks[0]!.keys).toBe(keys);
});

test("bench refuses what one operation cannot carry", async () => {
  const harness = documentedHarness();
  expect((await harness.run(`bench array --size ${64 * MIB + 1}`)).stderr).toContain("at most 64 MiB");
  expect(harness.benchmarks).toEqual([]);
});

test("bench shows progress on a terminal and wipes it", async () => {
  const harness = documentedHarness();
  harness.stderr.isTerminal = true;
  harness.benchmark = async () => {
    harness.time.advance(3000);
    return documentedBenchmark;
  };
  const { stdout, stderr } = await harness.run("bench kv");
  expect(stderr).toContain("bench kv  [");
  expect(stderr).toEndWith("\r\u001b[2K");
  expect(stdout).toStartWith("Workload");
});

test("a benchmark that fails is status 1, and leaves no progress behind", async () => {
  const harness = documentedHarness();
  harness.benchmark = () =>
    Promise.reject(new DaosError("NO_SPACE", "Cannot make a pool: full. Name one with --pool."));
  expect(await harness.run("bench kv")).toMatchObject({
    status: 1,
    stdout: "",
    stderr: "daos: Cannot make a pool: full. Name one with --pool.\n",
  });
  expect(harness.time.pending).toBe(0);
});
