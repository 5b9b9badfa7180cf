/**
 * The peers daos is compared with: scripts in ../shared/peers (`<name>.sh install|start|bench|stop|wipe`, figures as
 * tab-separated lines on standard output). They are not part of this repository; where they are absent, the comparisons
 * are skipped and say so.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

const PEERS = resolve(import.meta.dir, "..", "..", "shared", "peers");

/** Why the peer cannot be measured here; undefined when it can. */
export function peerProblem(name: string): string | undefined {
  const path = peerScript(name);
  return existsSync(path) ? undefined : `no script ${name}.sh in ../shared/peers`;
}

/** Runs `<name>.sh <verb> ...args`; its standard output. Throws an Error with what it printed when it fails. */
export async function runPeer(name: string, verb: string, args: readonly string[] = []): Promise<string> {
  const child = Bun.spawn(["bash", peerScript(name), verb, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status !== 0) throw new Error(`Cannot ${verb} peer "${name}": status ${status}.\n${stdout}${stderr}`);
  return stdout;
}

/** One figure of a peer's answer. `concurrency` is connections x pipeline, `size` bytes, as the scripts write them. */
export interface PeerFigure {
  readonly workload: string;
  readonly size: string;
  readonly concurrency: string;
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
}

/** The lines `system workload size concurrency metric value unit` of a peer's `bench`; other lines are passed over. */
export function parsePeerFigures(text: string): PeerFigure[] {
  return text.split("\n").flatMap((line) => {
    const cells = line.split("\t");
    if (cells.length !== 7) return [];
    const [, workload = "", size = "", concurrency = "", metric = "", value = "", unit = ""] = cells;
    return [{ workload, size, concurrency, metric, value: Number(value), unit }];
  });
}

function peerScript(name: string): string {
  return join(PEERS, `${name}.sh`);
}
