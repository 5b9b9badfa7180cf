/**
 * Whether the clocks of the engines agree with ours, by the times that their heartbeats were sent at. One that comes late
 * looks like a clock that is slow, so several in a row have to say the same.
 */
import type { TellEvent } from "../base/events.ts";

/** Half of what engines bear of each other, milliseconds. */
const CLOCK_OFF_MS = 500;
/** Below this one that was off is right again, milliseconds. */
const CLOCK_RIGHT_MS = 250;
const IN_A_ROW = 3;

interface Clock {
  isOff: boolean;
  /** Heartbeats in a row that say the opposite. */
  count: number;
}

export class ClockWatch {
  readonly #tell: TellEvent;
  readonly #clocks = new Map<number, Clock>();

  constructor(tell: TellEvent) {
    this.#tell = tell;
  }

  /** A heartbeat of `rank` that was sent at `sentMs` of its clock and came at `nowMs` of ours. */
  heard(rank: number, sentMs: number, nowMs: number): void {
    const clock = this.#clocks.get(rank) ?? { isOff: false, count: 0 };
    this.#clocks.set(rank, clock);
    const offMs = sentMs - nowMs;
    const isOpposite = clock.isOff ? Math.abs(offMs) < CLOCK_RIGHT_MS : Math.abs(offMs) > CLOCK_OFF_MS;
    clock.count = isOpposite ? clock.count + 1 : 0;
    if (clock.count < IN_A_ROW) return;
    clock.count = 0;
    clock.isOff = !clock.isOff;
    const state = clock.isOff
      ? `${(Math.abs(offMs) / 1000).toFixed(1)} s ${offMs > 0 ? "ahead of" : "behind"} the leader's`
      : "right again";
    this.#tell(clock.isOff ? "engine_clock_off" : "engine_clock_right", `the clock of rank ${rank} is ${state}`, {
      rank,
    });
  }
}
