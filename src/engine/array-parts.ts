/** What the shards of an erasure-coded dkey do in a write of array bytes: the scheme's plan, and what the leader makes of it. */
import type { AddressSpace, RedundancyScheme, ShardPart } from "../contracts/redundancy.ts";

/** A write of nothing: the array is there. */
const ANNOUNCEMENT: ShardPart = { shard: 0, kind: "write", holds: "data", address: 0, length: 0, views: [] };
const NO_VIEWS: readonly Uint8Array[] = [];

/**
 * The parts of a write. Shard 0 hears of every array: it leads when no parity shard can be read, and has to know what there is
 * to be filled. `leader`: number of the shard that leads; `bytes` undefined: their shape alone. Throws TOO_LARGE.
 */
export function arrayParts(
  scheme: RedundancyScheme,
  leader: number,
  address: number,
  length: number,
  bytes?: Uint8Array,
): readonly ShardPart[] {
  const plan = scheme.planWrite(address, length, bytes);
  const parts = plan.some(({ shard }) => shard === ANNOUNCEMENT.shard) ? plan : [...plan, ANNOUNCEMENT];
  return leader < scheme.dataShards ? withoutParity(scheme, parts, address, length, bytes) : parts;
}

/**
 * While a data shard leads nobody folds, and a punch does not look for parity: parity shards, which cannot be read yet, get whole
 * stripes as replicas then.
 */
function withoutParity(
  scheme: RedundancyScheme,
  parts: readonly ShardPart[],
  address: number,
  length: number,
  bytes: Uint8Array | undefined,
): readonly ShardPart[] {
  const { stripeBytes, dataShards, shardCount } = scheme;
  const replicas: ShardPart[] = [];
  const first = Math.ceil(address / stripeBytes);
  for (let shard = dataShards; shard < shardCount; shard += 1) {
    for (let stripe = first; (stripe + 1) * stripeBytes <= address + length; stripe += 1) {
      const start = stripe * stripeBytes;
      const from = start - address;
      const views = bytes === undefined ? NO_VIEWS : [bytes.subarray(from, from + stripeBytes)];
      const [replica] = scheme.addressSpaces(shard, start) as [AddressSpace];
      replicas.push({ shard, kind: "write", holds: "replica", address: replica.start, length: stripeBytes, views });
    }
  }
  return [...parts.filter(({ holds }) => holds !== "parity" && holds !== "hidden"), ...replicas];
}
