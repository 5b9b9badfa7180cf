/** How a pool does, as `poolQuery` tells: the tiers that it lies on, how far it is with being filled, what it survives, what fits. */

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
   * goes on when enough are back. `paused`: as busy, but only what is written to is brought, until somebody resumes it.
   */
  readonly state: "idle" | "busy" | "done" | "stuck" | "paused";
  /** Brought since the last change of the map, as far as the engines have told. */
  readonly dkeys: number;
  readonly bytes: number;
  /** Targets that have brought all they lead, of those that have to. */
  readonly targetsDone: number;
  readonly targets: number;
  /** Dkeys to be brought since then, and those of them that are left; absent while they are counted. */
  readonly dkeysToBring?: number;
  readonly dkeysLeft?: number;
  /** What is left, if it is as large as what was brought; absent while that is not known. */
  readonly bytesLeft?: number;
  /** How fast it has been lately; servers of before do not say. */
  readonly dkeysPerSecond?: number;
  readonly bytesPerSecond?: number;
  /** Absent while it does not go on. */
  readonly secondsLeft?: number;
}

/** Of a container, or of the container of a pool that is worst off. */
export interface DataHealth {
  /**
   * `whole`: all targets are here. `degraded`: some are gone, no more than are survived. `unavailable`: more are, so a part of the
   * data cannot be read or written.
   */
  readonly state: "whole" | "degraded" | "unavailable";
  /** Ranks that are gone and not made up for. */
  readonly gone: readonly number[];
  /** Engines that may fail at once besides without making any data unavailable. */
  readonly tolerable: number;
  /** What is gone, what that means, and what ends it; empty when it is whole. */
  readonly reason: string;
}

/** How much data of a class fits besides what is there. */
export interface ClassCapacity {
  readonly class: string;
  readonly usableBytes: number;
  /** Engines of a group that may fail. */
  readonly survives: number;
}
