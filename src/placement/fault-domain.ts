/**
 * The fault-domain tree that layouts descend: inner nodes are domains, leaves are targets. Today's pool map names its
 * targets only, so the tree is a root with one leaf a target; ranks, nodes and racks become levels in between without a
 * change to the descent (layout.ts).
 *
 * The order of children is part of placement: new ones are appended, none is ever moved.
 */
import { DaosError } from "../base/errors.ts";
import type { PoolMap } from "../format/pool-map.ts";

export interface FaultDomain {
  /** Empty for a leaf. */
  readonly children: readonly FaultDomain[];
  /** Target index of the pool map for a leaf, -1 for an inner domain. */
  readonly target: number;
  /** Leaves at and beneath this node. */
  readonly targetCount: number;
}

/** A leaf. */
export function targetLeaf(target: number): FaultDomain {
  return { children: [], target, targetCount: 1 };
}

/** An inner domain over `children`. */
export function innerDomain(children: readonly FaultDomain[]): FaultDomain {
  let targetCount = 0;
  for (const child of children) targetCount += child.targetCount;
  return { children, target: -1, targetCount };
}

/** The tree of a pool map. Throws PROTOCOL when the map names no target, or one twice: such a map places nothing. */
export function faultDomainTree(map: PoolMap): FaultDomain {
  const indices = map.targets.map((target) => target.index).toSorted((left, right) => left - right);
  const repeated = indices.some((index, position) => index === indices[position - 1]);
  if (indices.length === 0 || repeated) {
    const state = repeated ? "it names a target twice" : "it names no target";
    throw new DaosError("PROTOCOL", `Cannot use pool map version ${map.version}: ${state}. Ask the engine's operator.`);
  }
  return innerDomain(indices.map(targetLeaf));
}
