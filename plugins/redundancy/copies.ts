/**
 * A group whose shards each hold everything: one shard for the S classes, several for the RP classes. Addresses on a shard
 * are the array's own, single values are stored as they are, and there is nothing to fold.
 */
import { assert } from "../../src/base/assert.ts";
import { DaosError } from "../../src/base/errors.ts";
import { EPOCH_NONE, type Epoch } from "../../src/base/epoch.ts";
import { joinRuns } from "../../src/base/extent-runs.ts";
import { MAX_ARRAY_BYTES } from "../../src/base/limits.ts";
import type {
  ArrayContent,
  EpochPart,
  RedundancyScheme,
  ShardPart,
  ShardRead,
  ValueContent,
} from "../../src/contracts/redundancy.ts";
import { runAt } from "./epoch-part.ts";
import { joinNeighbours, newestEpoch, NO_BYTES } from "./extents.ts";
import { type Steps, single, steppedPlan } from "./plan.ts";

export function copiesScheme(redundancy: string, shardCount: number): RedundancyScheme {
  assert(shardCount > 0, "a group has shards");
  const shards = Array.from({ length: shardCount }, (_, index) => index);
  const onEach = (part: Omit<ShardPart, "shard">): ShardPart[] => shards.map((shard) => ({ ...part, shard }));
  return {
    redundancy,
    shardCount,
    dataShards: 1,
    toleratedFailures: shardCount - 1,
    leastShardsToWrite: 1,
    leastShardsToRead: 1,
    stripeBytes: 0,
    maxArrayBytes: MAX_ARRAY_BYTES,
    leader(alive) {
      const first = alive[0];
      if (first !== undefined) return first;
      const state = shardCount === 1 ? "the group's only shard is down" : "all shards of the group are down";
      throw new DaosError("UNAVAILABLE", `Cannot order updates: ${state}. Bring an engine of it back.`);
    },
    planWrite(address, length, bytes) {
      checkRange(address, length);
      return length === 0 ? [] : onEach({ kind: "write", holds: "copy", address, length, views: viewsOf(bytes) });
    },
    planValue: (length, bytes) => onEach({ kind: "value", holds: "copy", address: 0, length, views: viewsOf(bytes) }),
    planPunch: (_address, _length, alive) => (alive.length === 0 ? undefined : steppedPlan(done([]))),
    punchParts(address, length) {
      const cut = Math.max(0, Math.min(length, MAX_ARRAY_BYTES - address));
      return cut === 0 ? [] : onEach({ kind: "punch", holds: "copy", address, length: cut, views: [] });
    },
    planRead(address, length, epoch, alive) {
      checkRange(address, length);
      return alive.length === 0 ? undefined : steppedPlan(readArray(alive[0]!, address, length, epoch));
    },
    planValueRead: (epoch, alive) => (alive.length === 0 ? undefined : steppedPlan(readValue(alive[0]!, epoch))),
    extentShards: (alive) => (alive.length === 0 ? undefined : alive.slice(0, 1)),
    addressSpaces: (_shard, from = 0) => [{ start: from, end: MAX_ARRAY_BYTES }],
    footprint: (_shard, address, length) => (length === 0 ? [] : [{ start: address, end: address + length }]),
    arrayExtents: (_shard, extents) => joinRuns(extents),
    stripesToFold: () => [],
    planFold: (_stripe, _epoch, alive) =>
      alive.length === 0 ? undefined : steppedPlan(done({ epoch: EPOCH_NONE, parts: [] })),
    planRebuild: (lost, address, length, epoch, alive) =>
      alive.length === 0 ? undefined : steppedPlan(rebuildArray(lost, alive[0]!, address, length, epoch)),
    planValueRebuild: (lost, epoch, alive) =>
      alive.length === 0 ? undefined : steppedPlan(rebuildValue(lost, alive[0]!, epoch)),
  };
}

function checkRange(address: number, length: number): void {
  if (address + length <= MAX_ARRAY_BYTES) return;
  const state = `an array has at most ${MAX_ARRAY_BYTES}`;
  throw new DaosError("TOO_LARGE", `Cannot use bytes up to ${address + length}: ${state}. Use more dkeys.`);
}

function viewsOf(bytes: Uint8Array | undefined): readonly Uint8Array[] {
  return bytes === undefined ? [] : [bytes];
}

// eslint-disable-next-line require-yield
function* done<Result>(result: Result): Steps<Result> {
  return result;
}

function readOf(shard: number, kind: ShardRead["kind"], address: number, length: number, epoch: Epoch): ShardRead {
  return { shard, kind, address, length, epoch, orNextReadable: false };
}

function* readArray(shard: number, address: number, length: number, epoch: Epoch): Steps<ArrayContent> {
  if (length === 0) return { bytes: NO_BYTES, extents: [], epoch: EPOCH_NONE };
  const { bytes, extents } = yield* single(readOf(shard, "array", address, length, epoch));
  if (extents.length === 0) return { bytes: NO_BYTES, extents, epoch: EPOCH_NONE };
  return { bytes, extents: joinNeighbours(extents), epoch: newestEpoch(extents) };
}

function* readValue(shard: number, epoch: Epoch): Steps<ValueContent | "absent"> {
  const { bytes, extents } = yield* single(readOf(shard, "value", 0, 0, epoch));
  return extents[0] === undefined ? "absent" : { bytes, epoch: extents[0].epoch };
}

function* rebuildArray(
  lost: number,
  source: number,
  address: number,
  length: number,
  epoch: Epoch,
): Steps<readonly EpochPart[]> {
  if (length === 0) return [];
  const { bytes, extents } = yield* single(readOf(source, "array", address, length, epoch));
  return runAt(lost, "copy", address, length, bytes, extents, epoch);
}

function* rebuildValue(lost: number, source: number, epoch: Epoch): Steps<readonly EpochPart[]> {
  const { bytes, extents } = yield* single(readOf(source, "value", 0, 0, epoch));
  const extent = extents[0];
  if (extent === undefined) return [];
  const { length } = bytes;
  const part = { shard: lost, kind: "value", holds: "copy", address: 0, length, views: [bytes] } as const;
  return [{ ...part, epoch: extent.epoch }];
}
