/**
 * The rhythm of a ring: when it is turned, when it is waited for, when its thread sleeps. On a ring and a clock by hand.
 */
import { expect, test } from "bun:test";
import { Reaper } from "../../../../plugins/block-device/uring/reaper.ts";
import type { Ring } from "../../../../plugins/block-device/uring/ring.ts";
import { SimulatedClock } from "../../../simulation/clock.ts";

/** Each request completes `latencyNs` after the turn that submitted it, unless held. */
class Rig {
  readonly clock = new SimulatedClock();
  readonly settled: number[] = [];
  turns = 0;
  waits = 0;
  armed = false;
  latencyNs = 100_000;
  readonly #soon: (() => void)[] = [];
  readonly #due: number[] = [];
  #taken: number[] = [];
  readonly reaper: Reaper;

  constructor() {
    const ring: Pick<Ring, "turn" | "completedId" | "completedResult" | "arm" | "disarm"> = {
      turn: (waitUs) => this.#turn(waitUs),
      completedId: (index) => this.#taken[index]!,
      completedResult: () => 0,
      arm: () => {
        expect(this.armed).toBe(false);
        if (this.#due.some((dueNs) => dueNs <= this.clock.monotonicNs())) return false;
        return (this.armed = true);
      },
      disarm: () => {
        expect(this.armed).toBe(true);
        this.armed = false;
      },
    };
    const timers = { soon: (callback: () => void) => void this.#soon.push(callback), after: () => () => undefined };
    this.reaper = new Reaper(ring as Ring, this.clock, timers, (id) => void this.settled.push(id));
  }

  push(count: number): void {
    for (let index = 0; index < count; index += 1) {
      this.#due.push(this.clock.monotonicNs() + this.latencyNs);
      this.reaper.inFlight += 1;
      this.reaper.kick();
    }
  }

  /** Lets the event loop run until there is nothing to do, or the thread sleeps. Returns the turns that took. */
  run(): number {
    const before = this.turns;
    for (let callback = this.#soon.shift(); callback !== undefined; callback = this.#soon.shift()) callback();
    return this.turns - before;
  }

  /** The kernel wakes the thread when the next request completes. */
  wake(): void {
    const next = Math.min(...this.#due);
    this.clock.advance(next - this.clock.monotonicNs());
    this.reaper.woken();
    this.run();
  }

  #turn(waitUs: number): number {
    this.turns += 1;
    this.clock.advance(1000);
    const nowNs = this.clock.monotonicNs();
    const next = Math.min(...this.#due);
    if (waitUs > 0) {
      this.waits += 1;
      if (next > nowNs) this.clock.advance(Math.min(waitUs * 1000, next - nowNs));
    }
    const ready = this.#due.filter((dueNs) => dueNs <= this.clock.monotonicNs());
    this.#due.splice(0, ready.length);
    this.#taken = ready.map((_, index) => index);
    return ready.length;
  }
}

test("many requests of one turn of the loop are one turn of the ring; nothing in flight, no turn", () => {
  const rig = new Rig();
  rig.latencyNs = 0;
  rig.push(100);
  expect(rig.run()).toBe(1);
  expect(rig.settled).toHaveLength(100);
  expect(rig.run()).toBe(0);
});

test("a lone request on a quick device is waited for in one turn", () => {
  const rig = new Rig();
  for (let round = 0; round < 50; round += 1) {
    rig.push(1);
    expect(rig.run()).toBe(1);
  }
  expect(rig.waits).toBe(50);
  expect(rig.armed).toBe(false);
});

test("on a slow device the thread sleeps instead, after a bounded number of turns", () => {
  const rig = new Rig();
  rig.latencyNs = 5_000_000;
  for (let round = 0; round < 64; round += 1) {
    rig.push(1);
    expect(rig.run()).toBeLessThan(60);
    expect(rig.armed).toBe(true);
    rig.wake();
    expect(rig.settled).toHaveLength(round + 1);
  }
  rig.waits = 0;
  rig.turns = 0;
  for (let round = 0; round < 128; round += 1) {
    rig.push(8);
    rig.run();
    rig.wake();
  }
  // Now and then it looks whether the device became quick.
  expect(rig.waits).toBeLessThanOrEqual(16);
  expect(rig.turns / 128).toBeLessThan(8);
});

test("a device that becomes quick is waited for again", () => {
  const rig = new Rig();
  rig.latencyNs = 5_000_000;
  for (let round = 0; round < 64; round += 1) {
    rig.push(1);
    rig.run();
    if (rig.armed) rig.wake();
  }
  rig.latencyNs = 60_000;
  for (let round = 0; round < 200; round += 1) {
    rig.push(1);
    rig.run();
    if (rig.armed) rig.wake();
  }
  rig.waits = 0;
  rig.push(1);
  expect(rig.run()).toBe(1);
  expect(rig.waits).toBe(1);
});

test("completions due in a moment are looked for without a wait or a sleep", () => {
  const rig = new Rig();
  rig.latencyNs = 5_000;
  for (let round = 0; round < 20; round += 1) {
    rig.push(8);
    expect(rig.run()).toBeLessThan(8);
    expect(rig.armed).toBe(false);
  }
  expect(rig.waits).toBe(0);
});

test("a new request wakes the sleeping rhythm, a late wake-up does nothing", () => {
  const rig = new Rig();
  rig.latencyNs = 50_000_000;
  rig.push(4);
  rig.run();
  expect(rig.armed).toBe(true);
  rig.push(1);
  expect(rig.armed).toBe(false);
  expect(rig.run()).toBeGreaterThan(0);
  expect(rig.armed).toBe(true);
  rig.wake();
  const turns = rig.turns;
  rig.reaper.woken();
  rig.wake();
  while (rig.armed) rig.wake();
  expect(rig.settled).toHaveLength(5);
  rig.reaper.woken();
  expect(rig.turns).toBeGreaterThanOrEqual(turns);
});
