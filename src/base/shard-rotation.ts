/**
 * Which shard of a group is which in a dkey's own order. Each dkey begins at another shard, so that leading and parity
 * are spread over the group. Pure; the same on client and engine.
 */

/** The shard of the group that is number `shard` to a dkey of this hash (32 bits). */
export function groupShardOf(shard: number, dkeyHash: number, shardCount: number): number {
  return (shard + ((dkeyHash >>> 0) % shardCount)) % shardCount;
}

/** The number that the group's shard `groupShard` has to a dkey of this hash (32 bits). */
export function dkeyShardOf(groupShard: number, dkeyHash: number, shardCount: number): number {
  return (groupShard + shardCount - ((dkeyHash >>> 0) % shardCount)) % shardCount;
}
