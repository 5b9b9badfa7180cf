/**
 * The raw disk as a contender: fio with io_uring and O_DIRECT on a file of its own, which was written once.
 *
 * In ordinary memory a transfer of 1 MiB is 256 pages, more pieces than a disk takes at once (254 for virtio), so the
 * kernel makes two requests of it. Memory in huge pages, registered with the ring, is one piece: fio then does the same
 * I/O as block-device `uring`, and is 1.3 to 1.7 times as quick as without.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Contender } from "./benchmark.ts";
import type { Figures } from "./table.ts";

const SECONDS = 4;
const MIB = 1024 * 1024;
const DEFAULT_FILE_BYTES = 512 * MIB;
/** The C library asks for huge pages then, wherever memory is allocated in large pieces. */
const HUGE_PAGES = { GLIBC_TUNABLES: "glibc.malloc.hugetlb=1" };

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

export interface FioOptions {
  /** Bytes of the file. */
  readonly sizeBytes?: number;
  /** Huge pages, registered with the ring, instead of ordinary memory. */
  readonly hugePages?: boolean;
}

export const FIO = "fio (io_uring, O_DIRECT)";
export const FIO_HUGE_PAGES = "fio, registered huge pages";

export class FioContender implements Contender {
  readonly name: string;
  readonly #workloads: Readonly<Record<string, FioWorkload>>;
  readonly #sizeBytes: number;
  readonly #hugePages: boolean;
  #folder = "";

  constructor(workloads: Readonly<Record<string, FioWorkload>>, options: FioOptions = {}) {
    this.#workloads = workloads;
    this.#sizeBytes = options.sizeBytes ?? DEFAULT_FILE_BYTES;
    this.#hugePages = options.hugePages ?? false;
    this.name = this.#hugePages ? FIO_HUGE_PAGES : FIO;
  }

  async start(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), "daos-fio-"));
    await this.#run(["--rw=write", "--bs=1m", "--ioengine=io_uring", "--direct=1", "--iodepth=8", "--end_fsync=1"]);
  }

  async measure(workload: string): Promise<Figures> {
    const { operation, sizeBytes, depth } = this.#workloads[workload]!;
    const output = await this.#run([
      `--rw=${operation}`,
      `--bs=${sizeBytes}`,
      `--iodepth=${depth}`,
      "--ioengine=io_uring",
      "--direct=1",
      "--time_based",
      `--runtime=${SECONDS}`,
      ...(this.#hugePages ? ["--iomem=malloc", "--fixedbufs"] : []),
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
    const path = join(this.#folder, "data");
    const common = ["--name=limit", `--filename=${path}`, `--size=${this.#sizeBytes}`, "--output-format=json"];
    const env = this.#hugePages ? { ...process.env, ...HUGE_PAGES } : process.env;
    const child = Bun.spawn(["fio", ...common, ...args], { stdin: "ignore", stdout: "pipe", stderr: "ignore", env });
    return (await new Response(child.stdout).json()) as FioOutput;
  }

  async stop(): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
