/**
 * Timers in simulated time. Pending events run one by one in order of their time, then of their registration; all
 * promise reactions of one event run before the next. Nothing waits in real time: while an event is pending, the next
 * one runs as soon as the program is idle, and the clock leaps to it.
 */
import type { Timers } from "../../src/contracts/world.ts";
import type { SimulatedClock } from "./clock.ts";

interface PendingEvent {
  readonly dueNs: number;
  readonly order: number;
  readonly callback: () => void;
}

export class SimulatedTimers implements Timers {
  readonly #clock: SimulatedClock;
  readonly #events: PendingEvent[] = [];
  readonly #parent: SimulatedTimers | undefined;
  #order = 0;
  #pumping = false;
  #ended = false;

  /** With `parent`: a view of those timers that can be ended by itself; its events run among theirs. */
  constructor(clock: SimulatedClock, parent?: SimulatedTimers) {
    this.#clock = clock;
    this.#parent = parent;
  }

  after(delayMs: number, callback: () => void): () => void {
    return this.afterNs(delayMs * 1e6, callback);
  }

  soon(callback: () => void): void {
    this.afterNs(0, callback);
  }

  afterNs(delayNs: number, callback: () => void): () => void {
    if (this.#ended) return () => {};
    if (this.#parent !== undefined) {
      return this.#parent.afterNs(delayNs, () => {
        if (!this.#ended) callback();
      });
    }
    const event = { dueNs: this.#clock.monotonicNs() + Math.max(0, delayNs), order: this.#order, callback };
    this.#order += 1;
    const place = this.#events.findLastIndex((other) => other.dueNs <= event.dueNs) + 1;
    this.#events.splice(place, 0, event);
    this.#pump();
    return () => {
      const index = this.#events.indexOf(event);
      if (index >= 0) this.#events.splice(index, 1);
    };
  }

  /** Lets `deltaMs` of simulated time pass, with all that is due in it. */
  async advance(deltaMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.after(deltaMs, resolve);
    await promise;
  }

  /** Drops what is pending: the program that waited for it is gone. */
  clear(): void {
    this.#events.length = 0;
  }

  /** Drops what is pending, and all that the dead program still asks for. */
  end(): void {
    this.#ended = true;
    this.clear();
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      const event = this.#events.shift();
      if (event === undefined) return;
      this.#clock.advance(event.dueNs - this.#clock.monotonicNs());
      if (this.#events.length > 0) this.#pump();
      event.callback();
    });
  }
}
