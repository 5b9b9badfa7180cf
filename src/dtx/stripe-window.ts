/**
 * Which stripes of an erasure-coded array hold something, to any of several viewers, a window at a time: from the extents of
 * the shards that know of all of them, with one page of each in memory.
 */
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import type { AddressSpace, DataExtent } from "../contracts/redundancy.ts";
import type { ShardedAkey } from "./sharded-akey.ts";
import { atSnapshot } from "./unkept-snapshot.ts";

/** Stripes of a window. */
const MAX_STRIPES = 256;

export interface ShownStripe {
  readonly stripe: number;
  /** For each viewer in words which update each of its bytes is of; "": none. Where two say the same, the bytes are the same. */
  readonly shown: readonly string[];
}

export interface StripeWindow {
  /** Ascending. */
  readonly stripes: readonly ShownStripe[];
  /** First stripe of the next window; undefined: there is no more. */
  readonly next: number | undefined;
}

/** What one space of a shard shows at one epoch. */
interface SpacePage {
  readonly extents: readonly DataExtent[];
  /** All of the stripes before it are in the page; infinite: all there are. */
  readonly end: number;
}

/** `epochs`: of the viewers; undefined for one that does not look. Rejects as ShardedAkey.extents, and with UnkeptSnapshot. */
export async function stripeWindow(
  akey: ShardedAkey,
  epochs: readonly (Epoch | undefined)[],
  from: number,
): Promise<StripeWindow> {
  const { scheme, alive } = akey;
  const { stripeBytes } = scheme;
  const found = new Map<number, string[]>();
  let end = Number.POSITIVE_INFINITY;
  for (const shard of scheme.extentShards(alive) ?? []) {
    for (const [place, space] of scheme.addressSpaces(shard, from * stripeBytes).entries()) {
      for (const [viewer, epoch] of epochs.entries()) {
        if (epoch === undefined) continue;
        const page = await pageOf(akey, shard, space, epoch, from);
        end = Math.min(end, page.end);
        for (const extent of page.extents) {
          for (const { address, length, epoch: written } of scheme.arrayExtents(shard, [extent])) {
            for (let at = address; at < address + length;) {
              const stripe = Math.floor(at / stripeBytes);
              const to = Math.min(address + length, (stripe + 1) * stripeBytes);
              note(found, stripe, viewer, epochs.length, `${shard}.${place}:${at}+${to - at}@${written} `);
              at = to;
            }
          }
        }
      }
    }
  }
  const stripes = [...found.keys()].filter((stripe) => stripe >= from && stripe < end).toSorted((a, b) => a - b);
  if (stripes.length > MAX_STRIPES) end = stripes[MAX_STRIPES]!;
  return {
    stripes: stripes.slice(0, MAX_STRIPES).map((stripe) => ({ stripe, shown: found.get(stripe)! })),
    next: end === Number.POSITIVE_INFINITY ? undefined : end,
  };
}

function note(found: Map<number, string[]>, stripe: number, viewer: number, viewers: number, words: string): void {
  let shown = found.get(stripe);
  if (shown === undefined) {
    shown = Array.from({ length: viewers }, () => "");
    found.set(stripe, shown);
  }
  shown[viewer]! += words;
}

/** A page, or as many as it takes to have one stripe. */
async function pageOf(
  akey: ShardedAkey,
  shard: number,
  space: AddressSpace,
  epoch: Epoch,
  from: number,
): Promise<SpacePage> {
  const { scheme } = akey;
  const extents: DataExtent[] = [];
  for (let start = space.start; ;) {
    const at = start;
    const page = await atSnapshot(epoch, () => akey.extents(shard, { start: at, end: space.end }, epoch));
    extents.push(...page.extents);
    if (page.next === undefined || page.next >= space.end) return { extents, end: Number.POSITIVE_INFINITY };
    start = page.next;
    const [reached] = scheme.arrayExtents(shard, [{ address: start, length: 1, epoch: EPOCH_NONE }]);
    const end = Math.floor(reached!.address / scheme.stripeBytes);
    if (end > from) return { extents, end };
  }
}
