/**
 * Redis as a contender: started by the peer script in one durability mode, measured by redis-benchmark, its CPU taken from
 * the kernel's accounting of the server process.
 */
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Contender } from "./benchmark.ts";
import { peerProblem, runPeer } from "./peers.ts";
import type { Figures } from "./table.ts";

const PORT = "16379";
const STATE = process.env["PEERS_DIR"] ?? join(tmpdir(), "peers");
/** Kernel accounting ticks, a hundred a second on Linux. */
const TICK_US = 10_000;
const SECONDS = 3;
/** Operations of the short run that sizes the long one. */
const PROBE_ROUNDS = 60;

export interface RedisWorkload {
  readonly test: "set" | "get";
  readonly sizeBytes: number;
  readonly clients: number;
  readonly pipeline: number;
}

/** Why Redis cannot be measured here; undefined when it can. */
export function redisProblem(): string | undefined {
  const missing = ["redis-server", "redis-benchmark"].find((name) => Bun.which(name) === null);
  return peerProblem("redis") ?? (missing === undefined ? undefined : `${missing} is not installed`);
}

export class RedisContender implements Contender {
  readonly name: string;
  readonly #mode: "no" | "always";
  readonly #workloads: Readonly<Record<string, RedisWorkload>>;

  constructor(mode: "no" | "always", workloads: Readonly<Record<string, RedisWorkload>>) {
    this.name = mode === "always" ? "redis (appendfsync always)" : "redis (no persistence)";
    this.#mode = mode;
    this.#workloads = workloads;
  }

  async start(): Promise<void> {
    await runPeer("redis", "start", [this.#mode]);
  }

  async measure(workload: string): Promise<Figures> {
    const { test, sizeBytes, clients, pipeline } = this.#workloads[workload]!;
    const common = ["-p", PORT, "-t", test, "-d", String(sizeBytes), "-c", String(clients), "-P", String(pipeline)];
    const run = async (count: number): Promise<string[]> => {
      const args = [...common, "-r", "100000", "--csv", "-n", String(count)];
      const child = Bun.spawn(["redis-benchmark", ...args], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
      const lines = (await new Response(child.stdout).text()).trim().split("\n");
      return lines.at(-1)!.replaceAll('"', "").split(",");
    };
    const probe = Number((await run(clients * pipeline * PROBE_ROUNDS))[1]);
    const count = Math.max(Math.floor(probe * SECONDS), clients * pipeline * PROBE_ROUNDS);
    const before = serverCpuUs();
    const [, opsPerSecond, , , p50, , p99] = await run(count);
    return {
      "op/s": Number(opsPerSecond),
      "MB/s": (Number(opsPerSecond) * sizeBytes) / 1e6,
      "p50 us": Number(p50) * 1000,
      "p99 us": Number(p99) * 1000,
      "server CPU us/op": (serverCpuUs() - before) / count,
    };
  }

  async stop(): Promise<void> {
    await runPeer("redis", "stop");
  }
}

function serverCpuUs(): number {
  const pid = readFileSync(join(STATE, "redis", "redis.pid"), "utf8").trim();
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(" ");
  return (Number(fields[13]) + Number(fields[14])) * TICK_US;
}
