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
  /** Whether something of the object is to be elsewhere once what is under way is done. */
  moves(oid: ObjectId): boolean;
  /** Whether dkeys of an object with redundancy that have one group now have several where the object moves to. */
  parts(oid: ObjectId): boolean;
}

export function placedGroups(map: PoolMap): Groups {
  const placement = new Placement(map);
  return {
    mapVersion: map.version,
    groupOf: (oid, dkey) => redundancyGroup(placement, oid, dkey),
    moves: (oid) => placement.layout(oid).next !== undefined,
    parts: (oid) => {
      const { groups, next } = placement.layout(oid);
      return isRedundant(oid) && next !== undefined && next.groups.length !== groups.length;
    },
  };
}
