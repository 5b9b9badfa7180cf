/**
 * daos as a contender: an engine process of its own in a temporary folder, measured by `daos bench` in another process.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EngineProcess } from "../test/crash/engine-process.ts";
import type { Contender } from "./benchmark.ts";
import type { Figures } from "./table.ts";

const MAIN = join(import.meta.dir, "..", "src", "main.ts");

/** What `daos bench --json` tells; docs/cli.md describes it. */
interface BenchOutput {
  readonly opsPerSecond: number;
  readonly megabytesPerSecond: number;
  readonly latencyP50Us: number;
  readonly latencyP99Us: number;
  readonly clientCpuUsPerOp: number;
  readonly serverCpuUsPerOp: number;
}

/** Arguments of `daos bench` for each workload, the subcommand first. */
export type BenchArguments = Readonly<Record<string, readonly string[]>>;

export class EngineContender implements Contender {
  readonly name = "daos";
  readonly #workloads: BenchArguments;
  readonly #scmSize: string;
  readonly #nvmeSize: string;
  #folder = "";
  #engine: EngineProcess | undefined;

  constructor(workloads: BenchArguments, sizes: { scmSize?: string; nvmeSize?: string } = {}) {
    this.#workloads = workloads;
    this.#scmSize = sizes.scmSize ?? "4GiB";
    this.#nvmeSize = sizes.nvmeSize ?? "8GiB";
  }

  async start(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), "daos-bench-"));
    const { scmSize, nvmeSize } = { scmSize: this.#scmSize, nvmeSize: this.#nvmeSize };
    this.#engine = await EngineProcess.start({ storage: join(this.#folder, "storage"), scmSize, nvmeSize });
  }

  async measure(workload: string): Promise<Figures> {
    const output = await daosBench(this.#engine!.address, this.#workloads[workload]!);
    return {
      "op/s": output.opsPerSecond,
      "MB/s": output.megabytesPerSecond,
      "p50 us": output.latencyP50Us,
      "p99 us": output.latencyP99Us,
      "server CPU us/op": output.serverCpuUsPerOp,
      "client CPU us/op": output.clientCpuUsPerOp,
    };
  }

  async stop(): Promise<void> {
    await this.#engine?.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export async function daosBench(address: string, args: readonly string[]): Promise<BenchOutput> {
  const command = [process.execPath, MAIN, "bench", ...args, "--system", address, "--json"];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status !== 0) throw new Error(`${command.join(" ")}: status ${status}\n${stdout}${stderr}`);
  return JSON.parse(stdout) as BenchOutput;
}
