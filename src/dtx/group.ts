/** The redundancy groups of a pool under one version of its map, as replication asks for them. */
import type { ByteString } from "../base/bytes.ts";
import { isRedundant, type ObjectId } from "../base/object-id.ts";
import type { PoolMap } from "../format/pool-map.ts";
import { Placement } from "../placement/placement.ts";
import { type RedundancyGroup, redundancyGroup } from "../redundancy/redundancy-group.ts";

export type { RedundancyGroup } from "../redundancy/redundancy-group.ts";

export interface Groups {
  readonly mapVersion: number;
  /** See redundancyGroup. */
  groupOf(oid: ObjectId, dkey: ByteString): RedundancyGroup;
  /** Whether it is an object without redundancy of which something is to be elsewhere once what is under way is done. */
  movesSingle(oid: ObjectId): boolean;
  /** Whether dkeys of the object that have one group now have several where it moves to. */
  parts(oid: ObjectId): boolean;
  /** Whether targets may have something of the object that they cannot be read of. */
  mayBeLeft(oid: ObjectId): boolean;
}

export function placedGroups(map: PoolMap): Groups {
  const placement = new Placement(map);
  // Without redundancy nothing is anywhere else unless targets were added or drained.
  const hasMoved = map.version > 1;
  return {
    mapVersion: map.version,
    groupOf: (oid, dkey) => redundancyGroup(placement, oid, dkey),
    movesSingle: (oid) => !isRedundant(oid) && placement.layout(oid).next !== undefined,
    parts: (oid) => {
      const { groups, next } = placement.layout(oid);
      return next !== undefined && (!isRedundant(oid) || next.groups.length !== groups.length);
    },
    mayBeLeft: (oid) => hasMoved || isRedundant(oid),
  };
}

/** Whether a target has to have updates. */
export function isMember(map: PoolMap, index: number): boolean {
  const state = map.targets.find((target) => target.index === index)?.state;
  return state !== undefined && state !== "DOWN" && state !== "DOWNOUT";
}
