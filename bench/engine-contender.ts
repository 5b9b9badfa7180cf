/**
 * daos as a contender: an engine process of its own in a temporary folder, measured by `daos bench` in another process.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EngineProcess, type TierOptions } from "../test/crash/engine-process.ts";
import type { Contender } from "./benchmark.ts";
import type { Figures } from "./table.ts";

/** The engine counts as idle when it used no more CPU than this in a step; longest wait MAX_IDLE_STEPS. */
const IDLE_STEP_MS = 500;
const MAX_IDLE_TICKS = 4;
const MAX_IDLE_STEPS = 60;

const MAIN = join(import.meta.dir, "..", "src", "main.ts");

/** What `daos bench --json` tells; docs/cli.md describes it. */
export interface BenchOutput {
  readonly seconds: number;
  readonly startedAtMs: number;
  readonly operations: number;
  readonly opsPerSecond: number;
  readonly megabytesPerSecond: number;
  readonly latencyP50Us: number;
  readonly latencyP99Us: number;
  readonly clientCpuUsPerOp: number;
  readonly serverCpuUsPerOp: number;
}

/** Arguments of `daos bench` for each workload, the subcommand first. */
export type BenchArguments = Readonly<Record<string, readonly string[]>>;

export interface EngineContenderOptions {
  readonly scmSize?: string;
  readonly nvmeSize?: string;
  /** Plugins of the tiers; the best of this machine unless given. */
  readonly scm?: TierOptions;
  readonly nvme?: TierOptions;
  /** Where its folder is made; the system's folder for temporary files unless given. */
  readonly parentFolder?: string;
}

export class EngineContender implements Contender {
  readonly name = "daos";
  readonly #workloads: BenchArguments;
  readonly #options: EngineContenderOptions;
  #folder = "";
  #engine: EngineProcess | undefined;

  constructor(workloads: BenchArguments, options: EngineContenderOptions = {}) {
    this.#workloads = workloads;
    this.#options = options;
  }

  async start(): Promise<void> {
    const { parentFolder = tmpdir(), ...tiers } = this.#options;
    this.#folder = mkdtempSync(join(parentFolder, "daos-bench-"));
    const storage = join(this.#folder, "storage");
    this.#engine = await EngineProcess.start({ storage, scmSize: "4GiB", nvmeSize: "8GiB", ...tiers });
  }

  get serverPid(): number {
    return this.#engine!.pid;
  }

  async measure(workload: string): Promise<Figures> {
    await untilIdle(this.#engine!.pid);
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

/**
 * Waits until the engine works off no more of what the workload before left behind (settling, reclaiming a container that
 * is gone): its CPU time belongs to that workload's figures, if to any.
 */
export async function untilIdle(pid: number): Promise<void> {
  for (let step = 0; step < MAX_IDLE_STEPS; step += 1) {
    const before = cpuTicks(pid);
    await Bun.sleep(IDLE_STEP_MS);
    if (cpuTicks(pid) - before <= MAX_IDLE_TICKS) return;
  }
}

/** CPU time of a process so far, in ticks of 10 ms (proc(5): stat). */
export function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
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
