/**
 * Punches of array bytes. Whole stripes lose cells, parity and replicas at once. A stripe that is punched in part and has
 * parity is turned into replicas: parity cannot say what is a hole. That is the one update that reads first; the others of
 * its kind (truncation, mostly) touch at most two stripes so. DAOS does the same, later, when it folds.
 */
import { EPOCH_NONE } from "../../../src/base/epoch.ts";
import type { ArrayRun } from "../../../src/base/extent-runs.ts";
import type { ShardPart } from "../../../src/contracts/redundancy.ts";
import { coveredBytes } from "../extents.ts";
import { type Steps, together } from "../plan.ts";
import type { Geometry, StripeRange } from "./geometry.ts";
import { readArray } from "./read-plan.ts";
import { corrupt, type Group, parityEpoch, parityRead } from "./stripe-state.ts";
import { droppedParity, hiddenReplicas } from "./write-plan.ts";

const NO_VIEWS: readonly Uint8Array[] = [];

/** What of the stripes at the ends is to be written anew: the rest of those with parity. */
export function* restOfPunch(
  group: Group,
  address: number,
  length: number,
  leader: number,
  alive: readonly number[],
): Steps<readonly ArrayRun[]> {
  const { geometry } = group;
  // Without parity shards nobody has parity.
  if (length === 0 || leader < geometry.dataShards) return [];
  const { partial } = geometry.split(address, length);
  const ends = yield* together(partial.map((range) => restOfStripe(group, range, leader, alive)));
  return ends.flat();
}

function* restOfStripe(
  group: Group,
  range: StripeRange,
  leader: number,
  alive: readonly number[],
): Steps<readonly ArrayRun[]> {
  const { geometry } = group;
  const { stripe, start, end } = range;
  const probe = { stripe, low: 0, high: 1 };
  const results = yield [parityRead(geometry, leader, probe, EPOCH_NONE)];
  if (parityEpoch(results[0]!, probe) === EPOCH_NONE) return [];
  const base = stripe * geometry.stripeBytes;
  const kept = [
    { start: 0, end: start },
    { start: end, end: geometry.stripeBytes },
  ].filter((run) => run.start < run.end);
  const contents = yield* together(
    kept.map((run) => readArray(group, base + run.start, run.end - run.start, EPOCH_NONE, alive)),
  );
  return kept.map((run, index) => {
    const { bytes, extents } = contents[index]!;
    if (coveredBytes(extents) !== run.end - run.start) throw corrupt(range, "it has parity, and holes");
    return { address: base + run.start, bytes };
  });
}

/** The parts of a punch; `rest`: of stripes that it punches in part, what is written anew as replicas, without parity. */
export function punchParts(
  geometry: Geometry,
  address: number,
  length: number,
  rest: readonly ArrayRun[],
): readonly ShardPart[] {
  if (length === 0) return [];
  const parts: ShardPart[] = [];
  for (const shard of geometry.dataList) {
    const from = geometry.localAddress(shard, address);
    const to = geometry.localAddress(shard, address + length);
    if (from === to) continue;
    parts.push({ shard, kind: "punch", holds: "data", address: from, length: to - from, views: NO_VIEWS });
  }
  const { fullFrom, fullTo, partial } = geometry.split(address, length);
  for (const shard of geometry.parityList) {
    if (fullTo > fullFrom) {
      parts.push(droppedParity(geometry, shard, fullFrom, fullTo), hiddenReplicas(geometry, shard, fullFrom, fullTo));
    }
    for (const range of partial) parts.push(...punchedReplicas(geometry, shard, range, rest));
  }
  return parts;
}

function punchedReplicas(
  geometry: Geometry,
  shard: number,
  { stripe, start, end }: StripeRange,
  rest: readonly ArrayRun[],
): ShardPart[] {
  const from = geometry.replicaAddress(stripe, start);
  const punched: ShardPart = {
    shard,
    kind: "punch",
    holds: "replica",
    address: from,
    length: end - start,
    views: NO_VIEWS,
  };
  const base = stripe * geometry.stripeBytes;
  const runs = rest.filter((run) => run.address >= base && run.address < base + geometry.stripeBytes);
  if (runs.length === 0) return [punched];
  const replicas = runs.map((run): ShardPart => {
    const at = geometry.replicaAddress(stripe, run.address - base);
    return { shard, kind: "write", holds: "replica", address: at, length: run.bytes.length, views: [run.bytes] };
  });
  return [punched, droppedParity(geometry, shard, stripe, stripe + 1), ...replicas];
}
