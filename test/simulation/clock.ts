/**
 * A clock that stands still until somebody advances it: the simulated timers when they run an event, the simulated disk
 * when a synchronous operation takes its time.
 */
import type { Clock } from "../../src/contracts/world.ts";

/** Where simulated wall time begins: 2026-01-01T00:00Z. */
const START_WALL_MS = Date.UTC(2026, 0, 1);

export class SimulatedClock implements Clock {
  #nowNs = 0;
  #wallOffsetMs = START_WALL_MS;

  wallMs(): number {
    return this.#wallOffsetMs + this.#nowNs / 1e6;
  }

  monotonicNs(): number {
    return this.#nowNs;
  }

  advance(deltaNs: number): void {
    this.#nowNs += Math.max(0, deltaNs);
  }

  /** Sets the wall clock forwards or back, as an operator or NTP may. */
  jumpWall(deltaMs: number): void {
    this.#wallOffsetMs += deltaMs;
  }
}
