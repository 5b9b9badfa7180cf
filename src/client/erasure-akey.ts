/**
 * Plans of reads of one erasure-coded akey, carried out until one succeeds: without the shards that do not answer or are
 * damaged, again when shards changed meanwhile, and, while too few are left, until the session's retry window is over.
 */
import type { AkeyPlace } from "../base/key-place.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import type { Plan, RedundancyScheme } from "../contracts/redundancy.ts";
import type { Placement } from "../placement/placement.ts";
import { redundancyGroup } from "../redundancy/redundancy-group.ts";
import type { ContainerSession } from "./container-session.ts";
import { placementChanged } from "./object-targets.ts";
import type { Retry } from "./retry.ts";
import { ShardRound } from "./shard-round.ts";

/**
 * Makes the plan for these shards; undefined: they are too few. `isSecond`: another plan of the same read is under way, and may be
 * writing to memory of the caller's.
 */
export type PlanMaker<Result> = (
  scheme: RedundancyScheme,
  epoch: Epoch,
  alive: readonly number[],
  isSecond: boolean,
) => Plan<Result> | undefined;

export interface PlannedRead<Result> {
  readonly result: Result;
  readonly round: ShardRound;
}

interface SecondPlan<Result> {
  readonly plan: Plan<Result>;
  readonly round: ShardRound;
}

/**
 * Runs the plan, and, when a shard is late, the one without it as well, if there is one: what the first of them gives that
 * succeeds. When none does, rejects as the first one did.
 */
async function firstOfTwo<Result>(
  round: ShardRound,
  plan: Plan<Result>,
  without: (late: ReadonlySet<number>) => SecondPlan<Result> | undefined,
): Promise<PlannedRead<Result>> {
  const running = round.run(plan).then((result) => ({ result, round }));
  const ended = running.then(
    () => {},
    () => {},
  );
  await Promise.race([ended, round.untilLate]);
  const second = round.late.size === 0 ? undefined : without(round.late);
  if (second === undefined) return running;
  const other = second.round.run(second.plan).then((result) => ({ result, round: second.round }));
  try {
    const done = await Promise.any([running, other]);
    (done.round === round ? second.round : round).abandon();
    return done;
  } catch {
    return running;
  }
}

export class ErasureAkey {
  readonly #session: ContainerSession;
  readonly #place: AkeyPlace;
  readonly #signal: AbortSignal | undefined;
  readonly #retry: Retry;
  readonly #lost = new Map<number, DaosError>();
  #placement: Placement;
  #wasUnfit = false;

  constructor(session: ContainerSession, place: AkeyPlace, signal: AbortSignal | undefined) {
    this.#session = session;
    this.#place = place;
    this.#signal = signal;
    this.#retry = session.newRetry(signal);
    this.#placement = session.placement;
  }

  /**
   * What one moment shows. `asked`: EPOCH_NONE for the latest. Rejects with UNAVAILABLE when too few shards answer, CORRUPT
   * when too many are damaged, UNSUPPORTED without the class's plugin, EPOCH_AGGREGATED, and as plans do.
   */
  async read<Result>(asked: Epoch, planOf: PlanMaker<Result>): Promise<PlannedRead<Result>> {
    let epoch = asked;
    for (;;) {
      this.#placement = this.#session.placement;
      const { oid, dkey } = this.#place;
      const shards = redundancyGroup(this.#placement, oid, dkey).shards!;
      const scheme = this.#session.schemeOf(shards.word);
      const parts = { session: this.#session, place: this.#place, shards, asked, signal: this.#signal };
      let round = new ShardRound(parts);
      try {
        const left = shards.alive.filter((shard) => !this.#lost.has(shard));
        const inTime = left.filter((shard) => !this.#session.isLate(shards.targets[shard]!));
        let plan = planOf(scheme, epoch, inTime, false);
        if (plan === undefined && inTime.length < left.length) plan = planOf(scheme, epoch, left, false);
        if (plan === undefined) throw this.#tooFew(shards.alive, scheme);
        const without = (late: ReadonlySet<number>): SecondPlan<Result> | undefined => {
          const others = left.filter((shard) => !late.has(shard));
          const second = planOf(scheme, epoch, others, true);
          return second === undefined ? undefined : { plan: second, round: new ShardRound(parts) };
        };
        const done = await firstOfTwo(round, plan, without);
        round = done.round;
        const { result } = done;
        if (this.#session.placement !== this.#placement) throw placementChanged();
        if (epoch !== EPOCH_NONE || round.isConsistent) return { result, round };
        epoch = round.newest;
      } catch (error) {
        if (round.lost.size > 0) {
          for (const [shard, cause] of round.lost) this.#lost.set(shard, cause);
          continue;
        }
        await this.#failed(error, epoch !== asked);
        epoch = asked;
      }
    }
  }

  /** Resolves when it may be tried again. `isOwnEpoch`: nobody asked for the epoch that was read. */
  async #failed(error: unknown, isOwnEpoch: boolean): Promise<void> {
    if (hasCode(error, "CONFLICT") || (isOwnEpoch && hasCode(error, "EPOCH_AGGREGATED"))) {
      await this.#retry.afterFailure(unsettled(error), "refused");
      return;
    }
    // Shards that are read at different moments may not fit together; if it is damage, it is there again.
    if (hasCode(error, "CORRUPT") && !this.#wasUnfit) {
      this.#wasUnfit = true;
      return;
    }
    await this.#retry.afterFailure(error, "refused");
    this.#lost.clear();
    if (error instanceof DaosError) await this.#session.renew(this.#placement, error, this.#signal);
  }

  #tooFew(alive: readonly number[], scheme: RedundancyScheme): DaosError {
    const { redundancy, leastShardsToRead: least, toleratedFailures } = scheme;
    const damaged = alive.filter((shard) => hasCode(this.#lost.get(shard), "CORRUPT"));
    const cause = [...this.#lost.values()].at(-1);
    const isDamaged = damaged.length > 0 && alive.length - damaged.length < least;
    if (isDamaged) {
      const state = `${damaged.length} of its shards are damaged, ${redundancy} survives the loss of ${toleratedFailures}`;
      return new DaosError("CORRUPT", `Cannot read the object: ${state}. Restore it from a copy.`, { cause });
    }
    const left = alive.length - this.#lost.size;
    const state = `${left} of its shards answer, ${least} are needed`;
    return new DaosError("UNAVAILABLE", `Cannot read the object: ${state}. Retry when an engine is back.`, { cause });
  }
}

function unsettled(cause: DaosError): DaosError {
  const state = "its shards changed while they were read";
  return new DaosError("UNAVAILABLE", `Cannot read the object: ${state}. Retry.`, { cause });
}
