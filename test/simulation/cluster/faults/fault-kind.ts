/** What the kinds of faults have in common: what they strike, and how they end. */
import type { SimulatedRandom } from "../../random.ts";
import type { Cluster } from "../cluster.ts";
import type { ClusterNode } from "../node.ts";

export interface FaultKind {
  /** As the filter and the counts call it. */
  readonly name: string;
  /** How often it comes, among the others. */
  readonly weight: number;
  /** Chooses what is so for the whole run. */
  begin?(): void;
  strike(node: ClusterNode): void;
  /** Ends it everywhere; resolves when the cluster can be well again. */
  heal?(): void | Promise<void>;
  /** Everything is checked: counts what has shown of it. */
  end?(): void;
}

/** What a kind of fault works with. */
export interface FaultParts {
  readonly cluster: Cluster;
  readonly random: SimulatedRandom;
  /** Counts a fault, and logs what it strikes. */
  readonly note: (name: string, what: string) => void;
}

/** A time in this range; most are nearer to its lower end. */
export function spanMs(random: SimulatedRandom, minMs: number, maxMs: number): number {
  return minMs + random.next() ** 2 * (maxMs - minMs);
}

/** Uniform in [-limit, limit). */
export function around(random: SimulatedRandom, limit: number): number {
  return (random.next() * 2 - 1) * limit;
}
