/**
 * The real clock. Wall time has microsecond steps although the runtime's `Date.now` has milliseconds: the fraction comes
 * from the monotonic timer and is pulled back into the millisecond that `Date.now` shows, so that it follows every
 * correction of the system's clock and is never more than a millisecond away from it.
 */
import type { Clock } from "../contracts/world.ts";

export class RealClock implements Clock {
  /** Wall time minus monotonic time, milliseconds. */
  #offsetMs = Date.now() - performance.now();
  #lastMs = 0;

  wallMs(): number {
    const coarseMs = Date.now();
    const fineMs = this.#offsetMs + performance.now();
    if (fineMs >= coarseMs && fineMs < coarseMs + 1) return (this.#lastMs = fineMs);
    const lastHolds = this.#lastMs >= coarseMs && this.#lastMs < coarseMs + 1;
    const nearestMs = fineMs < coarseMs ? coarseMs : coarseMs + 0.999;
    const wantedMs = lastHolds ? Math.max(nearestMs, this.#lastMs) : nearestMs;
    this.#offsetMs += wantedMs - fineMs;
    return (this.#lastMs = wantedMs);
  }

  monotonicNs(): number {
    return performance.now() * 1e6;
  }
}
