/**
 * Whether something usually happens within a limit: a moving average of how long it took. Where it does not, one time in
 * RECHECK_EVERY is called expected all the same, to see whether the medium became quick.
 */
const RECHECK_EVERY = 64;
const SAMPLE_WEIGHT = 1 / 8;
/** One sample counts at most this many limits, so that a single hiccup changes little. */
const MOST_LIMITS = 4;

export class GapEstimate {
  readonly #limitNs: number;
  #averageNs = 0;
  #sinceCheck = 0;

  constructor(limitNs: number) {
    this.#limitNs = limitNs;
  }

  isExpected(): boolean {
    if (this.#averageNs < this.#limitNs) return true;
    this.#sinceCheck += 1;
    if (this.#sinceCheck < RECHECK_EVERY) return false;
    this.#sinceCheck = 0;
    return true;
  }

  sample(gapNs: number): void {
    // Quick again: what was learnt while it was slow does not count.
    if (this.#averageNs >= this.#limitNs && gapNs < this.#limitNs) this.#averageNs = gapNs;
    else this.#averageNs += (Math.min(gapNs, MOST_LIMITS * this.#limitNs) - this.#averageNs) * SAMPLE_WEIGHT;
  }
}
