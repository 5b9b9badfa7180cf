/**
 * The clocks of one node: its wall clock is off by `skewMs` and drifts away; its monotonic clock, which nobody sets, runs a
 * little faster or slower than the common one.
 */
import { SimulatedClock } from "../clock.ts";

export class NodeClock extends SimulatedClock {
  skewMs = 0;
  /** Parts per million by which the wall clock runs too fast. */
  driftPpm = 0;
  /** Parts per million by which the monotonic clock runs too fast. */
  ratePpm = 0;
  readonly #base: SimulatedClock;

  constructor(base: SimulatedClock) {
    super();
    this.#base = base;
  }

  /** How far the wall clock is ahead of the common one now. */
  get aheadMs(): number {
    return this.skewMs + (this.#base.monotonicNs() / 1e6) * this.driftPpm * 1e-6;
  }

  override wallMs(): number {
    return this.#base.wallMs() + this.aheadMs;
  }

  override monotonicNs(): number {
    return Math.floor(this.#base.monotonicNs() * (1 + this.ratePpm * 1e-6));
  }

  override advance(deltaNs: number): void {
    this.#base.advance(deltaNs);
  }
}
