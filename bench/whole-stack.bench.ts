/**
 * Array reads and writes through the whole stack (client, network, engine with block-device `uring`, one copy, checksums)
 * against fio on the same disk: same block size, same depth, O_DIRECT, a file that was written before, random places of
 * as many bytes. The engine keeps up to 64 MiB of blocks that small reads repeat; a 16th of what is read here.
 */
import type { Benchmark, Goal } from "./benchmark.ts";
import { EngineContender } from "./engine-contender.ts";
import { FIO, FIO_HUGE_PAGES, FioContender, fioProblem, type FioWorkload } from "./fio-contender.ts";
import { uringProblem } from "./uring-contender.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const WORKING_SET_BYTES = 1024 * MIB;

const READ_SMALL = "read 4 KiB, 32 in flight";
const WRITE_SMALL = "write 4 KiB, 32 in flight";
const READ_LARGE = "read 1 MiB, 8 in flight";
const WRITE_LARGE = "write 1 MiB, 8 in flight";

const WORKLOADS: Readonly<Record<string, FioWorkload>> = {
  [READ_LARGE]: { operation: "randread", sizeBytes: MIB, depth: 8 },
  [WRITE_LARGE]: { operation: "randwrite", sizeBytes: MIB, depth: 8 },
  [READ_SMALL]: { operation: "randread", sizeBytes: 4 * KIB, depth: 32 },
  [WRITE_SMALL]: { operation: "randwrite", sizeBytes: 4 * KIB, depth: 32 },
};

function engineArguments({ operation, sizeBytes, depth }: FioWorkload): readonly string[] {
  const places = WORKING_SET_BYTES / sizeBytes;
  const load = ["--size", String(sizeBytes), "--concurrency", String(depth), "--keys", String(places)];
  return ["array", ...load, "--seconds", "4", "--read-percent", operation === "randread" ? "100" : "0"];
}

const goal = (workload: string, reference: string, atLeast: number): Goal => ({
  workload,
  figure: "op/s",
  contender: "daos",
  reference,
  atLeast,
});

const benchmark: Benchmark = {
  title: "Array reads and writes through the whole stack on block-device uring against fio on the same disk",
  unavailable: () => fioProblem() ?? uringProblem(),
  workloads: Object.keys(WORKLOADS),
  contenders: () => [
    new EngineContender(
      Object.fromEntries(Object.entries(WORKLOADS).map(([name, workload]) => [name, engineArguments(workload)])),
      { nvmeSize: "4GiB", nvme: { plugin: "uring", config: { preallocate: true } } },
    ),
    new FioContender(WORKLOADS, { sizeBytes: WORKING_SET_BYTES }),
    new FioContender(WORKLOADS, { sizeBytes: WORKING_SET_BYTES, hugePages: true }),
  ],
  goals: [
    goal(READ_LARGE, FIO, 0.7),
    goal(READ_LARGE, FIO_HUGE_PAGES, 0.7),
    goal(WRITE_LARGE, FIO, 0.7),
    goal(READ_SMALL, FIO, 0.4),
    goal(WRITE_SMALL, FIO, 0.4),
  ],
};
export default benchmark;
