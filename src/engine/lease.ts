/**
 * The time for which this target may serve. The engine renews it with every heartbeat that the control plane answers; an
 * engine that cannot prove to be a member stops by itself before anybody takes its place.
 *
 * Deadlines are on the target thread's own monotonic clock, so that a renewal that was late in the queue grants nothing.
 */
import { DaosError } from "../base/errors.ts";
import type { Clock } from "../contracts/world.ts";

/** For the engine that runs the control plane: nobody else could exclude it. */
export const FOREVER_NS = Number.POSITIVE_INFINITY;

export class Lease {
  readonly #clock: Clock;
  #untilNs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Never shortens. Returns this thread's clock, by which the engine computes the next deadline. */
  renew(untilNs: number): number {
    this.#untilNs = Math.max(this.#untilNs, untilNs);
    return this.#clock.monotonicNs();
  }

  /** Throws UNAVAILABLE when it is over. */
  check(): void {
    if (this.#untilNs === FOREVER_NS || this.#clock.monotonicNs() < this.#untilNs) return;
    throw new DaosError(
      "UNAVAILABLE",
      "Cannot serve the request: this engine cannot reach the system's control plane, and its lease is over. Retry.",
    );
  }
}
