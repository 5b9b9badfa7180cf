/**
 * The raw disk as a contender: fio with io_uring and O_DIRECT on a file of its own.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Contender } from "./benchmark.ts";
import type { Figures } from "./table.ts";

const SECONDS = 4;

export interface FioWorkload {
  readonly operation: "randread" | "randwrite" | "read" | "write";
  readonly sizeBytes: number;
  readonly depth: number;
}

interface FioSide {
  readonly iops: number;
  readonly total_ios: number;
  readonly clat_ns: { readonly percentile?: Readonly<Record<string, number>> };
}
interface FioOutput {
  readonly jobs: readonly [
    {
      readonly read: FioSide;
      readonly write: FioSide;
      readonly usr_cpu: number;
      readonly sys_cpu: number;
      readonly job_runtime: number;
    },
  ];
}

/** Why fio cannot run here; undefined when it can. */
export function fioProblem(): string | undefined {
  return Bun.which("fio") === null ? "fio is not installed" : undefined;
}

export class FioContender implements Contender {
  readonly name = "fio (io_uring, O_DIRECT)";
  readonly #workloads: Readonly<Record<string, FioWorkload>>;
  #folder = "";

  constructor(workloads: Readonly<Record<string, FioWorkload>>) {
    this.#workloads = workloads;
  }

  async start(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), "daos-fio-"));
    await this.#run(["--rw=write", "--bs=1m", "--size=512m", "--end_fsync=1"]);
  }

  async measure(workload: string): Promise<Figures> {
    const { operation, sizeBytes, depth } = this.#workloads[workload]!;
    const output = await this.#run([
      `--rw=${operation}`,
      `--bs=${sizeBytes}`,
      "--size=512m",
      `--iodepth=${depth}`,
      "--ioengine=io_uring",
      "--direct=1",
      "--time_based",
      `--runtime=${SECONDS}`,
    ]);
    const job = output.jobs[0];
    const side = operation.endsWith("read") ? job.read : job.write;
    const cpuUs = (job.usr_cpu + job.sys_cpu) * job.job_runtime * 10;
    return {
      "op/s": side.iops,
      "MB/s": (side.iops * sizeBytes) / 1e6,
      "p50 us": (side.clat_ns.percentile?.["50.000000"] ?? Number.NaN) / 1000,
      "p99 us": (side.clat_ns.percentile?.["99.000000"] ?? Number.NaN) / 1000,
      "server CPU us/op": cpuUs / side.total_ios,
    };
  }

  async #run(args: readonly string[]): Promise<FioOutput> {
    const common = ["--name=limit", `--filename=${join(this.#folder, "data")}`, "--output-format=json"];
    const child = Bun.spawn(["fio", ...common, ...args], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
    return (await new Response(child.stdout).json()) as FioOutput;
  }

  async stop(): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
