/**
 * Notices that something which should move stands still. It is asked at coarse ticks, so it costs nothing in between;
 * what moved within the last tick counts as moving.
 */
export class StallWatch {
  #tick = 0;
  #stage = 0;
  #position = 0;

  /**
   * True when `isDue` held and neither `stage` nor `position` changed for more than `limitTicks`. `tick` goes up by one
   * a call.
   */
  isStalled(isDue: boolean, stage: number, position: number, tick: number, limitTicks: number): boolean {
    if (isDue && stage === this.#stage && position === this.#position) return tick - this.#tick > limitTicks;
    this.#tick = tick;
    this.#stage = stage;
    this.#position = position;
    return false;
  }
}
