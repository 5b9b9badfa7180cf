/**
 * One client, one operation in flight: a durable 100 B put into scm `pmdk` against a TCP round trip between two processes
 * of the same kind, both with client and server on one core and on two. The region is a file in memory whose granularity is forced to a cache line, so that a persist costs
 * what it costs on persistent memory, under a microsecond; the settled index is on the disk as always.
 */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { loadPmdkAddon } from "../native/pmdk/addon.ts";
import { affinityProblem } from "./affinity.ts";
import type { Benchmark } from "./benchmark.ts";
import { type Cores, placedContender } from "./core-placement.ts";
import { EngineContender } from "./engine-contender.ts";
import { LimitContender } from "./limit-contender.ts";

const PLACEMENTS: Readonly<Record<string, Cores>> = {
  "put 100 B, one in flight, one core": { server: 0, client: 0 },
  "put 100 B, one in flight, two cores": { server: 0, client: 1 },
};
/** Where most Linux systems have a file system in memory. */
const MEMORY_FOLDER = "/dev/shm";
const REGION_FOLDER = join(MEMORY_FOLDER, `daos-scm-put-${process.pid}`);
const LOAD = ["--size", "100", "--connections", "1", "--concurrency", "1", "--seconds", "3", "--read-percent", "0"];

const limit = new LimitContender(false);

class PmdkContender extends EngineContender {
  constructor() {
    const config = { path: REGION_FOLDER, force_granularity: "cache_line" };
    const load = Object.fromEntries(Object.keys(PLACEMENTS).map((name) => [name, ["kv", ...LOAD]]));
    super(load, { scmSize: "1GiB", nvmeSize: "1GiB", scm: { plugin: "pmdk", config } });
  }

  override async start(): Promise<void> {
    mkdirSync(REGION_FOLDER, { recursive: true });
    await super.start();
  }

  override async stop(): Promise<void> {
    await super.stop();
    rmSync(REGION_FOLDER, { recursive: true, force: true });
  }
}

function unavailable(): string | undefined {
  const result = loadPmdkAddon();
  if ("reason" in result) return result.reason;
  return existsSync(MEMORY_FOLDER) ? affinityProblem() : `there is no file system in memory at ${MEMORY_FOLDER}`;
}

const benchmark: Benchmark = {
  title: "Latency of one durable put with scm/pmdk in memory against the TCP round trip",
  unavailable,
  workloads: Object.keys(PLACEMENTS),
  contenders: () => [placedContender(new PmdkContender(), PLACEMENTS), placedContender(limit, PLACEMENTS)],
  goals: Object.keys(PLACEMENTS).map((workload) => ({
    workload,
    figure: "p50 us",
    contender: "daos",
    reference: limit.name,
    atMost: 2,
  })),
};
export default benchmark;
