import { expect, test } from "bun:test";
import { ClockWatch } from "../../src/control/clock-watch.ts";

function watch(): { heard: (...offsMs: number[]) => void; told: string[] } {
  const told: string[] = [];
  const clocks = new ClockWatch((what, message) => void told.push(`${what}: ${message}`));
  return { told, heard: (...offsMs) => offsMs.forEach((offMs) => clocks.heard(3, 10_000 + offMs, 10_000)) };
}

test("a clock that is off is told once, and once that it is right again", () => {
  const { heard, told } = watch();
  heard(600, 600, 600, 700, 800);
  expect(told).toEqual(["engine_clock_off: the clock of rank 3 is 0.6 s ahead of the leader's"]);
  heard(300, 300, 300);
  expect(told).toHaveLength(1);
  heard(-100, 100, 0, 0);
  expect(told.slice(1)).toEqual(["engine_clock_right: the clock of rank 3 is right again"]);
  heard(-900, -900, -900);
  expect(told.at(-1)).toBe("engine_clock_off: the clock of rank 3 is 0.9 s behind the leader's");
});

test("heartbeats that come late once say nothing about the clock", () => {
  const { heard, told } = watch();
  heard(-2000, -1500, 0, -2000, 0, -3000, -3000);
  expect(told).toEqual([]);
});
