/** Ceph as a contender in recovery: see recovery-workloads.ts. Its own limits of recovery are those it comes with. */
import type { Contender } from "./benchmark.ts";
import { cephPid, radosFigure, runCeph } from "./ceph-commands.ts";
import { runPeer } from "./peers.ts";
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

const POOLS = ["recovery", "recovery-small"];
const MOST_WRITE_SECONDS = "600";

export class CephRecovery implements Contender {
  readonly name = "rados";
  async start(): Promise<void> {
    await runPeer("ceph", "start");
    const known = (await runCeph("ceph", ["osd", "pool", "ls"])).split("\n");
    for (const pool of POOLS) {
      if (known.includes(pool)) continue;
      await runCeph("ceph", ["osd", "pool", "create", pool, "32"]);
      await runCeph("ceph", ["osd", "pool", "set", pool, "size", "2"]);
      await runCeph("ceph", ["osd", "pool", "set", pool, "min_size", "1"]);
    }
    await this.#clean();
    const written = ["--run-name", "large", "--max-objects", String(OBJECTS), "--no-cleanup"];
    await bench(POOLS[0]!, MOST_WRITE_SECONDS, ["-b", String(OBJECT_BYTES), "-t", String(WRITERS), ...written]);
  }

  async measure(workload: string): Promise<Figures> {
    await this.#clean();
    return workload === BESIDE ? this.#beside() : this.#idle();
  }

  async #idle(): Promise<Figures> {
    const degraded = await this.#lose();
    const seconds = degraded.seconds + (await this.#clean());
    await this.#giveBack();
    return { "recovery MB/s": (degraded.objects * OBJECT_BYTES) / seconds / 1e6, "recovery s": seconds };
  }

  async #beside(): Promise<Figures> {
    const before = await small();
    await this.#clean();
    await this.#lose();
    const beside = await small();
    await this.#clean();
    await this.#giveBack();
    return { "op/s before": before, "op/s": beside, kept: beside / before };
  }

  /** Objects that lack a copy, and after how many seconds that is known. */
  async #lose(): Promise<{ readonly objects: number; readonly seconds: number }> {
    process.kill(cephPid(`osd.${LOST}`), "SIGKILL");
    await runCeph("ceph", ["osd", "down", String(LOST)]);
    await runCeph("ceph", ["osd", "out", String(LOST)]);
    let objects = 0;
    const seconds = await secondsUntil(async () => (objects = (await placements()).degraded) > 0);
    return { objects, seconds };
  }

  async #giveBack(): Promise<void> {
    await runCeph("ceph-osd", ["-i", String(LOST)]);
    await runCeph("ceph", ["osd", "in", String(LOST)]);
    await secondsUntil(async () => !(await placements()).isClean);
    await this.#clean();
  }

  #clean(): Promise<number> {
    return secondsUntil(async () => (await placements()).isClean);
  }

  async stop(): Promise<void> {
    await runCeph("rados", ["-p", POOLS[0]!, "cleanup", "--run-name", "large", "-t", "64"]);
    await runPeer("ceph", "stop");
  }
}

function bench(pool: string, seconds: string, options: readonly string[]): Promise<string> {
  return runCeph("rados", ["-p", pool, "bench", seconds, "write", ...options]);
}

/** Operations a second. */
async function small(): Promise<number> {
  const text = await bench(POOLS[1]!, String(SMALL_SECONDS), ["-b", "4096", "-t", String(SMALL_REQUESTS)]);
  return radosFigure(text, /Total writes made/) / radosFigure(text, /Total time run/);
}

/** How its placement groups are. */
async function placements(): Promise<{ readonly degraded: number; readonly isClean: boolean }> {
  const { pgmap } = JSON.parse(await runCeph("ceph", ["-s", "-f", "json"])) as {
    readonly pgmap: {
      readonly degraded_objects?: number;
      readonly pgs_by_state: readonly { readonly state_name: string }[];
    };
  };
  const isClean = pgmap.pgs_by_state.every(({ state_name: state }) => state.startsWith("active+clean"));
  return { degraded: pgmap.degraded_objects ?? 0, isClean };
}
