/**
 * Plans written as generators: each `yield` gives the reads of one round and comes back with their results. What several
 * plans ask for in the same round can be asked for together.
 */
import { assert } from "../../src/base/assert.ts";
import type { Plan, ShardRead, ShardReadResult } from "../../src/contracts/redundancy.ts";

export type Steps<Result> = Generator<readonly ShardRead[], Result, readonly ShardReadResult[]>;

const NO_READS: readonly ShardRead[] = [];

class SteppedPlan<Result> implements Plan<Result> {
  readonly #steps: Steps<Result>;
  #reads = NO_READS;
  #result: Result | undefined;

  constructor(steps: Steps<Result>) {
    this.#steps = steps;
    this.#accept(steps.next());
  }

  next(): readonly ShardRead[] {
    return this.#reads;
  }

  take(results: readonly ShardReadResult[]): void {
    assert(this.#reads.length > 0, "a plan that is done takes nothing");
    assert(results.length === this.#reads.length, "each read has its result");
    this.#accept(this.#steps.next(results));
  }

  get result(): Result | undefined {
    return this.#result;
  }

  #accept(step: IteratorResult<readonly ShardRead[], Result>): void {
    this.#reads = step.done === true ? NO_READS : step.value;
    if (step.done === true) this.#result = step.value;
    else assert(step.value.length > 0, "a round has reads");
  }
}

/** Runs up to the first round of reads. */
export function steppedPlan<Result>(steps: Steps<Result>): Plan<Result> {
  return new SteppedPlan(steps);
}

/** Runs all at once, round by round; their results in order. */
export function* together<Result>(all: readonly Steps<Result>[]): Steps<Result[]> {
  const states = all.map((steps) => ({ steps, step: steps.next() }));
  for (;;) {
    const open = states.filter(({ step }) => step.done !== true);
    if (open.length === 0) break;
    const results = yield open.flatMap(({ step }) => step.value as readonly ShardRead[]);
    let at = 0;
    for (const state of open) {
      const count = (state.step.value as readonly ShardRead[]).length;
      state.step = state.steps.next(results.slice(at, at + count));
      at += count;
    }
  }
  return states.map(({ step }) => step.value as Result);
}

/** One read that stands for a round of its own. */
export function* single(read: ShardRead): Steps<ShardReadResult> {
  return (yield [read])[0]!;
}
