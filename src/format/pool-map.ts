/**
 * The pool map: which targets a pool lies on, where they are, and how each one does. Versioned: every change of a target's
 * state, or a new target, makes the next version. It travels with `containerOpen`; a data request names the version it was
 * placed by, and a target that has another one answers STALE.
 *
 * Placement depends on the order of `targets`, on domains, ranks, states, `since`, `added`, `drained` and `beside`, never
 * on addresses: those follow an engine that starts anew and do not change the version.
 */

/**
 * DAOS's component states (src/include/daos/pool_map.h). NEW: being added, being filled. UP: comes back from DOWNOUT, being filled.
 * UPIN: serves. DRAIN: serves while its data moves away. DOWN: gone, its data being rebuilt. DOWNOUT: gone, rebuilt elsewhere.
 */
export const TARGET_STATES = ["NEW", "UP", "UPIN", "DRAIN", "DOWN", "DOWNOUT"] as const;
export type TargetState = (typeof TARGET_STATES)[number];

/** Whether a target of this state has nothing that may be read or written. */
export function isGone(state: TargetState): boolean {
  return state === "DOWN" || state === "DOWNOUT";
}

/** Where a target listens. */
export interface TargetAddress {
  readonly index: number;
  readonly host: string;
  readonly port: number;
}

export interface MapTarget extends TargetAddress {
  /** Number in the pool: 0, 1, 2, ... in the order in which targets were added; never given to another one. */
  readonly index: number;
  /** Engine that the target belongs to. */
  readonly rank: number;
  /** Fault domain of the engine, from the root: `/rack1/node2`; `/` when nobody named one. The rank is a level beneath. */
  readonly domain: string;
  readonly state: TargetState;
  /**
   * Map version in which it stopped to be UPIN (DOWN, DRAIN), or was added: the order of failures, which spares follow.
   * Kept while it goes on to DOWN, DOWNOUT and UP; set anew with UPIN.
   */
  readonly since: number;
  /**
   * Map version in which it was UPIN first; absent: with the pool itself, or not yet. It stands in for none that went
   * before.
   */
  readonly added?: number | undefined;
  /**
   * Map version in which it became DOWNOUT from DRAIN: all that it had is on others, whatever the class. Until it is UPIN
   * again.
   */
  readonly drained?: number | undefined;
  /** Of a target that is gone: what was gone when it went and is back since. Who stands in for it follows from that, too. */
  readonly beside?: readonly Outage[] | undefined;
}

/** A target was gone from a map version on. */
export interface Outage {
  readonly index: number;
  readonly since: number;
  /** As of MapTarget. */
  readonly beside?: readonly Outage[] | undefined;
}

export interface PoolMap {
  readonly version: number;
  /** Ascending by `index`. */
  readonly targets: readonly MapTarget[];
}

/** As much of a pool map as says what is under way. */
interface MapStates {
  readonly targets: readonly Pick<MapTarget, "state" | "drained">[];
}

/** Whether data that nobody has lost is to be on other targets once what is under way is done. */
export function isMovingMap({ targets }: MapStates): boolean {
  return targets.some(({ state, drained }) => {
    return state === "NEW" || state === "DRAIN" || (state === "UP" && drained !== undefined);
  });
}

/**
 * Whether objects without redundancy might be looked for where they are not, were all done that moves data: while a target is
 * gone, and was not drained before, nobody can bring what it has to others, nor what it was to take over to it.
 */
export function outrunsSingles(map: MapStates): boolean {
  return isMovingMap(map) && isSingleAway(map);
}

/** Whether a target is gone that may have the only copy of something. */
export function isSingleAway({ targets }: MapStates): boolean {
  return targets.some(({ state, drained }) => isGone(state) && drained === undefined);
}

/** Domain of an engine that names none. */
export const ROOT_DOMAIN = "/";

/** A target that serves since the first version, of rank 0 unless given. */
export function servingTarget(address: TargetAddress, rank = 0, domain = ROOT_DOMAIN): MapTarget {
  return { ...address, rank, domain, state: "UPIN", since: 1 };
}
