/** Disks on which everything takes longer for a while. */
import type { ClusterNode } from "../node.ts";
import { type FaultKind, type FaultParts, spanMs } from "./fault-kind.ts";

/** Longest stall of an operation, and longest time for which there are some, milliseconds. */
const STALL_MS = 3_000;
const SLOW_MS = 5_000;

export function slowMediaKind({ cluster, random, note }: FaultParts): FaultKind {
  return {
    name: "slow disk",
    weight: 2,
    strike: ({ name, machine }: ClusterNode) => {
      const stallMs = spanMs(random, 5, STALL_MS);
      note("slow disk", `${name}, stalls to ${stallMs.toFixed(0)} ms`);
      machine.stallNs = stallMs * 1e6;
      cluster.timers.after(spanMs(random, 50, SLOW_MS), () => (machine.stallNs = 0));
    },
    heal: () => {
      for (const { machine } of cluster.nodes) machine.stallNs = 0;
    },
  };
}
