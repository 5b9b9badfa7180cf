/** daos as a contender in recovery: see recovery-workloads.ts. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GIB } from "../src/base/limits.ts";
import type { PoolDescription } from "../src/format/operations.ts";
import { connect, type System } from "../src/library.ts";
import { ClusterProcess } from "../test/cluster/cluster-process.ts";
import type { Contender } from "./benchmark.ts";
import { daosBench, untilIdle } from "./engine-contender.ts";
import {
  BESIDE,
  LOST,
  OBJECT_BYTES,
  OBJECTS,
  secondsUntil,
  SMALL_REQUESTS,
  SMALL_SECONDS,
  WRITERS,
} from "./recovery-workloads.ts";
import type { Figures } from "./table.ts";

const ENGINES = 3;
const SMALL = ["array", "--size", "4KiB", "--keys", "16384", "--read-percent", "0", "--pool", "tank"];

export class DaosRecovery implements Contender {
  readonly name = "daos";
  #folder = "";
  #cluster: ClusterProcess | undefined;
  #system: System | undefined;

  async start(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), "daos-recovery-"));
    const storage = join(this.#folder, "storage");
    this.#cluster = await ClusterProcess.start({ storage, engines: ENGINES, scmSize: "2GiB", nvmeSize: "8GiB" });
    this.#system = await connect({ system: this.#cluster.address });
    await this.#system.createPool({ label: "tank", sizeBytes: ENGINES * 8 * GIB });
    const pool = this.#system.pool("tank");
    for (const label of ["large", "small"]) {
      await pool.createContainer({ label, type: "object", properties: { oclass: "RP_2G1" } });
    }
    const container = await pool.openContainer("large");
    const bytes = Buffer.alloc(OBJECT_BYTES, "recovery");
    let left = OBJECTS;
    const write = async (): Promise<void> => {
      for (; left > 0;) {
        left -= 1;
        await container.array(container.newObjectId("ARRAY_BYTE")).write(0, bytes);
      }
    };
    await Promise.all(Array.from({ length: WRITERS }, write));
    await container.close();
  }

  async measure(workload: string): Promise<Figures> {
    await this.#settled();
    return workload === BESIDE ? this.#beside() : this.#idle();
  }

  async #idle(): Promise<Figures> {
    await this.#lose();
    const seconds = await secondsUntil(async () => (await this.#rebuild()).state === "done");
    const { bytes } = await this.#rebuild();
    await this.#giveBack();
    return { "recovery MB/s": bytes / seconds / 1e6, "recovery s": seconds };
  }

  async #beside(): Promise<Figures> {
    const before = await this.#small();
    await this.#settled();
    await this.#lose();
    const from = performance.now();
    const beside = await this.#small();
    const { bytes, state } = await this.#rebuild();
    const recovered = bytes / (performance.now() - from) / 1e3;
    if (state === "busy") await secondsUntil(async () => (await this.#rebuild()).state === "done");
    await this.#giveBack();
    return {
      "op/s before": before.opsPerSecond,
      "op/s": beside.opsPerSecond,
      kept: beside.opsPerSecond / before.opsPerSecond,
      "p99 before us": before.latencyP99Us,
      "p99 us": beside.latencyP99Us,
      "p99 ratio": beside.latencyP99Us / before.latencyP99Us,
      "recovery MB/s": recovered,
    };
  }

  #small(): ReturnType<typeof daosBench> {
    const time = ["--concurrency", String(SMALL_REQUESTS), "--seconds", String(SMALL_SECONDS)];
    return daosBench(this.#cluster!.address, [...SMALL, ...time, "--container", "small"]);
  }

  async #settled(): Promise<void> {
    for (const pid of this.#cluster!.pids) await untilIdle(pid);
  }

  async #lose(): Promise<void> {
    this.#cluster!.hold();
    await this.#cluster!.kill(LOST);
    await this.#system!.pool("tank").exclude({ ranks: [LOST] });
  }

  async #giveBack(): Promise<void> {
    const restarts = this.#cluster!.restarts(LOST);
    this.#cluster!.release();
    await this.#cluster!.untilRestarted(LOST, restarts);
    const isWhole = async (): Promise<boolean> => {
      const { map } = await this.#system!.pool("tank").queryTargets();
      return map.targets.every(({ state }) => state === "UPIN") && (await this.#rebuild()).state === "idle";
    };
    // It comes back by itself.
    await secondsUntil(isWhole, 200);
  }

  async #rebuild(): Promise<NonNullable<PoolDescription["rebuild"]>> {
    return (await this.#system!.pool("tank").query()).rebuild!;
  }

  async stop(): Promise<void> {
    await this.#system?.close();
    await this.#cluster?.killAll();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
