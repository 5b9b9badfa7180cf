/** Memory taken ahead of its use. */
import { expect, test } from "bun:test";
import { makeResident } from "../../src/world/resident.ts";
import { RealTimers } from "../../src/world/timers.ts";

const MIB = 2 ** 20;

test("makeResident takes every page, and leaves what is written meanwhile as it is", async () => {
  const bytes = new Uint8Array(new SharedArrayBuffer(64 * MIB));
  bytes[5 * MIB] = 7;
  const before = process.memoryUsage.rss();
  makeResident(bytes, new RealTimers());
  // Between its steps, at places that it has passed and at others.
  for (let at = 0; at < bytes.length; at += 4 * MIB) {
    bytes[at + 1] = 9;
    await new Promise((resolve) => setImmediate(resolve));
  }
  // Each of its steps was begun before one of these.
  for (let step = 0; step < 64; step += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(process.memoryUsage.rss() - before).toBeGreaterThan(56 * MIB);
  expect(bytes[5 * MIB]).toBe(7);
  for (let at = 0; at < bytes.length; at += 4 * MIB) expect(bytes[at + 1]).toBe(9);
});
