/**
 * Parity shards that are behind their leader: there are some when it came to lead the dkey while its leader of before was at a
 * fold, for what that one folds it folds last. They still have as replicas what the leader has in parity.
 */
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import type { AddressSpace, Fold } from "../contracts/redundancy.ts";
import { type ShardedAkey, type ShardExtents, without } from "./sharded-akey.ts";

/**
 * Whether this target, which leads, may have folded what other parity shards have not. Its leader of before has written
 * to all others before itself: so there is a third one, or this one was filled at that time.
 */
export function mayBeAhead({ scheme }: ShardedAkey, wasFilled: boolean): boolean {
  return wasFilled || scheme.toleratedFailures > 2;
}

/** The stripes that the other parity shards have replicas of, page by page. Rejects as ShardedAkey.extents. */
export async function* stripesOfOthers(akey: ShardedAkey): AsyncGenerator<readonly number[], void, void> {
  for (const shard of othersWithParity(akey)) {
    const [{ start, end }] = akey.scheme.addressSpaces(shard) as [AddressSpace];
    for (let from: number | undefined = start; from !== undefined && from < end;) {
      const page: ShardExtents = await akey.extents(shard, { start: from, end }, EPOCH_NONE);
      yield akey.scheme.stripesToFold(shard, page.extents);
      from = page.next;
    }
  }
}

/**
 * For each parity shard that is behind in a stripe in which this target has nothing to fold: what brings it level. `now`: above
 * all that was written. Rejects as ShardedAkey.run.
 */
export async function* levelled(akey: ShardedAkey, stripe: number, now: Epoch): AsyncGenerator<Fold, void, void> {
  const { scheme } = akey;
  const shards = othersWithParity(akey);
  // Without parity the stripe stays as replicas.
  if (shards.length === 0 || (await hasReplicas(akey, akey.own, stripe))) return;
  for (const shard of shards) {
    if (!(await hasReplicas(akey, shard, stripe))) continue;
    const parts = await akey.run((alive) =>
      scheme.planRebuild(shard, stripe * scheme.stripeBytes, scheme.stripeBytes, now, without(alive, shard)),
    );
    const parity = parts.find(({ kind, holds }) => kind === "write" && holds === "parity");
    if (parity !== undefined) yield { epoch: parity.epoch, parts };
  }
}

/** The other parity shards, when this target has one. */
function othersWithParity({ own, alive, scheme }: ShardedAkey): number[] {
  if (own < scheme.dataShards) return [];
  return alive.filter((shard) => shard !== own && shard >= scheme.dataShards);
}

/** The replicas of a stripe are in the first space of a parity shard. */
async function hasReplicas(akey: ShardedAkey, shard: number, stripe: number): Promise<boolean> {
  const { scheme } = akey;
  const [start, end] = [stripe, stripe + 1].map((at) => scheme.addressSpaces(shard, at * scheme.stripeBytes)[0]!.start);
  return (await akey.extents(shard, { start: start!, end: end! }, EPOCH_NONE)).extents.length > 0;
}
