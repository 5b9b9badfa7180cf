/**
 * What the log's persist costs the whole stack: durable puts of 100 B on each scm plugin that needs no hardware, one in
 * flight, one on each of 50 connections, and 256 from one client. The engines take turns within a round.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nativeProblem } from "../plugins/block-device/uring/native-file.ts";
import { EngineProcess, type TierOptions } from "../test/crash/engine-process.ts";
import type { Benchmark, Contender, Goal } from "./benchmark.ts";
import { daosBench } from "./engine-contender.ts";
import type { Figures } from "./table.ts";

const LONE = "put 100 B, one in flight";
const FIFTY = "put 100 B, 50 connections x 1";
const DEEP = "put 100 B, 1 connection x 256";
const PUTS = ["kv", "--size", "100", "--keys", "100000", "--seconds", "3", "--read-percent", "0"];
const LOADS: Readonly<Record<string, readonly string[]>> = {
  [LONE]: [...PUTS, "--connections", "1", "--concurrency", "1"],
  [FIFTY]: [...PUTS, "--connections", "50", "--concurrency", "1"],
  [DEEP]: [...PUTS, "--connections", "1", "--concurrency", "256"],
};
const FILE = "scm/file";
const RAM = "scm/ram";

class ScmContender implements Contender {
  readonly name: string;
  readonly #scm: TierOptions;
  #folder = "";
  #engine: EngineProcess | undefined;

  constructor(name: string, scm: TierOptions) {
    this.name = name;
    this.#scm = scm;
  }

  async start(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), "daos-bench-"));
    const storage = join(this.#folder, "storage");
    const sizes = { scmSize: "1GiB", nvmeSize: "1GiB", targets: 1 };
    this.#engine = await EngineProcess.start({ storage, scm: this.#scm, nvme: { plugin: "file" }, ...sizes });
  }

  async measure(workload: string): Promise<Figures> {
    const output = await daosBench(this.#engine!.address, LOADS[workload]!);
    return {
      "op/s": output.opsPerSecond,
      "p50 us": output.latencyP50Us,
      "p99 us": output.latencyP99Us,
      "server CPU us/op": output.serverCpuUsPerOp,
    };
  }

  async stop(): Promise<void> {
    await this.#engine?.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const goal = (workload: string, atLeast: number): Goal => ({
  workload,
  figure: "op/s",
  contender: RAM,
  reference: FILE,
  atLeast,
});

const benchmark: Benchmark = {
  title: "Durable puts by scm plugin",
  unavailable: nativeProblem,
  workloads: Object.keys(LOADS),
  contenders: () => [new ScmContender(FILE, { plugin: "file" }), new ScmContender(RAM, { plugin: "ram" })],
  goals: [goal(LONE, 1), goal(FIFTY, 1), goal(DEEP, 1)],
};
export default benchmark;
