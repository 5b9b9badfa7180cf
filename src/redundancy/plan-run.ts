/**
 * Carries out a plan of the redundancy contract: its reads, round by round. What the shards gave is held against its checksums
 * once the plan has made its result of it: bytes that are good then were good while they were put together or computed with.
 */
import { crc32 } from "../base/checksum.ts";
import { damagedAfterStore } from "../base/damage.ts";
import type { Plan, ShardRead, ShardReadResult } from "../contracts/redundancy.ts";

/** Does one read of a plan, after those of the same shard that were begun before. Rejects when the shard does not answer, or cannot show what is asked for. */
export type ReadShard = (read: ShardRead) => Promise<ShardReadResult>;

/** The plan's result. Rejects as `readShard` and Plan.take do, and with CORRUPT; no read is still on its way then. */
export async function runPlan<Result>(plan: Plan<Result>, readShard: ReadShard): Promise<Result> {
  const taken: ShardReadResult[] = [];
  for (let reads = plan.next(); reads.length > 0; reads = plan.next()) {
    const outcomes = await Promise.allSettled(reads.map(readShard));
    const results = outcomes.map(resultOf);
    taken.push(...results);
    plan.take(results);
  }
  if (!taken.every(isGood)) throw damagedAfterStore("when its shards were put together");
  return plan.result!;
}

function isGood({ bytes, checksum }: ShardReadResult): boolean {
  return checksum === undefined || crc32(bytes) === checksum;
}

function resultOf(outcome: PromiseSettledResult<ShardReadResult>): ShardReadResult {
  if (outcome.status === "fulfilled") return outcome.value;
  throw outcome.reason;
}
