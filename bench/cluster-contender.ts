/**
 * daos as a contender with several engines: `daos server start --engines` in a temporary folder, a container for each class of
 * objects, measured by `daos bench` in another process. CPU time is that of all engines in
 * the measured part, whose warm-up, and removal of what was written, count no more than those of the others.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GIB } from "../src/base/limits.ts";
import { connect } from "../src/library.ts";
import { ClusterProcess } from "../test/cluster/cluster-process.ts";
import type { Contender } from "./benchmark.ts";
import { CpuHistory } from "./cpu-history.ts";
import { cpuTicks, daosBench, untilIdle } from "./engine-contender.ts";
import type { Figures } from "./table.ts";

const POOL = "bench";
const TICK_US = 10_000;

export interface ClusterWorkload {
  /** Object class of the container that is measured. */
  readonly objectClass: string;
  /** Arguments of `daos bench`, the subcommand first. */
  readonly args: readonly string[];
}

export interface ClusterContenderOptions {
  readonly engines: number;
  readonly properties?: Readonly<Record<string, string | number | boolean>>;
}

export class ClusterContender implements Contender {
  readonly name = "daos";
  readonly #workloads: Readonly<Record<string, ClusterWorkload>>;
  readonly #options: ClusterContenderOptions;
  #folder = "";
  #cluster: ClusterProcess | undefined;

  constructor(workloads: Readonly<Record<string, ClusterWorkload>>, options: ClusterContenderOptions) {
    this.#workloads = workloads;
    this.#options = options;
  }

  async start(): Promise<void> {
    const { engines, properties = {} } = this.#options;
    this.#folder = mkdtempSync(join(tmpdir(), "daos-bench-"));
    const storage = join(this.#folder, "storage");
    const cluster = await ClusterProcess.start({ storage, engines, scmSize: "2GiB", nvmeSize: "8GiB" });
    this.#cluster = cluster;
    const system = await connect({ system: cluster.address });
    try {
      await system.createPool({ label: POOL, sizeBytes: engines * 8 * GIB });
      const classes = new Set(Object.values(this.#workloads).map(({ objectClass }) => objectClass));
      for (const objectClass of classes) {
        const own = { oclass: objectClass };
        await system
          .pool(POOL)
          .createContainer({ label: objectClass, type: "object", properties: { ...properties, ...own } });
      }
    } finally {
      await system.close();
    }
  }

  async measure(workload: string): Promise<Figures> {
    const { objectClass, args } = this.#workloads[workload]!;
    const { address, pids } = this.#cluster!;
    for (const pid of pids) await untilIdle(pid);
    const cpu = new CpuHistory(() => this.#cpuUs());
    const output = await daosBench(address, [...args, "--pool", POOL, "--container", objectClass]).finally(() =>
      cpu.stop(),
    );
    const { startedAtMs, seconds, operations } = output;
    for (const pid of pids) await untilIdle(pid);
    return {
      "op/s": output.opsPerSecond,
      "MB/s": output.megabytesPerSecond,
      "p50 us": output.latencyP50Us,
      "p99 us": output.latencyP99Us,
      "server CPU us/op": cpu.spentUs(startedAtMs, startedAtMs + seconds * 1000) / operations,
      // With settling what was written, and removing it.
      "until idle us/op": (this.#cpuUs() - cpu.untilUs(startedAtMs)) / operations,
      "client CPU us/op": output.clientCpuUsPerOp,
    };
  }

  #cpuUs(): number {
    return this.#cluster!.pids.reduce((ticks, pid) => ticks + cpuTicks(pid), 0) * TICK_US;
  }

  async stop(): Promise<void> {
    await this.#cluster?.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
