/**
 * Which of two ways of writing is the quicker one, by measured latency: a moving average of each. The slower one is tried
 * again now and then, since what slows it down (a busy processor, another program on the disk) may pass.
 */

const SAMPLE_WEIGHT = 1 / 8;
const RECHECK_EVERY = 128;
/** One sample counts at most this much, so that a single hiccup changes little, nanoseconds. */
const MAX_SAMPLE_NS = 10_000_000;

/** 0 or 1: the first way or the second. */
export type Path = 0 | 1;

export class PathChoice {
  /** By path, nanoseconds; 0 before the first sample. */
  readonly #averagesNs: [number, number] = [0, 0];
  #sinceCheck = 0;

  /** The way to take now. Tell `finished` how long it took. */
  pick(): Path {
    const [first, second] = this.#averagesNs;
    const quicker = first <= second ? 0 : 1;
    this.#sinceCheck += 1;
    if (this.#sinceCheck < RECHECK_EVERY) return quicker;
    this.#sinceCheck = 0;
    return quicker === 0 ? 1 : 0;
  }

  finished(path: Path, tookNs: number): void {
    const sampleNs = Math.min(tookNs, MAX_SAMPLE_NS);
    const averageNs = this.#averagesNs[path];
    this.#averagesNs[path] = averageNs + (sampleNs - averageNs) * (averageNs === 0 ? 1 : SAMPLE_WEIGHT);
  }
}
