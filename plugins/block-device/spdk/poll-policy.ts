/**
 * Whether the thread should go on looking at its ring or sleep until the back-end interrupts: a wake-up costs 10 to 20 us,
 * so waiting for a quick device is done by polling; one that takes longer than `pollUs` on average is slept for. The
 * average is of the gaps between completions while something is in flight, measured either way, so a change is noticed.
 */
const SAMPLE_WEIGHT = 1 / 8;
/** One sample counts at most this many times the limit, so that a single hiccup changes nothing. */
const MAX_SAMPLE_FACTOR = 2;
/** Polling ends after this many times the limit without a completion. */
const PATIENCE_FACTOR = 2;

export class PollPolicy {
  readonly #limitNs: number;
  #averageNs = 0;
  #sinceNs = 0;
  #lastWaitNs = 0;

  /** `pollUs` 0: never poll. */
  constructor(pollUs: number) {
    this.#limitNs = pollUs * 1000;
  }

  /** From the last completion, or the first request after none, to the newest completion. */
  get lastWaitNs(): number {
    return this.#lastWaitNs;
  }

  /** Something is in flight after nothing was. */
  started(nowNs: number): void {
    this.#sinceNs = nowNs;
  }

  completed(nowNs: number): void {
    this.#lastWaitNs = nowNs - this.#sinceNs;
    const sampleNs = Math.min(this.#lastWaitNs, MAX_SAMPLE_FACTOR * this.#limitNs);
    this.#averageNs += (sampleNs - this.#averageNs) * SAMPLE_WEIGHT;
    this.#sinceNs = nowNs;
  }

  /** Nothing has completed just now: look again in the next turn? */
  polls(nowNs: number): boolean {
    return this.#averageNs < this.#limitNs && nowNs - this.#sinceNs < PATIENCE_FACTOR * this.#limitNs;
  }
}
