/**
 * Whether to wait for a lone request right where it is submitted. The detour over the event loop costs more than a quick
 * device takes; and a caller that has its answer at once asks the next thing before the back-end falls asleep. Only after a
 * run of requests that had no company, within a budget until the event loop has had its turn, and not again for a while
 * when it was in vain.
 */

/** A wait of this length covers the waking of a back-end, nanoseconds. */
export const SPIN_NS = 30_000;
/** All waits until the event loop has its turn, nanoseconds; the last one may go over it. */
export const SPIN_BUDGET_NS = 50_000;
/** Lone requests that go at once until other events get their turn. */
export const LONE_PER_TURN = 16;
/** So many requests must have been alone, one after another. */
const LEAST_STREAK = 4;
/** After a wait in vain, so many more; twice as many each time until one was not. */
const LEAST_PENALTY = 2;
const MOST_PENALTY = 256;

export class SpinPolicy {
  readonly #enabled: boolean;
  /** Lone requests since the last one that had company, less the penalty. */
  #streak = 0;
  #penalty = LEAST_PENALTY;
  #left = LONE_PER_TURN;
  #budgetNs = SPIN_BUDGET_NS;

  constructor(enabled: boolean) {
    this.#enabled = enabled;
  }

  /** A request was submitted while another was in flight. */
  company(): void {
    this.#streak = 0;
  }

  /** A lone request comes: nanoseconds to wait for it once it is submitted, 0 for none; -1: submit it in the next turn. */
  lone(): number {
    this.#streak += 1;
    if (this.#left === 0 || this.#budgetNs <= 0) return -1;
    this.#left -= 1;
    return this.#enabled && this.#streak > LEAST_STREAK ? SPIN_NS : 0;
  }

  /** The wait that `lone` asked for took so long, and brought something or was in vain. */
  waited(tookNs: number, inVain: boolean): void {
    this.#budgetNs -= tookNs;
    if (!inVain) {
      this.#penalty = LEAST_PENALTY;
      return;
    }
    this.#streak = -this.#penalty;
    this.#penalty = Math.min(2 * this.#penalty, MOST_PENALTY);
  }

  /** The event loop had its turn. */
  turned(): void {
    this.#left = LONE_PER_TURN;
    this.#budgetNs = SPIN_BUDGET_NS;
  }
}
