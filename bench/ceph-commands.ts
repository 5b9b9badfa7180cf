/** Commands of Ceph, to the cluster that the peer script starts. */
import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { peerProblem } from "./peers.ts";

export const CEPH_STATE = join(process.env["PEERS_DIR"] ?? join(tmpdir(), "peers"), "ceph");
const TICK_US = 10_000;

/** Why Ceph cannot be measured here; undefined when it can. */
export function cephProblem(): string | undefined {
  const missing = ["ceph-osd", "ceph-mon", "rados"].find((name) => Bun.which(name) === null);
  return peerProblem("ceph") ?? (missing === undefined ? undefined : `${missing} is not installed`);
}

/** What the command prints. Throws an Error when it fails. */
export async function runCeph(command: "ceph" | "ceph-osd" | "rados", args: readonly string[]): Promise<string> {
  const environment = { ...process.env, CEPH_CONF: join(CEPH_STATE, "ceph.conf") };
  const child = Bun.spawn([command, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    env: environment,
    cwd: CEPH_STATE,
  });
  const [text, status] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: status ${status}`);
  return text;
}

/** Process of a daemon, such as `osd.2`. */
export function cephPid(daemon: string): number {
  return Number(readFileSync(join(CEPH_STATE, "run", `${daemon}.pid`), "utf8"));
}

/** CPU time of all its daemons. */
export function cephCpuUs(): number {
  let ticks = 0;
  for (const name of readdirSync(join(CEPH_STATE, "run")).filter((file) => file.endsWith(".pid"))) {
    const fields = readFileSync(`/proc/${cephPid(name.replace(/\.pid$/, ""))}/stat`, "utf8").split(" ");
    ticks += Number(fields[13]) + Number(fields[14]);
  }
  return ticks * TICK_US;
}

/** A figure of the summary that `rados bench` prints. */
export function radosFigure(text: string, name: RegExp): number {
  return Number(new RegExp(`^${name.source}:\\s*([\\d.]+)`, "m").exec(text)?.[1]);
}
