/**
 * Punches of array bytes. Whole stripes lose cells, parity and replicas at once. A stripe that is punched in part and has
 * parity is turned into replicas: parity cannot say what is a hole. That is the one update that reads first; the others of
 * its kind (truncation, mostly) touch at most two stripes so. DAOS does the same, later, when it folds.
 */
import { EPOCH_NONE } from "../../../src/base/epoch.ts";
import type { ShardPart } from "../../../src/contracts/redundancy.ts";
import { coveredBytes } from "../extents.ts";
import { type Steps, together } from "../plan.ts";
import type { StripeRange } from "./geometry.ts";
import { readArray } from "./read-plan.ts";
import { corrupt, type Group, parityEpoch, parityRead } from "./stripe-state.ts";
import { droppedParity, hiddenReplicas } from "./write-plan.ts";

const NO_VIEWS: readonly Uint8Array[] = [];

export function* punchArray(
  group: Group,
  address: number,
  length: number,
  leader: number,
  alive: readonly number[],
): Steps<readonly ShardPart[]> {
  const { geometry } = group;
  if (length === 0) return [];
  const parts: ShardPart[] = [];
  for (const shard of geometry.dataList) {
    const from = geometry.localAddress(shard, address);
    const to = geometry.localAddress(shard, address + length);
    if (from === to) continue;
    parts.push({ shard, kind: "punch", holds: "data", address: from, length: to - from, views: NO_VIEWS });
  }
  const { fullFrom, fullTo, partial } = geometry.split(address, length);
  if (fullTo > fullFrom) {
    for (const shard of geometry.parityList) {
      parts.push(droppedParity(geometry, shard, fullFrom, fullTo), hiddenReplicas(geometry, shard, fullFrom, fullTo));
    }
  }
  const ends = yield* together(partial.map((range) => punchPartOfStripe(group, range, leader, alive)));
  return [...parts, ...ends.flat()];
}

function* punchPartOfStripe(
  group: Group,
  range: StripeRange,
  leader: number,
  alive: readonly number[],
): Steps<readonly ShardPart[]> {
  const { geometry } = group;
  const { stripe, start, end } = range;
  const parts = geometry.parityList.map((shard): ShardPart => {
    const address = geometry.replicaAddress(stripe, start);
    return { shard, kind: "punch", holds: "replica", address, length: end - start, views: NO_VIEWS };
  });
  if (leader < geometry.dataShards) return parts;
  const probe = { stripe, low: 0, high: 1 };
  const results = yield [parityRead(geometry, leader, probe, EPOCH_NONE)];
  if (parityEpoch(results[0]!, probe) === EPOCH_NONE) return parts;
  const kept = [
    { start: 0, end: start },
    { start: end, end: geometry.stripeBytes },
  ].filter((run) => run.start < run.end);
  const base = stripe * geometry.stripeBytes;
  const contents = yield* together(
    kept.map((run) => readArray(group, base + run.start, run.end - run.start, EPOCH_NONE, alive)),
  );
  const copies = geometry.parityList.flatMap((shard) => {
    const replicas = kept.map((run, index): ShardPart => {
      const { bytes, extents } = contents[index]!;
      const length = run.end - run.start;
      if (coveredBytes(extents) !== length) throw corrupt(range, "it has parity, and holes");
      const address = geometry.replicaAddress(stripe, run.start);
      return { shard, kind: "write", holds: "replica", address, length, views: [bytes] };
    });
    return [droppedParity(geometry, shard, stripe, stripe + 1), ...replicas];
  });
  return [...parts, ...copies];
}
