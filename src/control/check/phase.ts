/** A check goes through phases, each of them in steps; a step looks at a bounded part, and may look at it again. */
import type { Difference } from "./difference.ts";

export interface CheckScope {
  /** Id of the pool that the check is about; undefined: about all. */
  readonly pool: string | undefined;
}

export interface Look {
  readonly differences: readonly Difference[];
  /** Things looked at, and bytes read to compare them. */
  readonly looked: number;
  readonly bytes: number;
  /** Of those, what changed all the time, or was being filled: it could not be compared. */
  readonly unjudged?: number;
  /** Position of the next step; undefined: the phase is over. */
  readonly next: string | undefined;
}

export interface Phase {
  readonly name: string;
  /** Pauses before what was found is looked at again, milliseconds: in all looks it has to be there. */
  readonly pausesMs?: readonly number[];
  /** `position`: "" at first. `again`: only these were found; with what is changed meanwhile kept still where that is possible. */
  look(position: string, scope: CheckScope, again?: readonly Difference[]): Promise<Look>;
}
