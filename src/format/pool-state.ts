/** How a pool does, as `poolQuery` tells: the tiers that it lies on, and how far it is with being filled. */

/** Bytes of one tier of a system; the log is part of the SCM. */
export interface TierSpace {
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly freeBytes: number;
}

export interface PoolRebuild {
  /**
   * `idle`: nothing is missing. `busy`: members of groups are being filled. `done`: the data of targets that are gone is
   * whole elsewhere. `stuck`: more engines are down than the containers survive, or too few shards of something are left; it
   * goes on when enough are back.
   */
  readonly state: "idle" | "busy" | "done" | "stuck";
  /** Brought since the last change of the map, as far as the engines have told. */
  readonly dkeys: number;
  readonly bytes: number;
  /** Targets that have brought all they lead, of those that have to. */
  readonly targetsDone: number;
  readonly targets: number;
}
