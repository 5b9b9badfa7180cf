import { expect, test } from "bun:test";
import { SimulatedClock } from "./clock.ts";
import { SimulatedRandom } from "./random.ts";
import { SimulatedTimers } from "./timers.ts";

test("events run in the order of their time, then of their registration, and the clock leaps to each", async () => {
  const clock = new SimulatedClock();
  const timers = new SimulatedTimers(clock);
  const seen: [string, number][] = [];
  const note = (name: string) => () => void seen.push([name, clock.monotonicNs() / 1e6]);
  timers.after(20, note("late"));
  timers.after(10, note("first"));
  timers.after(10, note("second"));
  timers.soon(note("soon"));
  timers.after(15, note("canceled"))();
  await timers.advance(3_600_000);
  expect(seen).toEqual([
    ["soon", 0],
    ["first", 10],
    ["second", 10],
    ["late", 20],
  ]);
  expect(clock.monotonicNs()).toBe(3_600_000 * 1e6);
});

test("all reactions to one event run before the next event", async () => {
  const timers = new SimulatedTimers(new SimulatedClock());
  const order: string[] = [];
  const react = async (): Promise<void> => {
    for (let step = 0; step < 20; step += 1) await Promise.resolve();
    order.push("reaction");
  };
  timers.after(1, () => void react());
  timers.after(1, () => order.push("next"));
  await timers.advance(2);
  expect(order).toEqual(["reaction", "next"]);
});

test("cleared events never run; later ones do", async () => {
  const timers = new SimulatedTimers(new SimulatedClock());
  let ran = 0;
  timers.after(1, () => (ran += 1));
  timers.clear();
  await timers.advance(10);
  expect(ran).toBe(0);
});

test("wall time follows the clock and jumps when told", () => {
  const clock = new SimulatedClock();
  const start = clock.wallMs();
  clock.advance(2_500_000);
  expect(clock.wallMs() - start).toBeCloseTo(2.5, 3);
  clock.jumpWall(-1000);
  expect(clock.wallMs()).toBeLessThan(start);
  expect(clock.monotonicNs()).toBe(2_500_000);
});

test("random numbers: the seed decides, forks differ, the values spread", () => {
  const draw = (random: SimulatedRandom): number[] => Array.from({ length: 5 }, () => random.next());
  expect(draw(new SimulatedRandom(1))).toEqual(draw(new SimulatedRandom(1)));
  expect(draw(new SimulatedRandom(1))).not.toEqual(draw(new SimulatedRandom(2)));
  const random = new SimulatedRandom(3);
  expect(draw(random.fork())).not.toEqual(draw(random.fork()));
  const buckets = new Array<number>(10).fill(0);
  for (let round = 0; round < 10_000; round += 1) buckets[random.below(10)]! += 1;
  for (const count of buckets) expect(count).toBeGreaterThan(800);
});
