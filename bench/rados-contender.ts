/**
 * Ceph's object store as a contender: three OSDs started by the peer script, measured by `rados bench`. Reads are random over what a write run has left.
 */
import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Contender } from "./benchmark.ts";
import { peerProblem, runPeer } from "./peers.ts";
import type { Figures } from "./table.ts";

const STATE = join(process.env["PEERS_DIR"] ?? join(tmpdir(), "peers"), "ceph");
const TICK_US = 10_000;
const SECONDS = 4;

export interface RadosWorkload {
  /** Of the peer script: `rep1`, `rep3`, `ec21`. */
  readonly pool: string;
  readonly operation: "write" | "rand";
  readonly sizeBytes: number;
  readonly concurrency: number;
}

/** Why Ceph cannot be measured here; undefined when it can. */
export function radosProblem(): string | undefined {
  const missing = ["ceph-osd", "ceph-mon", "rados"].find((name) => Bun.which(name) === null);
  return peerProblem("ceph") ?? (missing === undefined ? undefined : `${missing} is not installed`);
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
    const before = serverCpuUs();
    const text = await radosBench(pool, operation, sizeBytes, concurrency, run);
    const cpuUs = serverCpuUs() - before;
    const field = (name: RegExp): number => Number(new RegExp(`^${name.source}:\\s*([\\d.]+)`, "m").exec(text)?.[1]);
    const count = field(/Total (?:writes|reads) made/);
    const opsPerSecond = count / field(/Total time run/);
    if (operation === "write") await rados(["-p", pool, "cleanup", "--run-name", run, "-t", "64"]);
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
  return rados([
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

async function rados(args: readonly string[]): Promise<string> {
  const environment = { ...process.env, CEPH_CONF: join(STATE, "ceph.conf") };
  const child = Bun.spawn(["rados", ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    env: environment,
    cwd: STATE,
  });
  const [text, status] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  if (status !== 0) throw new Error(`rados ${args.join(" ")}: status ${status}`);
  return text;
}

function serverCpuUs(): number {
  const folder = join(STATE, "run");
  let ticks = 0;
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".pid"))) {
    const fields = readFileSync(`/proc/${readFileSync(join(folder, name), "utf8").trim()}/stat`, "utf8").split(" ");
    ticks += Number(fields[13]) + Number(fields[14]);
  }
  return ticks * TICK_US;
}
