/**
 * The group of a dkey as those see it who write and read: which target orders its updates, which have to have each one, and
 * which may be asked. The same for client and targets under one pool map.
 */
import type { ByteString } from "../base/bytes.ts";
import type { ObjectClass } from "../base/object-class.ts";
import type { ObjectId } from "../base/object-id.ts";
import { dkeyShardOf } from "../base/shard-rotation.ts";
import { NO_TARGET, type ShardGroup } from "../placement/layout.ts";
import type { Placement } from "../placement/placement.ts";

export interface RedundancyGroup {
  /** Number in the pool map of the target that orders the updates; it is among the members. -1: none can. */
  readonly leader: number;
  /** Targets that have to have every update, ascending. */
  readonly members: readonly number[];
  /** Targets whose shard has everything and serves: they may be read. */
  readonly readable: readonly number[];
  /** A shard would have to move, and there is no target that could take it. */
  readonly isStranded: boolean;
  /** Of erasure code, where each has another part; undefined for copies. */
  readonly shards: ErasureShards | undefined;
}

/** The shards of an erasure-coded dkey, numbered in the dkey's own order (src/base/shard-rotation.ts). */
export interface ErasureShards {
  /** What redundancy plugins serve, such as `EC_4P2`. */
  readonly word: string;
  /** By number the target whose shard serves; NO_TARGET when none does. */
  readonly targets: readonly number[];
  /** The numbers of those that serve, ascending. */
  readonly alive: readonly number[];
  /** By target the number of the shard that it has, or is filled with. */
  readonly numberOf: ReadonlyMap<number, number>;
}

/** By rotation of the dkey; copies have one. */
const known = new WeakMap<ShardGroup, RedundancyGroup[]>();

/**
 * The group of a dkey of an object with redundancy. Copies are led by the first shard that can be read, erasure code by the
 * shard that its scheme names (RedundancyScheme.leader): a parity shard while one serves.
 */
export function redundancyGroup(placement: Placement, oid: ObjectId, dkey: ByteString): RedundancyGroup {
  const { shards } = placement.groupOf(oid, dkey);
  const { objectClass } = placement.layout(oid);
  const isErasure = objectClass.redundancy.kind === "erasure";
  const rotation = isErasure ? placement.dkeyHash(oid, dkey) % shards.length : 0;
  let groups = known.get(shards);
  if (groups === undefined) known.set(shards, (groups = []));
  groups[rotation] ??= isErasure ? erasureGroup(shards, rotation, objectClass) : replicaGroup(shards);
  return groups[rotation]!;
}

function replicaGroup(shards: ShardGroup): RedundancyGroup {
  const readable = shards.filter(({ state }) => state === "serving").map(({ target }) => target);
  const members = membersOf(shards);
  return { leader: readable[0] ?? NO_TARGET, members, readable, isStranded: isStranded(shards), shards: undefined };
}

function membersOf(shards: ShardGroup): number[] {
  const members = new Set<number>();
  for (const { target, state, alsoWrite } of shards) {
    if (state !== "missing") members.add(target);
    for (const other of alsoWrite) members.add(other);
  }
  return [...members].toSorted((left, right) => left - right);
}

function erasureGroup(shards: ShardGroup, rotation: number, { redundancy }: ObjectClass): RedundancyGroup {
  const targets = shards.map(() => NO_TARGET);
  const numberOf = new Map<number, number>();
  shards.forEach(({ target, state, alsoWrite }, groupShard) => {
    const number = dkeyShardOf(groupShard, rotation, shards.length);
    if (state === "serving") targets[number] = target;
    if (state !== "missing") numberOf.set(target, number);
    for (const other of alsoWrite) numberOf.set(other, number);
  });
  const alive = targets.flatMap((target, number) => (target === NO_TARGET ? [] : [number]));
  const readable = alive.map((number) => targets[number]!);
  return {
    leader: leaderOf(targets, alive, redundancy.dataShards),
    members: membersOf(shards),
    readable,
    isStranded: isStranded(shards),
    shards: { word: redundancy.word, targets, alive, numberOf },
  };
}

function isStranded(shards: ShardGroup): boolean {
  return shards.some((shard) => shard.isStranded === true && shard.state === "serving");
}

function leaderOf(targets: readonly number[], alive: readonly number[], dataShards: number): number {
  if (alive.length < dataShards) return NO_TARGET;
  const last = alive.at(-1)!;
  return targets[last >= dataShards ? last : alive[0]!]!;
}
