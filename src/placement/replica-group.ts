/**
 * The group of a dkey as those see it who write and read: which target orders its updates, which have to have each one, and
 * which may be asked. The same for client and targets under one pool map.
 */
import type { ByteString } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { ShardGroup } from "./layout.ts";
import type { Placement } from "./placement.ts";

export interface ReplicaGroup {
  /** Number in the pool map of the target that orders the updates; it is among the members. -1: none can. */
  readonly leader: number;
  /** Targets that have to have every update, ascending. */
  readonly members: readonly number[];
  /** Targets whose shard has everything and serves: they may be read. */
  readonly readable: readonly number[];
}

const known = new WeakMap<ShardGroup, ReplicaGroup>();

/**
 * The group of a dkey of an object with redundancy: led by the first shard that can be read. Throws UNSUPPORTED for classes
 * whose shards are not copies.
 */
export function replicaGroup(placement: Placement, oid: ObjectId, dkey: ByteString): ReplicaGroup {
  const { shards } = placement.groupOf(oid, dkey);
  let group = known.get(shards);
  if (group === undefined) {
    const { redundancy, name } = placement.layout(oid).objectClass;
    if (redundancy.kind === "erasure") throw notServed(name);
    group = groupOfShards(shards);
    known.set(shards, group);
  }
  return group;
}

function groupOfShards(shards: ShardGroup): ReplicaGroup {
  const members = new Set<number>();
  const readable: number[] = [];
  for (const { target, state, alsoWrite } of shards) {
    if (target >= 0 && state !== "missing") members.add(target);
    if (target >= 0 && state === "serving") readable.push(target);
    for (const other of alsoWrite) members.add(other);
  }
  return { leader: readable[0] ?? -1, members: [...members].toSorted((left, right) => left - right), readable };
}

function notServed(name: string): DaosError {
  const state = "objects with erasure code cannot be written and read yet";
  return new DaosError(
    "UNSUPPORTED",
    `Cannot use object class ${name}: ${state}. Use a replicated class such as RP_3GX.`,
  );
}
