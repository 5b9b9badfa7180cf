/**
 * Time limits of calls, by one coarse timer that runs while calls are open. A call ends up to two ticks late, never early,
 * and not at all because this process itself stood still: the tick it missed comes once, not many times. The same timer
 * tells when nothing at all comes while something is waited for.
 */
import type { Timers } from "../contracts/world.ts";

export const DEADLINE_TICK_MS = 100;
/** The other side is silent when nothing has come for so long though calls are open, milliseconds. */
export const SILENCE_MS = 2_000;

/** Whose calls they are. */
export interface DeadlineOwner {
  readonly openCalls: number;
  /** Ends the calls whose deadline is at or before `tick`; returns the earliest deadline of the others, or Infinity. */
  expire(tick: number): number;
}

export class CallDeadlines {
  readonly #timers: Timers;
  readonly #owner: DeadlineOwner;
  readonly #silent: (() => void) | undefined;
  #tick = 0;
  #heardTick = 0;
  #earliest = Infinity;
  #cancel: (() => void) | undefined;
  #isStopped = false;

  /** `silent` is called when the other side is silent, again and again while that lasts. */
  constructor(timers: Timers, owner: DeadlineOwner, silent?: () => void) {
    this.#timers = timers;
    this.#owner = owner;
    this.#silent = silent;
  }

  /** Something has come. */
  heard(): void {
    this.#heardTick = this.#tick;
  }

  /** The tick at which a call that starts now has had `timeoutMs`; sees to it that ticks come. */
  after(timeoutMs: number): number {
    const deadline = this.#tick + Math.ceil(timeoutMs / DEADLINE_TICK_MS) + 1;
    if (deadline < this.#earliest) this.#earliest = deadline;
    if (this.#cancel === undefined) {
      this.heard();
      this.#start();
    }
    return deadline;
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  #start(): void {
    this.#cancel = this.#timers.after(DEADLINE_TICK_MS, () => {
      this.#cancel = undefined;
      this.#tick += 1;
      if (this.#tick >= this.#earliest) this.#earliest = this.#owner.expire(this.#tick);
      if ((this.#tick - this.#heardTick) * DEADLINE_TICK_MS >= SILENCE_MS) {
        this.heard();
        this.#silent?.();
      }
      if (!this.#isStopped && this.#cancel === undefined && this.#owner.openCalls > 0) this.#start();
    });
  }
}
