/** Processes that end, and hosts that lose power. What their media have is opened again after an outage. */
import { DaosError } from "../../../../src/base/errors.ts";
import type { ClusterNode } from "../node.ts";
import type { FaultKind, FaultParts } from "./fault-kind.ts";

/** Longest outage, milliseconds. */
const OUTAGE_MS = 4_000;
/** Within how long the others hear that a process ended, and that a host lost power. */
const KILL_NOTICE_MS = 2;
const POWER_NOTICE_MS = 2_000;

export function crashKinds(parts: FaultParts): FaultKind[] {
  const crash = (node: ClusterNode, name: string, noticeMs: number): void => crashNode(parts, node, name, noticeMs);
  return [
    { name: "crash", weight: 8, strike: (node) => crash(node, "crash", KILL_NOTICE_MS) },
    { name: "power loss", weight: 1, strike: (node) => crash(node, "power loss", POWER_NOTICE_MS) },
    {
      name: "power loss of all",
      weight: 1,
      strike: () => {
        for (const node of parts.cluster.nodes) crash(node, "power loss of all", POWER_NOTICE_MS);
      },
    },
  ];
}

function crashNode(parts: FaultParts, node: ClusterNode, name: string, noticeMs: number): void {
  const { cluster, random, note } = parts;
  if (!node.isUp) return;
  note(name, node.name);
  node.kill(noticeMs);
  const outageMs = random.next() < 0.5 ? random.next() * 50 : random.next() * OUTAGE_MS;
  cluster.timers.after(outageMs, () => void restart(parts, node));
}

/** A target that finds its log damaged does not start: its place is for others to fill. */
export async function restart({ cluster, note }: FaultParts, node: ClusterNode): Promise<void> {
  cluster.log(`restart ${node.name}`);
  try {
    await cluster.started(node, node.restart());
  } catch (error) {
    if (!(error instanceof DaosError) || error.code !== "CORRUPT" || !node.isRotten) throw error;
    note("damage found at the start", `${node.name}: ${error.message}`);
    node.isLost = true;
  }
}
