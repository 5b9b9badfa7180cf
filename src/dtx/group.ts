/**
 * Redundancy groups as one target of a pool sees them, under one version of the pool map: who orders the updates of a
 * dkey, and who has to have each one.
 */
import type { ByteString } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { type ObjectId, objectClassOf } from "../base/object-id.ts";
import type { PoolMap } from "../format/pool-map.ts";
import { Placement } from "../placement/placement.ts";

export interface Group {
  /** Number in the pool map of the target that orders the updates; it is among the members. -1: none can. */
  readonly leader: number;
  /** Targets that have to have every update, ascending. */
  readonly members: readonly number[];
  /** Targets whose shard has everything and serves: it may be read. */
  readonly readable: readonly number[];
}

export interface Groups {
  readonly mapVersion: number;
  /** The group of a dkey of an object with redundancy. Throws UNSUPPORTED for a class that is not served. */
  groupOf(oid: ObjectId, dkey: ByteString): Group;
}

/** The groups that a pool map's placement makes. */
export function placedGroups(map: PoolMap): Groups {
  const placement = new Placement(map);
  return { mapVersion: map.version, groupOf: (oid, dkey) => placedGroup(placement, oid, dkey) };
}

/** The group of a dkey, as client and targets both see it: replicas are led by the first shard that can be read. */
export function placedGroup(placement: Placement, oid: ObjectId, dkey: ByteString): Group {
  const { redundancy, name } = objectClassOf(oid);
  if (redundancy.kind === "erasure") {
    const state = "the data path of erasure code is not there yet";
    throw new DaosError(
      "UNSUPPORTED",
      `Cannot use object class ${name}: ${state}. Use a replicated class, such as RP_3GX.`,
    );
  }
  const members = new Set<number>();
  const readable: number[] = [];
  for (const { target, state, alsoWrite } of placement.groupOf(oid, dkey).shards) {
    if (target >= 0 && state !== "missing") members.add(target);
    if (target >= 0 && state === "serving") readable.push(target);
    for (const other of alsoWrite ?? []) members.add(other);
  }
  return { leader: readable[0] ?? -1, members: [...members].toSorted((left, right) => left - right), readable };
}
