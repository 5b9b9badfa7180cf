/**
 * `daos bench ...`: how fast this system is from here. The measuring is src/client/benchmark.ts; this gives it its
 * options and shows what it found.
 */
import { MAX_SINGLE_VALUE_BYTES, MIB } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import type { BenchmarkResult } from "../client/benchmark.ts";
import { argumentError, countArgument, secondsArgument, sizeArgument, usageError } from "./arguments.ts";
import { type Command, command, commandGroup } from "./command.ts";
import { formatRecord } from "./table.ts";

const MAX_CONCURRENCY = 65_536;
const MAX_CONNECTIONS = 4096;
const MAX_SECONDS = 86_400;
const MAX_KEYS = 100_000_000;
/** Unless told otherwise a run uses so many keys, or as many as fit in so many bytes, but never fewer than a few. */
const DEFAULT_KEYS = 10_000;
const DEFAULT_FOOTPRINT_BYTES = 512 * MIB;
const MIN_DEFAULT_KEYS = 64;

type Workload = BenchmarkResult["workload"];

const SIZES: Readonly<Record<Workload, { readonly defaultBytes: number; readonly maxBytes: number }>> = {
  kv: { defaultBytes: 100, maxBytes: MAX_SINGLE_VALUE_BYTES },
  array: { defaultBytes: 4096, maxBytes: 64 * MIB },
};

function bench(workload: Workload, summary: string): Command {
  const { defaultBytes, maxBytes } = SIZES[workload];
  const line = `daos bench ${workload}`;
  return command({
    summary,
    examples: [line, `${line} --size 64KiB --concurrency 32 --seconds 30 --read-percent 70 --json`],
    arguments: {
      size: {
        type: "string",
        valueHint: "SIZE",
        description: `Bytes of one operation; default ${formatSize(defaultBytes)}`,
      },
      concurrency: {
        type: "string",
        valueHint: "N",
        description: "Operations in flight on each connection; default 16",
      },
      connections: { type: "string", valueHint: "N", description: "Client connections; default 1" },
      seconds: { type: "string", valueHint: "N", description: "How long to measure; default 10" },
      "read-percent": { type: "string", valueHint: "P", description: "Share of reads, 0 to 100; default 50" },
      keys: { type: "string", valueHint: "N", description: "Different keys, or places in the array" },
      sequential: { type: "boolean", description: "Take them in order instead of at random" },
      pool: {
        type: "string",
        valueHint: "POOL",
        description: "Measure in this pool; without, in one made for the run",
      },
      container: { type: "string", valueHint: "CONTAINER", description: "Measure in this container of the pool" },
    },
    async run(values, session) {
      if (values.container !== undefined && values.pool === undefined)
        throw usageError(line, "--container needs --pool");
      const sizeBytes = values.size === undefined ? defaultBytes : sizeArgument("--size", values.size);
      if (sizeBytes > maxBytes) throw argumentError("--size", values.size ?? "", `at most ${formatSize(maxBytes)}`);
      const seconds = secondsArgument("--seconds", values.seconds ?? "10", MAX_SECONDS);
      const options = {
        system: session.address,
        timeoutMs: session.timeoutMs,
        signal: session.signal,
        workload,
        sizeBytes,
        concurrency: countArgument("--concurrency", values.concurrency ?? "16", 1, MAX_CONCURRENCY),
        connections: countArgument("--connections", values.connections ?? "1", 1, MAX_CONNECTIONS),
        seconds,
        readPercent: countArgument("--read-percent", values["read-percent"] ?? "50", 0, 100),
        keys: values.keys === undefined ? defaultKeys(sizeBytes) : countArgument("--keys", values.keys, 1, MAX_KEYS),
        sequential: values.sequential === true,
        ...(values.pool !== undefined && { pool: values.pool }),
        ...(values.container !== undefined && { container: values.container }),
      };
      // A fifth is the warm-up, up to two seconds.
      const progress = {
        label: `bench ${workload}`,
        unit: "seconds",
        total: seconds + Math.min(2, seconds / 5),
      } as const;
      const result = await session.withProgress(progress, () => session.environment.runBenchmark(options));
      await session.output.result(benchmarkJson(result), benchmarkText(result));
    },
  });
}

export const BENCH_COMMANDS = commandGroup("Benchmarks of a running system", {
  kv: bench("kv", "Measure puts and gets of a key-value container"),
  array: bench("array", "Measure reads and writes of an array"),
});

function defaultKeys(sizeBytes: number): number {
  return Math.min(DEFAULT_KEYS, Math.max(MIN_DEFAULT_KEYS, Math.floor(DEFAULT_FOOTPRINT_BYTES / sizeBytes)));
}

/** A benchmark's object in JSON; docs/cli.md promises these names. */
function benchmarkJson(result: BenchmarkResult): object {
  const { workload, sizeBytes, concurrency, connections, readPercent, keys } = result;
  const { seconds, startedAtMs, operations, reads, writes, errors, opsPerSecond, megabytesPerSecond } = result;
  const { latencyMeanUs, latencyP50Us, latencyP99Us, latencyP999Us, latencyMaxUs } = result;
  const { clientCpuUsPerOp, serverCpuUsPerOp } = result;
  return {
    workload,
    sizeBytes,
    concurrency,
    connections,
    readPercent,
    keys,
    seconds,
    startedAtMs,
    operations,
    reads,
    writes,
    errors,
    opsPerSecond,
    megabytesPerSecond,
    latencyMeanUs,
    latencyP50Us,
    latencyP99Us,
    latencyP999Us,
    latencyMaxUs,
    clientCpuUsPerOp,
    serverCpuUsPerOp,
  };
}

function benchmarkText(result: BenchmarkResult): string {
  const { workload, sizeBytes, connections, concurrency, readPercent, keys } = result;
  const load = `${connections} x ${concurrency} in flight, ${readPercent} % reads, ${keys} keys`;
  return formatRecord([
    ["Workload", `${workload}, ${formatSize(sizeBytes)}, ${load}`],
    ["Operations", `${result.operations} in ${result.seconds} s (${result.reads} reads, ${result.writes} writes)`],
    ["Errors", String(result.errors)],
    ["Rate", `${Math.round(result.opsPerSecond)} op/s, ${Number(result.megabytesPerSecond.toPrecision(3))} MB/s`],
    ["Latency mean", formatMicroseconds(result.latencyMeanUs)],
    ["        p50", formatMicroseconds(result.latencyP50Us)],
    ["        p99", formatMicroseconds(result.latencyP99Us)],
    ["        p99.9", formatMicroseconds(result.latencyP999Us)],
    ["        max", formatMicroseconds(result.latencyMaxUs)],
    ["CPU client", `${Number(result.clientCpuUsPerOp.toPrecision(3))} us/op`],
    ["    server", `${Number(result.serverCpuUsPerOp.toPrecision(3))} us/op`],
  ]);
}

/** Three significant digits, in milliseconds from a thousand microseconds on. */
function formatMicroseconds(durationUs: number): string {
  const [value, unit] = durationUs < 1000 ? [durationUs, "us"] : [durationUs / 1000, "ms"];
  return `${Number(value.toPrecision(3))} ${unit}`;
}
