/**
 * What the engines have found out among themselves about who lives (src/membership), as the engine of the control plane
 * sees it. The control plane acts on it; whoever runs the failure detection implements it.
 */
import type { EngineRoster } from "../format/engine-operations.ts";

/** `atMs`, on the monotonic clock: since when it is dead; of a suspect, when it will be unless it is heard of. */
export interface Verdict {
  readonly state: "alive" | "suspect" | "dead";
  readonly atMs: number;
}

export interface Verdicts {
  /** Undefined: nothing is known of this rank. */
  of(rank: number): Verdict | undefined;
  /** Most of the others are dead to us: then it is rather we who are cut off, and what we find counts for nothing. */
  readonly isAlone: boolean;
  /** These are the members from now on. */
  adopt(roster: EngineRoster): void;
}
