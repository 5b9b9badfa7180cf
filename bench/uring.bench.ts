/**
 * block-device `uring` from TypeScript against fio with io_uring and O_DIRECT, on files of the same disk at the same depth.
 */
import type { Benchmark, Goal } from "./benchmark.ts";
import { FIO, FIO_HUGE_PAGES, FioContender, fioProblem, type FioWorkload } from "./fio-contender.ts";
import { UringContender, uringProblem } from "./uring-contender.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

const WORKLOADS: Readonly<Record<string, FioWorkload>> = {
  "read 4 KiB, 32 in flight": { operation: "randread", sizeBytes: 4 * KIB, depth: 32 },
  "write 4 KiB, 32 in flight": { operation: "randwrite", sizeBytes: 4 * KIB, depth: 32 },
  "read 1 MiB, 8 in flight": { operation: "randread", sizeBytes: MIB, depth: 8 },
  "write 1 MiB, 8 in flight": { operation: "randwrite", sizeBytes: MIB, depth: 8 },
  "read 4 KiB, 1 in flight": { operation: "randread", sizeBytes: 4 * KIB, depth: 1 },
  "write 4 KiB, 1 in flight": { operation: "randwrite", sizeBytes: 4 * KIB, depth: 1 },
};

const goal = (workload: string, atLeast: number, reference: string): Goal => ({
  workload,
  figure: "op/s",
  contender: "block-device uring",
  reference,
  atLeast,
});

const benchmark: Benchmark = {
  title: "block-device uring against fio on the same disk",
  unavailable: () => fioProblem() ?? uringProblem(),
  workloads: Object.keys(WORKLOADS),
  contenders: () => [
    new UringContender(WORKLOADS),
    new FioContender(WORKLOADS),
    new FioContender(WORKLOADS, { hugePages: true }),
  ],
  goals: [
    goal("read 4 KiB, 32 in flight", 0.85, FIO),
    goal("write 4 KiB, 32 in flight", 0.85, FIO),
    goal("read 1 MiB, 8 in flight", 0.95, FIO_HUGE_PAGES),
    goal("write 1 MiB, 8 in flight", 0.95, FIO_HUGE_PAGES),
  ],
};
export default benchmark;
