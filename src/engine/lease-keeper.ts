/**
 * Carries the engine's lease to its target threads. Each thread has a monotonic clock of its own, so deadlines are computed
 * in the thread's time: the thread's answer was given before it arrived here, which makes the difference of the clocks
 * come out too small, never too large, and a deadline too early, never too late.
 */
import type { Clock } from "../contracts/world.ts";
import { FOREVER_NS } from "./lease.ts";
import type { Targets } from "./targets.ts";

export class LeaseKeeper {
  readonly #targets: Targets;
  readonly #clock: Clock;
  /** Clock of each target's thread minus ours, at least. */
  readonly #offsetsNs: number[];

  constructor(targets: Targets, clock: Clock) {
    this.#targets = targets;
    this.#clock = clock;
    this.#offsetsNs = Array.from({ length: targets.count }, () => Number.NEGATIVE_INFINITY);
  }

  /** For the engine that runs the control plane. */
  async grantForever(): Promise<void> {
    await Promise.all(this.#offsetsNs.map((_offset, index) => this.#targets.setLease(index, FOREVER_NS)));
  }

  /** Until `untilNs` on this thread's clock. Resolves when every target has answered. */
  async grant(untilNs: number): Promise<void> {
    await Promise.all(this.#offsetsNs.map((_offset, index) => this.#grantTo(index, untilNs)));
  }

  async #grantTo(index: number, untilNs: number): Promise<void> {
    if (this.#offsetsNs[index] === Number.NEGATIVE_INFINITY) await this.#set(index, 0);
    await this.#set(index, Math.max(0, untilNs + this.#offsetsNs[index]!));
  }

  async #set(index: number, deadlineNs: number): Promise<void> {
    const theirsNs = await this.#targets.setLease(index, deadlineNs);
    const offsetNs = theirsNs - this.#clock.monotonicNs();
    this.#offsetsNs[index] = Math.max(this.#offsetsNs[index]!, offsetNs);
  }
}
