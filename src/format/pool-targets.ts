/** Operations on the targets of a pool: what they are asked, and the map that they answer with. */
import type { PoolReference } from "./operations.ts";
import type { PoolMap } from "./pool-map.ts";

/** Targets of a pool: all of these ranks, and those of these indices. */
export interface PoolTargetsArguments extends PoolReference {
  readonly ranks?: readonly number[];
  readonly targets?: readonly number[];
  /** Exclude: also what has no other copy. */
  readonly force?: boolean;
}
export interface PoolExtendArguments extends PoolReference {
  readonly ranks: readonly number[];
}
export interface PoolTargetsReply {
  readonly pool: string;
  readonly map: PoolMap;
}
