/** Carries out a plan of the redundancy contract: its reads, round by round. */
import type { Plan, ShardRead, ShardReadResult } from "../contracts/redundancy.ts";

/** Does one read of a plan, after those of the same shard that were begun before. Rejects when the shard does not answer, or cannot show what is asked for. */
export type ReadShard = (read: ShardRead) => Promise<ShardReadResult>;

/** The plan's result. Rejects as `readShard` and Plan.take do; no read is still on its way then. */
export async function runPlan<Result>(plan: Plan<Result>, readShard: ReadShard): Promise<Result> {
  for (;;) {
    const reads = plan.next();
    if (reads.length === 0) return plan.result!;
    const outcomes = await Promise.allSettled(reads.map(readShard));
    plan.take(outcomes.map(resultOf));
  }
}

function resultOf(outcome: PromiseSettledResult<ShardReadResult>): ShardReadResult {
  if (outcome.status === "fulfilled") return outcome.value;
  throw outcome.reason;
}
