/** The cluster's clock as one node reads it: its wall clock is off by `skewMs`. */
import { SimulatedClock } from "../clock.ts";

export class NodeClock extends SimulatedClock {
  skewMs = 0;
  readonly #base: SimulatedClock;

  constructor(base: SimulatedClock) {
    super();
    this.#base = base;
  }

  override wallMs(): number {
    return this.#base.wallMs() + this.skewMs;
  }

  override monotonicNs(): number {
    return this.#base.monotonicNs();
  }

  override advance(deltaNs: number): void {
    this.#base.advance(deltaNs);
  }
}
