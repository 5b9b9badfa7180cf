/**
 * What the shards of an erasure-coded dkey hold in the end: whichever of them are left out, as many as the class may lose, the
 * others show the same.
 */
import { EPOCH_NONE } from "../../../src/base/epoch.ts";
import { DaosError } from "../../../src/base/errors.ts";
import type { RedundancyScheme, ShardRead, ShardReadResult } from "../../../src/contracts/redundancy.ts";
import { NO_REQUEST_ID, ObjectFlag } from "../../../src/format/object-request.ts";
import type { Placement } from "../../../src/placement/placement.ts";
import { runPlan } from "../../../src/redundancy/plan-run.ts";
import { redundancyGroup } from "../../../src/redundancy/redundancy-group.ts";
import { choices } from "../shard-choices.ts";
import { akeyOfValue, ARRAY_AKEY, type Subject } from "./client.ts";
import { idOfValue, idsOfRecords } from "./content.ts";
import { RECORD_COUNT, VALUE_COUNT } from "./history.ts";
import { type ClusterNode, CONTAINER, SCHEMES, SERVED } from "./node.ts";

/** Throws when two choices of shards differ. */
export async function checkShards(
  subject: Subject,
  placement: Placement,
  nodes: readonly ClusterNode[],
): Promise<void> {
  const { word, alive, targets } = redundancyGroup(placement, subject.oid, subject.dkey).shards!;
  const scheme = SCHEMES.of(word, SERVED.cellBytes);
  const shown = new Map<string, string>();
  const leastShards = scheme.leastShardsToRead;
  const whole = alive.length >= leastShards ? [alive] : [];
  for (const shards of [...whole, ...choices(alive, leastShards)]) {
    const content = await contentOf(subject, scheme, shards, (shard) => nodes[targets[shard]!]!);
    if (content !== undefined) shown.set(content, shards.join(","));
  }
  if (shown.size === 1) return;
  const text = [...shown].map(([content, shards]) => `shards ${shards}: ${content}`).join("; ");
  throw new Error(`shards of ${subject.name} do not show the same: ${text || "nothing can be read"}`);
}

/** Undefined when it rests on what has rotted. */
async function contentOf(
  { oid, dkey, recordBytes }: Subject,
  scheme: RedundancyScheme,
  shards: readonly number[],
  nodeOf: (shard: number) => ClusterNode,
): Promise<string | undefined> {
  const read = async (akey: Subject["dkey"], { shard, kind, ...what }: ShardRead): Promise<ShardReadResult> => {
    const { objects } = nodeOf(shard).life!;
    const flags = (what.orNextReadable ? ObjectFlag.orNextReadable : 0) | ObjectFlag.epochIsSeen;
    const request = { ...NO_REQUEST_ID, oid, dkey, akey, epoch: what.epoch, flags };
    return kind === "value"
      ? objects.readShardValue(CONTAINER, request)
      : objects.readShardArray(CONTAINER, request, { address: what.address, length: what.length });
  };
  try {
    const parts: (number | string)[] = [];
    for (let at = 0; at < VALUE_COUNT; at += 1) {
      const plan = scheme.planValueRead(EPOCH_NONE, shards)!;
      const value = await runPlan(plan, (wanted) => read(akeyOfValue(at), wanted));
      parts.push(value === "absent" ? 0 : idOfValue(value.bytes));
    }
    const plan = scheme.planRead(0, RECORD_COUNT * recordBytes, EPOCH_NONE, shards)!;
    const { bytes, extents } = await runPlan(plan, (wanted) => read(ARRAY_AKEY, wanted));
    const found = extents.length === 0 ? undefined : bytes;
    return [...parts, ...idsOfRecords(found, RECORD_COUNT, recordBytes)].join(" ");
  } catch (error) {
    const hasRot = shards.some((shard) => nodeOf(shard).isRotten);
    if (hasRot && error instanceof DaosError && error.code === "CORRUPT") return undefined;
    throw error;
  }
}
