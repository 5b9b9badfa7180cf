/** Parts of a shard that a target serves and another one is to take over: what it shows, at the epochs of its data. */
import type { Epoch } from "../base/epoch.ts";
import { MIB } from "../base/limits.ts";
import type { EpochPart } from "../contracts/redundancy.ts";
import type { ShardedAkey } from "./sharded-akey.ts";

/** The parts that planRebuild would give of the stripe, as of `epoch`. */
export async function servedStripe(
  akey: ShardedAkey,
  shard: number,
  stripe: number,
  epoch: Epoch,
): Promise<readonly EpochPart[]> {
  const { scheme } = akey;
  const [here, behind] = [stripe, stripe + 1].map((at) => scheme.addressSpaces(shard, at * scheme.stripeBytes));
  const parts: EpochPart[] = [];
  for (const [place, { start }] of here!.entries()) {
    const end = behind![place]!.start;
    parts.push({ shard, kind: "punch", holds: "hidden", address: start, length: end - start, views: [], epoch });
    for (let address = start; address < end; address += MIB) {
      const length = Math.min(MIB, end - address);
      const read = { shard, kind: "array", address, length, epoch, orNextReadable: false } as const;
      const { bytes, extents } = await akey.read(read);
      for (const extent of extents) {
        const at = extent.address - address;
        const views = [bytes.subarray(at, at + extent.length)];
        parts.push({ ...extent, shard, kind: "write", holds: "data", views });
      }
    }
  }
  return parts;
}

/** The same of the single value; nothing when the shard has none. */
export async function servedValue(akey: ShardedAkey, shard: number, epoch: Epoch): Promise<readonly EpochPart[]> {
  const read = { shard, kind: "value", address: 0, length: 0, epoch, orNextReadable: false } as const;
  const { bytes, extents } = await akey.read(read);
  const [extent] = extents;
  if (extent === undefined) return [];
  return [{ ...extent, shard, kind: "value", holds: "data", views: [bytes] }];
}
