/** Benchmarks against an engine: figures that hold together, and nothing left behind. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasCode } from "../../src/base/errors.ts";
import { MIB } from "../../src/base/limits.ts";
import { type BenchmarkOptions, type BenchmarkResult, runBenchmark } from "../../src/client/benchmark.ts";
import { connect, type System } from "../../src/library.ts";
import { processUsage, realWorld } from "../../src/world/index.ts";
import { EngineProcess } from "../crash/engine-process.ts";
import { collect, kvInterface } from "./fake-engine.ts";

const START_TIMEOUT_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), "daos-benchmark-"));
let engine: EngineProcess | undefined;
let system: System | undefined;

beforeAll(async () => {
  engine = await EngineProcess.start({
    storage: join(folder, "storage"),
    scmSize: "64MiB",
    nvmeSize: "256MiB",
    targets: 1,
  });
  system = await connect({ system: engine!.address });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await system?.close();
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function run(options: Partial<BenchmarkOptions>): Promise<BenchmarkResult> {
  const environment = { world: realWorld(), usage: processUsage, interfaces: [kvInterface], redundancy: [] };
  const defaults = {
    workload: "kv",
    sizeBytes: 100,
    concurrency: 4,
    connections: 1,
    seconds: 0.2,
    readPercent: 50,
    keys: 100,
  } as const;
  return runBenchmark(environment, {
    ...defaults,
    system: engine!.address,
    signal: new AbortController().signal,
    ...options,
  });
}

describe("runBenchmark", () => {
  test.each([
    { workload: "kv", readPercent: 50 },
    { workload: "kv", readPercent: 0, sequential: true },
    { workload: "array", readPercent: 50, sizeBytes: 4096 },
    { workload: "array", readPercent: 100, sizeBytes: 3000, connections: 3 },
  ] as const)(
    "measures %o and removes its pool",
    async (options) => {
      const result = await run(options);
      expect(result).toMatchObject({ ...("sequential" in options ? {} : options), errors: 0 });
      expect(result.operations).toBeGreaterThan(10);
      expect(result.reads + result.writes).toBe(result.operations);
      expect(result.reads > 0).toBe(options.readPercent > 0);
      expect(result.writes > 0).toBe(options.readPercent < 100);
      expect((result.opsPerSecond * result.seconds) / result.operations).toBeCloseTo(1, 1);
      expect(result.megabytesPerSecond).toBeCloseTo((result.opsPerSecond * result.sizeBytes) / 1e6, 1);
      const rising = [0, result.latencyP50Us, result.latencyP99Us, result.latencyP999Us, result.latencyMaxUs];
      expect(rising).toEqual(rising.toSorted((left, right) => left - right));
      expect(Math.min(result.latencyP50Us, result.clientCpuUsPerOp, result.serverCpuUsPerOp)).toBeGreaterThan(0);
      expect(await system!.listPools()).toEqual([]);
    },
    START_TIMEOUT_MS,
  );

  test(
    "leaves a container that was named as it found it",
    async () => {
      await system!.createPool({ label: "mine", sizeBytes: 64 * MIB });
      const pool = system!.pool("mine");
      try {
        for (const [label, type] of [
          ["pairs", "kv"],
          ["things", "object"],
        ] as const) {
          await pool.createContainer({ label, type });
          await run({ pool: "mine", container: label, workload: type === "kv" ? "kv" : "array" });
        }
        const pairs = await pool.openContainer("pairs");
        expect(await collect(pairs.kv().list())).toEqual([]);
        const things = await pool.openContainer("things");
        expect(await collect(things.listObjects())).toEqual([]);
        await run({ pool: "mine" });
        expect((await pool.listContainers()).map(({ label }) => label)).toEqual(["pairs", "things"]);
      } finally {
        await pool.destroy({ force: true });
      }
    },
    START_TIMEOUT_MS,
  );

  test(
    "stops on its signal, with nothing left behind",
    async () => {
      const stop = new AbortController();
      const running = run({ seconds: 3600, signal: stop.signal });
      while ((await system!.listPools()).length === 0) await Promise.resolve();
      stop.abort();
      const error: unknown = await running.then(
        () => undefined,
        (caught: unknown) => caught,
      );
      expect(hasCode(error, "CANCELED")).toBe(true);
      expect(await system!.listPools()).toEqual([]);
    },
    START_TIMEOUT_MS,
  );

  test("tells why it cannot run", async () => {
    for (const wrong of [{ connections: 0 }, { readPercent: 101 }, { seconds: 0 }, { container: "c" }, { keys: 1.5 }]) {
      const error: unknown = await run(wrong).then(
        () => undefined,
        (caught: unknown) => caught,
      );
      expect(hasCode(error, "INVALID_ARGUMENT")).toBe(true);
    }
    const error: unknown = await run({ pool: "nowhere" }).then(
      () => undefined,
      (caught: unknown) => caught,
    );
    expect(hasCode(error, "NOT_FOUND")).toBe(true);
  });
});
