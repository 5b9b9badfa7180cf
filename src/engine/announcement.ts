/** What shard 0 of an erasure-coded dkey is told of writes that concern other shards only. */
import type { ShardPart } from "../contracts/redundancy.ts";

/** A write of nothing: the array is there. */
const ANNOUNCEMENT: ShardPart = { shard: 0, kind: "write", holds: "data", address: 0, length: 0, views: [] };

/**
 * The parts of an array write. Shard 0 hears of every array: it leads when no parity shard can be read, and has to know what
 * there is to be filled.
 */
export function announced(parts: readonly ShardPart[]): readonly ShardPart[] {
  return parts.some(({ shard }) => shard === ANNOUNCEMENT.shard) ? parts : [...parts, ANNOUNCEMENT];
}
