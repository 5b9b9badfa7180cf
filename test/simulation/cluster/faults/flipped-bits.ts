/** Packets in which a bit flips on their way to or from a target: of requests, answers, and what targets send each other. */
import type { FaultKind, FaultParts } from "./fault-kind.ts";

export function flipKind({ cluster, random, note }: FaultParts): FaultKind {
  return {
    name: "flip",
    weight: 1,
    strike: ({ name }) => {
      note("flip", name);
      cluster.network.flipNext(name, random.next() < 0.5 ? "sent" : "received", random);
    },
  };
}
