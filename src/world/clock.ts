/**
 * The real clock. Wall time has microsecond steps although the runtime's `Date.now` has milliseconds: the fraction comes
 * from the monotonic timer and is pulled back into the millisecond that `Date.now` shows, so that it follows every
 * correction of the system's clock and is never more than a millisecond away from it.
 *
 * A clock that is set far off is not followed at once, for epochs that were given out at a wrong time stay: wall time goes 2 %
 * faster or slower until both agree, so a clock that is wrong for half a minute has moved it by less than what engines
 * bear. One that stays where it was set for a minute is believed: that is a correction, or a machine that was suspended.
 */
import type { Clock } from "../contracts/world.ts";

/** Corrections up to this are followed at once. */
const FOLLOWED_MS = 100;
/** Part of the time that goes by, by which wall time comes nearer to a clock that was set further off. */
const SLEW = 0.02;
/** A clock that was set and has gone on from there for so long is right. */
const BELIEVED_AFTER_MS = 60_000;

/** Where time comes from, milliseconds. */
export interface ClockSource {
  readonly wallMs: () => number;
  readonly monotonicMs: () => number;
}

const SYSTEM: ClockSource = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };

/** The system's clock as it was set last, far from wall time. */
interface Setting {
  /** Its time minus monotonic time. */
  readonly offsetMs: number;
  readonly sinceMs: number;
  /** Monotonic time up to which wall time has come nearer to it. */
  slewedMs: number;
}

export class RealClock implements Clock {
  readonly #source: ClockSource;
  /** Wall time minus monotonic time, milliseconds. */
  #offsetMs: number;
  #lastMs = 0;
  #setting: Setting | undefined;

  constructor(source: ClockSource = SYSTEM) {
    this.#source = source;
    this.#offsetMs = source.wallMs() - source.monotonicMs();
  }

  wallMs(): number {
    const coarseMs = this.#source.wallMs();
    const monotonicMs = this.#source.monotonicMs();
    const fineMs = this.#offsetMs + monotonicMs;
    if (fineMs >= coarseMs && fineMs < coarseMs + 1) return (this.#lastMs = fineMs);
    if (this.#isFarOff(coarseMs - fineMs, monotonicMs)) return this.#slew(coarseMs - fineMs, monotonicMs);
    this.#setting = undefined;
    const lastHolds = this.#lastMs >= coarseMs && this.#lastMs < coarseMs + 1;
    const nearestMs = fineMs < coarseMs ? coarseMs : coarseMs + 0.999;
    const wantedMs = lastHolds ? Math.max(nearestMs, this.#lastMs) : nearestMs;
    this.#offsetMs += wantedMs - fineMs;
    return (this.#lastMs = wantedMs);
  }

  monotonicNs(): number {
    return performance.now() * 1e6;
  }

  /** Whether the system's clock is too far ahead, or behind, to be followed, and not long enough to be believed. */
  #isFarOff(aheadMs: number, monotonicMs: number): boolean {
    const setting = this.#setting;
    // What has begun to come nearer goes on until it is there: it does not step back at the end.
    if (Math.abs(aheadMs) <= (setting === undefined ? FOLLOWED_MS : 1)) return false;
    const offsetMs = this.#offsetMs + aheadMs;
    if (setting === undefined || Math.abs(offsetMs - setting.offsetMs) > FOLLOWED_MS) {
      this.#setting = { offsetMs, sinceMs: monotonicMs, slewedMs: setting?.slewedMs ?? monotonicMs };
      return true;
    }
    return monotonicMs - setting.sinceMs < BELIEVED_AFTER_MS;
  }

  #slew(aheadMs: number, monotonicMs: number): number {
    const setting = this.#setting!;
    const mostMs = SLEW * (monotonicMs - setting.slewedMs);
    setting.slewedMs = monotonicMs;
    this.#offsetMs += Math.sign(aheadMs) * Math.min(Math.abs(aheadMs), mostMs);
    return (this.#lastMs = this.#offsetMs + monotonicMs);
  }
}
