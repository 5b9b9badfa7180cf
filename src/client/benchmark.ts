/**
 * The engine of `daos bench`: a workload with a fixed number of operations in flight on each of a number of client
 * connections, measured for a fixed time after a warm-up. CPU time is that of this whole process and of the engine's.
 *
 * Without a pool and container it makes its own; in every case it removes what it wrote, also after a failure or an
 * abort.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import { MIB, MIN_POOL_BYTES } from "../base/limits.ts";
import type { InterfaceProvider } from "../contracts/interface.ts";
import type { RedundancyProvider } from "../contracts/redundancy.ts";
import type { World } from "../contracts/world.ts";
import type { EngineMetricsReply } from "../format/operations.ts";
import { Lane, type LaneRun } from "./benchmark-lane.ts";
import { arrayWorkload, keyValueWorkload, type Workload } from "./benchmark-workload.ts";
import { connect } from "./connect.ts";
import type { Container } from "./container.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { canceled, pause } from "./retry.ts";
import type { System } from "./system.ts";

/** Warm-up: this share of the measured time, at most so long, milliseconds. */
const WARM_UP_SHARE = 0.2;
const MAX_WARM_UP_MS = 2_000;
const DEFAULT_KEYS = 10_000;

export interface BenchmarkOptions {
  readonly system: string;
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
  readonly workload: "kv" | "array";
  /** Bytes of one operation. */
  readonly sizeBytes: number;
  /** Operations in flight on each connection. */
  readonly concurrency: number;
  /** Client connections. */
  readonly connections: number;
  readonly seconds: number;
  /** Share of reads, 0 to 100. */
  readonly readPercent: number;
  /** Different keys, or places in the array. */
  readonly keys?: number;
  /** Take the places in order instead of at random. */
  readonly sequential?: boolean;
  readonly pool?: string;
  readonly container?: string;
}

/** What the process that runs the benchmark gives it. */
export interface BenchmarkEnvironment {
  readonly world: World;
  /** CPU time of this process since its start, microseconds. */
  readonly usage: () => { readonly cpuUserUs: number; readonly cpuSystemUs: number };
  readonly interfaces: readonly InterfaceProvider[];
  readonly redundancy: readonly RedundancyProvider[];
}

/** Stable: docs/cli.md describes it. Megabytes are millions of bytes. */
export interface BenchmarkResult {
  readonly workload: "kv" | "array";
  readonly sizeBytes: number;
  readonly concurrency: number;
  readonly connections: number;
  readonly readPercent: number;
  readonly keys: number;
  readonly seconds: number;
  /** When the measured part began, milliseconds since 1970: the warm-up is before it, the removal of what was written behind. */
  readonly startedAtMs: number;
  readonly operations: number;
  readonly reads: number;
  readonly writes: number;
  readonly errors: number;
  readonly opsPerSecond: number;
  readonly megabytesPerSecond: number;
  readonly latencyMeanUs: number;
  readonly latencyP50Us: number;
  readonly latencyP99Us: number;
  readonly latencyP999Us: number;
  readonly latencyMaxUs: number;
  readonly clientCpuUsPerOp: number;
  readonly serverCpuUsPerOp: number;
}

/** Counts and clocks at one moment of a run. */
interface Sample {
  readonly ns: number;
  readonly wallMs: number;
  readonly clientCpuUs: number;
  readonly serverCpuUs: number;
  readonly reads: number;
  readonly writes: number;
}

/**
 * Runs one benchmark. Rejects with CANCELED on the signal, with the first failure when no operation succeeded, and with
 * what connecting, making or filling the container rejects with.
 */
export async function runBenchmark(
  environment: BenchmarkEnvironment,
  options: BenchmarkOptions,
): Promise<BenchmarkResult> {
  checkOptions(options);
  const systems: System[] = [];
  const open = async (): Promise<System> => {
    const { system, timeoutMs, signal } = options;
    const { world, interfaces, redundancy } = environment;
    const opened = await connect(world, { system, timeoutMs, signal, interfaces, redundancy });
    systems.push(opened);
    return opened;
  };
  try {
    const first = await open();
    return await withContainer(environment, options, first, async (pool, container) => {
      const workload = workloadOf(environment, options, container);
      const run = async (): Promise<BenchmarkResult> => {
        const containers = [container];
        while (containers.length < options.connections) {
          const system = await open();
          containers.push(await system.pool(pool).openContainer(container.description.id, { signal: options.signal }));
        }
        if (options.readPercent > 0) await workload.fill(options.signal);
        return await measure(environment, options, first, workload, containers);
      };
      // A container of our own goes as a whole.
      return options.container === undefined ? run() : withCleanup(run, () => workload.remove());
    });
  } finally {
    await Promise.all(systems.map((system) => system.close()));
  }
}

function checkOptions(options: BenchmarkOptions): void {
  const { connections, concurrency, keys = DEFAULT_KEYS, sizeBytes, seconds, readPercent } = options;
  const counts = Object.entries({ connections, concurrency, keys, sizeBytes });
  const wrong = counts.find(([, value]) => !Number.isSafeInteger(value) || value < 1)?.[0];
  const what =
    wrong ??
    (seconds > 0 ? undefined : "seconds") ??
    (readPercent >= 0 && readPercent <= 100 ? undefined : "readPercent");
  if (what !== undefined) throw new DaosError("INVALID_ARGUMENT", `Cannot run benchmark: ${what} is out of range.`);
  if (options.container !== undefined && options.pool === undefined) {
    throw new DaosError("INVALID_ARGUMENT", "Cannot run benchmark: a container is named without its pool. Name both.");
  }
}

function workloadOf(environment: BenchmarkEnvironment, options: BenchmarkOptions, container: Container): Workload {
  const { random } = environment.world;
  const sizes = { sizeBytes: options.sizeBytes, keys: options.keys ?? DEFAULT_KEYS };
  if (options.workload === "array") return arrayWorkload(container, sizes, random);
  return keyValueWorkload(container, temporaryLabel(environment.world), sizes, random);
}

/** Runs `work` on the container named, or on one of its own that is removed afterwards. */
async function withContainer<T>(
  environment: BenchmarkEnvironment,
  options: BenchmarkOptions,
  system: System,
  work: (pool: string, container: Container) => Promise<T>,
): Promise<T> {
  const { signal } = options;
  const label = temporaryLabel(environment.world);
  const pool = system.pool(options.pool ?? label);
  // Making and removing do not end with the signal: nobody could tell then what is left.
  const inContainer = async (): Promise<T> => {
    if (options.container === undefined) {
      await pool.createContainer({ label, type: options.workload === "kv" ? "kv" : "object" });
    }
    return work(pool.name, await pool.openContainer(options.container ?? label, { signal }));
  };
  if (options.pool === undefined) {
    const inPool = async (): Promise<T> => {
      await system.createPool({ label, sizeBytes: await freePoolBytes(system, signal) });
      return inContainer();
    };
    return withCleanup(inPool, () => removed(pool.destroy({ force: true })));
  }
  if (options.container !== undefined) return inContainer();
  return withCleanup(inContainer, () => removed(pool.destroyContainer(label, { force: true })));
}

/** Does the work, then cleans up whatever came of it. The work's failure outweighs that of cleaning up. */
async function withCleanup<T>(work: () => Promise<T>, cleanup: () => Promise<unknown>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await cleanup().catch(() => {});
    throw error;
  }
  await cleanup();
  return result;
}

/** Removing what was never made is no failure. */
async function removed(removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (!hasCode(error, "NOT_FOUND")) throw error;
  }
}

/** All that no pool has taken. */
async function freePoolBytes(system: System, signal: AbortSignal): Promise<number> {
  const { scmTotalBytes, nvmeTotalBytes } = await system.query({ signal });
  const pools = await system.listPools({ signal });
  const takenBytes = pools.reduce((sum, pool) => sum + pool.sizeBytes, 0);
  const freeBytes = Math.floor((scmTotalBytes + nvmeTotalBytes - takenBytes) / MIB) * MIB;
  if (freeBytes >= MIN_POOL_BYTES) return freeBytes;
  const advice = "Name a pool with --pool, or destroy one.";
  throw new DaosError(
    "NO_SPACE",
    `Cannot make a pool for the benchmark: the pools there are take all space. ${advice}`,
  );
}

function temporaryLabel(world: World): string {
  const bytes = Buffer.alloc(6);
  world.random.fill(bytes);
  return `bench-${bytes.toString("hex")}`;
}

async function measure(
  environment: BenchmarkEnvironment,
  options: BenchmarkOptions,
  system: System,
  workload: Workload,
  containers: readonly Container[],
): Promise<BenchmarkResult> {
  const { world } = environment;
  const { signal, concurrency } = options;
  const ended = Promise.withResolvers<void>();
  const run: LaneRun = {
    world,
    latencies: new LatencyHistogram(),
    keys: options.keys ?? DEFAULT_KEYS,
    readShare: options.readPercent / 100,
    sequential: options.sequential ?? false,
    reads: 0,
    writes: 0,
    errors: 0,
    firstError: undefined,
    stopped: false,
    nextPlace: 0,
    active: 0,
    ended: ended.resolve,
  };
  const lanes = containers.flatMap((container) => {
    const client = workload.client(container);
    return Array.from({ length: concurrency }, () => new Lane(run, client));
  });
  for (const lane of lanes) lane.start();
  try {
    await pause(world, Math.min(options.seconds * 1000 * WARM_UP_SHARE, MAX_WARM_UP_MS), signal);
    const before = await sample(environment, system, run, signal);
    run.latencies.clear();
    await pause(world, options.seconds * 1000, signal);
    const after = await sample(environment, system, run, signal);
    return resultOf(options, run, before, after);
  } finally {
    run.stopped = true;
    await ended.promise;
  }
}

async function sample(
  environment: BenchmarkEnvironment,
  system: System,
  run: LaneRun,
  signal: AbortSignal,
): Promise<Sample> {
  const metrics = await system.metrics({ signal });
  const { cpuUserUs, cpuSystemUs } = environment.usage();
  const ns = environment.world.clock.monotonicNs();
  return {
    ns,
    wallMs: environment.world.clock.wallMs(),
    clientCpuUs: cpuUserUs + cpuSystemUs,
    serverCpuUs: serverCpuUs(metrics),
    reads: run.reads,
    writes: run.writes,
  };
}

function serverCpuUs(metrics: EngineMetricsReply): number {
  return metrics.cpuUserUs + metrics.cpuSystemUs;
}

function resultOf(options: BenchmarkOptions, run: LaneRun, before: Sample, after: Sample): BenchmarkResult {
  if (options.signal.aborted) throw canceled();
  const reads = after.reads - before.reads;
  const writes = after.writes - before.writes;
  const operations = reads + writes;
  if (operations === 0 && run.firstError !== undefined) throw run.firstError;
  const seconds = (after.ns - before.ns) / 1e9;
  const perOperation = Math.max(operations, 1);
  const { latencies } = run;
  const rounded = (value: number): number => Number(value.toFixed(3));
  return {
    workload: options.workload,
    sizeBytes: options.sizeBytes,
    concurrency: options.concurrency,
    connections: options.connections,
    readPercent: options.readPercent,
    keys: run.keys,
    seconds: rounded(seconds),
    startedAtMs: rounded(before.wallMs),
    operations,
    reads,
    writes,
    errors: run.errors,
    opsPerSecond: rounded(operations / seconds),
    megabytesPerSecond: rounded((operations * options.sizeBytes) / seconds / 1e6),
    latencyMeanUs: rounded(latencies.meanUs),
    latencyP50Us: rounded(latencies.percentileUs(0.5)),
    latencyP99Us: rounded(latencies.percentileUs(0.99)),
    latencyP999Us: rounded(latencies.percentileUs(0.999)),
    latencyMaxUs: rounded(latencies.maxUs),
    clientCpuUsPerOp: rounded((after.clientCpuUs - before.clientCpuUs) / perOperation),
    serverCpuUsPerOp: rounded((after.serverCpuUs - before.serverCpuUs) / perOperation),
  };
}
