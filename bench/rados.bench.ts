/**
 * Arrays against Ceph's object store with one copy on the same disk: 4 KiB random and 4 MiB transfers.
 */
import type { Benchmark, Goal } from "./benchmark.ts";
import { EngineContender } from "./engine-contender.ts";
import { RadosContender, radosProblem } from "./rados-contender.ts";

const SMALL_WRITE = "write 4 KiB, 32 in flight";
const SMALL_READ = "read 4 KiB, 32 in flight";
const LARGE_WRITE = "write 4 MiB, 16 in flight";
const LARGE_READ = "read 4 MiB, 16 in flight";
const SMALL = ["array", "--size", "4KiB", "--concurrency", "32", "--keys", "65536", "--seconds", "4"];
const LARGE = ["array", "--size", "4MiB", "--concurrency", "16", "--keys", "256", "--seconds", "4"];

const goal = (workload: string, figure: string, atLeast: number): Goal => ({
  workload,
  figure,
  contender: "daos",
  reference: "rados (1 copy)",
  atLeast,
});

const benchmark: Benchmark = {
  title: "Array reads and writes against rados bench with one copy",
  unavailable: radosProblem,
  workloads: [SMALL_WRITE, SMALL_READ, LARGE_WRITE, LARGE_READ],
  contenders: () => [
    new EngineContender({
      [SMALL_WRITE]: [...SMALL, "--read-percent", "0"],
      [SMALL_READ]: [...SMALL, "--read-percent", "100"],
      [LARGE_WRITE]: [...LARGE, "--read-percent", "0"],
      [LARGE_READ]: [...LARGE, "--read-percent", "100"],
    }),
    new RadosContender(
      {
        [SMALL_WRITE]: { pool: "rep1", operation: "write", sizeBytes: 4096, concurrency: 32 },
        [SMALL_READ]: { pool: "rep1", operation: "rand", sizeBytes: 4096, concurrency: 32 },
        [LARGE_WRITE]: { pool: "rep1", operation: "write", sizeBytes: 4194304, concurrency: 16 },
        [LARGE_READ]: { pool: "rep1", operation: "rand", sizeBytes: 4194304, concurrency: 16 },
      },
      "rados (1 copy)",
    ),
  ],
  goals: [
    goal(SMALL_WRITE, "op/s", 5),
    goal(SMALL_READ, "op/s", 5),
    goal(LARGE_WRITE, "MB/s", 2),
    goal(LARGE_READ, "MB/s", 2),
  ],
};
export default benchmark;
