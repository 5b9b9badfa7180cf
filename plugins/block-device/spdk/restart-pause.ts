/**
 * How long to wait before a process that ended is started again: longer each time while it ends soon after its start, so
 * that one that cannot serve does not keep the machine busy; the shortest pause again once it has served. Served is what
 * ran ten times as long as the pause before it: a process that dies every second or two is away for a tenth of the time.
 */
export const FIRST_PAUSE_MS = 50;
export const MAX_PAUSE_MS = 5_000;
const SERVED_FACTOR = 10;
/** Has served in any case. */
export const STEADY_MS = 10_000;

export class RestartPause {
  #nextMs = FIRST_PAUSE_MS;

  /** Milliseconds to wait now. `ranMs`: how long the process ran. */
  after(ranMs: number): number {
    if (ranMs >= Math.min(SERVED_FACTOR * this.#nextMs, STEADY_MS)) this.#nextMs = FIRST_PAUSE_MS;
    const pauseMs = this.#nextMs;
    this.#nextMs = Math.min(2 * pauseMs, MAX_PAUSE_MS);
    return pauseMs;
  }
}
