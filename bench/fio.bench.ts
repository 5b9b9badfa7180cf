/**
 * Array reads and writes through the whole stack against fio on the same disk. The file plugin reads through the page
 * cache, so its reads may beat the disk; its writes are durable, which fio's are not.
 */
import type { Benchmark, Goal } from "./benchmark.ts";
import { EngineContender } from "./engine-contender.ts";
import { FioContender, fioProblem } from "./fio-contender.ts";

const WRITE = "write 4 KiB, 32 in flight";
const READ = "read 4 KiB, 32 in flight";
const SMALL = ["array", "--size", "4KiB", "--concurrency", "32", "--keys", "65536", "--seconds", "4"];

const goal = (workload: string): Goal => ({
  workload,
  figure: "op/s",
  contender: "daos",
  reference: "fio (io_uring, O_DIRECT)",
  atLeast: 0.4,
});

const benchmark: Benchmark = {
  title: "4 KiB array reads and writes against fio on the same disk",
  unavailable: fioProblem,
  workloads: [WRITE, READ],
  contenders: () => [
    new EngineContender({
      [WRITE]: [...SMALL, "--read-percent", "0"],
      [READ]: [...SMALL, "--read-percent", "100"],
    }),
    new FioContender({
      [WRITE]: { operation: "randwrite", sizeBytes: 4096, depth: 32 },
      [READ]: { operation: "randread", sizeBytes: 4096, depth: 32 },
    }),
  ],
  goals: [goal(WRITE), goal(READ)],
};
export default benchmark;
