/**
 * What time it is where a client's requests are served, as far as the client can know without trusting its own wall clock: the
 * newest epoch that it has heard, and the time that it has measured since. It is never ahead, as long as no monotonic clock is fast
 * by MAX_FAST.
 */
import type { Epoch, HybridLogicalClock } from "../base/epoch.ts";
import type { Clock } from "../contracts/world.ts";

/** By how much the monotonic clock may be too fast. */
const MAX_FAST = 0.01;

export class ServedTime {
  readonly #clock: HybridLogicalClock;
  readonly #monotonic: Pick<Clock, "monotonicNs">;
  /** The newest epoch that was ahead of what was measured, and when that was. */
  #heard = 0;
  #heardNs = 0;

  /** `clock`: that of all connections on which the requests go. */
  constructor(clock: HybridLogicalClock, monotonic: Pick<Clock, "monotonicNs">) {
    this.#clock = clock;
    this.#monotonic = monotonic;
  }

  /** An epoch that no later message of ours is behind. */
  now(): Epoch {
    const nowNs = this.#monotonic.monotonicNs();
    const { latest } = this.#clock;
    const measured = this.#heard + Math.floor(((nowNs - this.#heardNs) / 1_000) * (1 - MAX_FAST));
    if (latest < measured) {
      this.#clock.restore(measured as Epoch);
      return measured as Epoch;
    }
    this.#heard = latest;
    this.#heardNs = nowNs;
    return latest;
  }
}
