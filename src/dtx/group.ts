/** The redundancy groups of a pool under one version of its map, as replication asks for them. */
import type { ByteString } from "../base/bytes.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { PoolMap } from "../format/pool-map.ts";
import { Placement } from "../placement/placement.ts";
import { type ReplicaGroup, replicaGroup } from "../placement/replica-group.ts";

export type { ReplicaGroup } from "../placement/replica-group.ts";

export interface Groups {
  readonly mapVersion: number;
  /** See replicaGroup. */
  groupOf(oid: ObjectId, dkey: ByteString): ReplicaGroup;
}

export function placedGroups(map: PoolMap): Groups {
  const placement = new Placement(map);
  return { mapVersion: map.version, groupOf: (oid, dkey) => replicaGroup(placement, oid, dkey) };
}
