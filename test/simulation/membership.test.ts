/**
 * Failure detection alone, many engines at a time: what holds of any size, in a smaller version of `npm run
 * simulate:membership`.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { SwimSettings } from "../../src/membership/settings.ts";
import { SimulatedEngines } from "./membership/engines.ts";

setDefaultTimeout(60_000);

const LOSS = 0.01;
const STALL = { lastsMs: 200, everyMs: 10_000 };

test("nobody who lives is called dead with one datagram in a hundred lost and stalls of 200 ms", () => {
  for (const [engines, minutes] of [
    [6, 60],
    [100, 5],
  ] as const) {
    const system = new SimulatedEngines({ seed: 11, engines, loss: LOSS, stall: STALL });
    system.run(minutes * 60_000);
    expect([engines, [...system.falseDeaths]]).toEqual([engines, []]);
  }
});

test("with many lost and long stalls engines are suspected and refute; without time to do so they would be called dead", () => {
  const run = (settings: Partial<SwimSettings>): SimulatedEngines => {
    const stall = { lastsMs: 500, everyMs: 10_000 };
    const system = new SimulatedEngines({ seed: 12, engines: 30, loss: 0.03, stall, settings });
    system.run(3 * 60_000);
    return system;
  };
  const usual = run({});
  expect(usual.falseSuspicions.size).toBeGreaterThan(10);
  expect([...usual.falseDeaths]).toEqual([]);
  expect(run({ suspicionMs: 0, gossipMs: 20, unconfirmedFactor: 1 }).falseDeaths.size).toBeGreaterThan(0);
});

test("a killed engine is dead for all in less than 4 s, whatever the size", () => {
  for (const engines of [3, 6, 100, 1_000]) {
    const system = new SimulatedEngines({ seed: 13, engines, loss: LOSS, stall: STALL });
    system.run(3_000);
    for (const rank of engines < 6 ? [1] : [1, engines - 2]) {
      system.kill(rank);
      system.run(6_000);
      const { allMs } = system.detections.get(rank)!;
      expect([engines, allMs, allMs !== undefined && allMs < 4_000]).toEqual([engines, allMs, true]);
    }
    expect(system.falseDeaths.size).toBe(0);
  }
});

test("a third of all killed at once is found, and nobody else is called dead", () => {
  const system = new SimulatedEngines({ seed: 14, engines: 90, loss: LOSS, stall: STALL });
  system.run(3_000);
  for (let rank = 1; rank < 90; rank += 3) system.kill(rank);
  const isDone = () => [...system.detections.values()].every(({ allMs }) => allMs !== undefined);
  expect(system.runUntil(isDone, 15_000)).toBe(true);
  system.run(30_000);
  expect([...system.falseDeaths]).toEqual([]);
});

test("what each engine sends does not grow with the system", () => {
  const sent = [10, 500].map((engines) => {
    const system = new SimulatedEngines({ seed: 15, engines });
    system.run(20_000);
    return { messages: system.messages / engines / 20, bytes: system.bytes / engines / 20 };
  });
  for (const { messages, bytes } of sent) {
    expect(messages).toBeGreaterThan(5);
    expect(messages).toBeLessThan(15);
    expect(bytes).toBeLessThan(2_000);
  }
});
