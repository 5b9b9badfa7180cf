/**
 * What is going to happen in a simulation of many engines, in steps of a millisecond: a wheel of slots, each with the
 * datagrams that arrive and the engines whose timers are due in it. Nothing lies further ahead than the wheel is long.
 */
import type { MembershipMessage } from "../../../src/format/membership-message.ts";

const SLOTS = 8192;

/** A datagram that arrives, or the rank of an engine whose timer is due. */
export type WheelEvent = MembershipMessage | number;

export class DatagramWheel {
  readonly #slots: WheelEvent[][] = Array.from({ length: SLOTS }, () => []);
  nowMs = 0;

  /** The furthest an event may lie ahead, milliseconds. */
  static readonly reachMs = SLOTS - 1;

  at(timeMs: number, event: WheelEvent): void {
    this.#slots[timeMs % SLOTS]!.push(event);
  }

  /** Goes on by one millisecond; what happens in it. */
  step(): readonly WheelEvent[] {
    this.nowMs += 1;
    const index = this.nowMs % SLOTS;
    const events = this.#slots[index]!;
    if (events.length > 0) this.#slots[index] = [];
    return events;
  }
}
