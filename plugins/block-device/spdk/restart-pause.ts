/**
 * How long to wait before a process that ended is started again: longer each time while it ends soon after its start, so
 * that one that cannot serve does not keep the machine busy; the shortest pause again once it has served for a while. That
 * while does not grow with the pause: it would be out of reach for a process that dies every few seconds, which
 * then would be away for longer than it serves.
 */
export const FIRST_PAUSE_MS = 50;
export const MAX_PAUSE_MS = 5_000;
/** One that ran for this long has served. */
export const SERVED_MS = 1_000;

export class RestartPause {
  #nextMs = FIRST_PAUSE_MS;

  /** Milliseconds to wait now. `ranMs`: how long the process ran. */
  after(ranMs: number): number {
    const pauseMs = ranMs >= SERVED_MS ? FIRST_PAUSE_MS : this.#nextMs;
    this.#nextMs = Math.min(2 * pauseMs, MAX_PAUSE_MS);
    return pauseMs;
  }
}
