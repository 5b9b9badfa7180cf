/**
 * Ceph's object store as a contender: three OSDs started by the peer script, measured by `rados bench`. Reads are random over what a write run has left.
 */
import type { Contender } from "./benchmark.ts";
import { cephCpuUs, radosFigure, runCeph } from "./ceph-commands.ts";
import { runPeer } from "./peers.ts";
import type { Figures } from "./table.ts";

const SECONDS = 4;

export interface RadosWorkload {
  /** Of the peer script: `rep1`, `rep3`, `ec21`. */
  readonly pool: string;
  readonly operation: "write" | "rand";
  readonly sizeBytes: number;
  readonly concurrency: number;
}

export class RadosContender implements Contender {
  readonly name: string;
  readonly #workloads: Readonly<Record<string, RadosWorkload>>;

  constructor(workloads: Readonly<Record<string, RadosWorkload>>, name: string) {
    this.name = name;
    this.#workloads = workloads;
  }

  async start(): Promise<void> {
    await runPeer("ceph", "start");
    // Reads need objects: one write run for each pool and size.
    const written = new Set<string>();
    for (const { pool, operation, sizeBytes } of Object.values(this.#workloads)) {
      if (operation !== "rand" || written.has(`${pool}/${sizeBytes}`)) continue;
      written.add(`${pool}/${sizeBytes}`);
      await radosBench(pool, "write", sizeBytes, 32, `read-${sizeBytes}`);
    }
  }

  async measure(workload: string): Promise<Figures> {
    const { pool, operation, sizeBytes, concurrency } = this.#workloads[workload]!;
    const run = operation === "rand" ? `read-${sizeBytes}` : `write-${sizeBytes}`;
    const before = cephCpuUs();
    const text = await radosBench(pool, operation, sizeBytes, concurrency, run);
    const cpuUs = cephCpuUs() - before;
    const count = radosFigure(text, /Total (?:writes|reads) made/);
    const opsPerSecond = count / radosFigure(text, /Total time run/);
    if (operation === "write") await runCeph("rados", ["-p", pool, "cleanup", "--run-name", run, "-t", "64"]);
    return {
      "op/s": opsPerSecond,
      "MB/s": (opsPerSecond * sizeBytes) / 1e6,
      "server CPU us/op": cpuUs / count,
    };
  }

  async stop(): Promise<void> {
    await runPeer("ceph", "stop");
  }
}

function radosBench(
  pool: string,
  operation: string,
  sizeBytes: number,
  concurrency: number,
  run: string,
): Promise<string> {
  const size = operation === "write" ? ["-b", String(sizeBytes), "--no-cleanup"] : [];
  return runCeph("rados", [
    "-p",
    pool,
    "bench",
    String(SECONDS),
    operation,
    "-t",
    String(concurrency),
    "--run-name",
    run,
    ...size,
  ]);
}
