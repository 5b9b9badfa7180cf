/**
 * How far we trust ourselves to be on time (Dadgar et al. 2018, section IV-A): signs that it is us who are slow, such as
 * probes that fail without a word of those who help, raise the score; answers in time lower it. A score stretches our
 * waits.
 */
export class LocalHealth {
  readonly #max: number;
  #score = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** What waits and periods are multiplied with, at least 1. */
  get factor(): number {
    return this.#score + 1;
  }

  worse(by: number): void {
    this.#score = Math.min(this.#max, this.#score + by);
  }

  better(): void {
    if (this.#score > 0) this.#score -= 1;
  }
}
