/** Failure detectors of a few engines on simulated datagrams, as engines run them. */
import { expect, test } from "bun:test";
import { parseUuid } from "../../src/base/uuid.ts";
import { FailureDetector } from "../../src/engine/failure-detector.ts";
import type { EngineRoster } from "../../src/format/engine-operations.ts";
import { DEFAULT_SWIM_SETTINGS } from "../../src/membership/settings.ts";
import { hmac } from "../control/harness.ts";
import { simulatedWorld, type SimulatedWorld } from "../simulation/world.ts";

const SYSTEM = parseUuid("00112233-4455-4677-8899-aabbccddeeff")!;
const KEY = Buffer.alloc(32, 7);
const HOST = "127.0.0.1";
const portOf = (rank: number): number => 10_001 + 100 * rank;

function rosterOf(ranks: readonly number[], version = 1): EngineRoster {
  const members = ranks.map((rank) => ({ rank, incarnation: 5, address: { host: HOST, port: portOf(rank) } }));
  return { version, members };
}

async function detector(world: SimulatedWorld, rank: number, key: Uint8Array = KEY): Promise<FailureDetector> {
  const parts = { world, rank, incarnation: 5, system: SYSTEM, key, hmac, settings: DEFAULT_SWIM_SETTINGS };
  const made = new FailureDetector(parts);
  await made.start({ host: HOST, port: portOf(rank) });
  return made;
}

test("engines that hear each other are alive; one that is gone is a suspect, then dead, and unknown when it is no member", async () => {
  const world = simulatedWorld(1);
  world.datagrams.loss = 0.02;
  world.datagrams.duplicates = 0.1;
  const ranks = [0, 1, 2, 3];
  const detectors = await Promise.all(ranks.map((rank) => detector(world, rank)));
  for (const each of detectors) each.adopt(rosterOf(ranks));
  await world.timers.advance(10_000);
  for (const each of detectors) {
    for (const rank of ranks) expect(each.of(rank)?.state).toBe("alive");
    expect(each.of(9)).toBeUndefined();
  }
  // It is cut off rather than closed: that would be a farewell.
  world.datagrams.cut = (from, to) => from === portOf(3) || to === portOf(3);
  const cutAtMs = world.clock.monotonicNs() / 1e6;
  await world.timers.advance(4_000);
  for (const each of detectors.slice(0, 3)) {
    const verdict = each.of(3)!;
    expect(verdict.state).toBe("dead");
    expect(verdict.atMs).toBeGreaterThan(cutAtMs);
    expect(verdict.atMs).toBeLessThan(cutAtMs + 4_000);
    expect(each.isAlone).toBe(false);
  }
  await world.timers.advance(6_000);
  expect(detectors[3]!.isAlone).toBe(true);
  for (const each of detectors.slice(0, 3)) each.adopt(rosterOf([0, 1, 2], 2));
  expect(detectors[0]!.of(3)).toBeUndefined();
  for (const each of detectors) each.close();
  world.timers.clear();
});

test("a suspect has a time at which it will be dead; a farewell needs none", async () => {
  const world = simulatedWorld(2);
  const detectors = await Promise.all([0, 1, 2].map((rank) => detector(world, rank)));
  for (const each of detectors) each.adopt(rosterOf([0, 1, 2]));
  await world.timers.advance(2_000);
  detectors[2]!.close();
  detectors[2]!.close();
  await world.timers.advance(1_000);
  expect(detectors[0]!.of(2)).toBeUndefined();
  world.datagrams.cut = (from, to) => from === portOf(1) || to === portOf(1);
  for (let waited = 0; detectors[0]!.of(1)?.state === "alive" && waited < 100; waited += 1)
    await world.timers.advance(50);
  const { state, atMs } = detectors[0]!.of(1)!;
  expect(state).toBe("suspect");
  expect(atMs).toBeGreaterThan(world.clock.monotonicNs() / 1e6);
  for (const each of detectors) each.close();
  world.timers.clear();
});

test("an engine under another key is not heard, and one that is in no roster yet is answered", async () => {
  const world = simulatedWorld(3);
  const ours = await detector(world, 0);
  const foreign = await detector(world, 1, Buffer.alloc(32, 8));
  for (const each of [ours, foreign]) each.adopt(rosterOf([0, 1]));
  const early = await detector(world, 2);
  early.adopt(rosterOf([0, 2]));
  await world.timers.advance(10_000);
  expect(ours.of(1)?.state).toBe("dead");
  expect(foreign.of(0)?.state).toBe("dead");
  expect(early.of(0)?.state).toBe("alive");
  for (const each of [ours, foreign, early]) each.close();
  world.timers.clear();
});
