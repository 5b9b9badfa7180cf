/**
 * The real timers. `soon` runs after the I/O events of the current turn, once a turn (setImmediate), which is what
 * group commit and coalesced socket writes want. Delays over the runtime's 31 bits are armed in steps.
 */
import type { Timers } from "../contracts/world.ts";

/** Longest delay that setTimeout takes, milliseconds. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

export class RealTimers implements Timers {
  after(delayMs: number, callback: () => void): () => void {
    let timer: ReturnType<typeof setTimeout>;
    const arm = (remainingMs: number): void => {
      const stepMs = Math.min(remainingMs, MAX_TIMEOUT_MS);
      timer = setTimeout(() => (remainingMs > stepMs ? arm(remainingMs - stepMs) : callback()), stepMs);
    };
    arm(delayMs);
    return () => clearTimeout(timer);
  }

  soon(callback: () => void): void {
    setImmediate(callback);
  }
}
