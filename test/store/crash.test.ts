/**
 * Power loss at a thousand points: whatever was acknowledged is there afterwards, nothing else is, and every account adds
 * up. scripts/crash-points.ts runs as many more as one likes. And the check is checked: a lie of the medium is found.
 */
import { expect, test } from "bun:test";
import type { DestagedList } from "../../src/store/destaged.ts";
import type { Settler } from "../../src/store/settler.ts";
import { CrashHarness } from "./crash-harness.ts";
import { CrashMachine } from "./crash-machine.ts";

const PERSIST_GRANULARITY = [4096, 512, 64];

test("a store that loses power at 1,000 points keeps what it acknowledged, exactly", async () => {
  for (const [index, granularityBytes] of PERSIST_GRANULARITY.entries()) {
    const harness = new CrashHarness({ seed: 100 + index, granularityBytes });
    const counts = await harness.run(340);
    for (const place of ["persist", "device write", "before commit", "after commit"]) {
      expect(counts.places.get(place) ?? 0).toBeGreaterThan(10);
    }
    expect(counts.destagedBytes).toBeGreaterThan(300_000);
    expect(counts.decisions).toBeGreaterThan(150);
    expect(counts.undecided).toBeGreaterThan(1000);
  }
}, 120_000);

test("a store with a small index and device keeps what it acknowledged when both run full", async () => {
  const options = { seed: 200, indexBytes: 40_000, deviceBytes: 256 * 1024 };
  // Undecided records keep the index from growing.
  const harness = new CrashHarness(options, new CrashMachine(options), undefined, 0.05);
  const counts = await harness.run(150);
  expect(counts.refusals).toBeGreaterThan(100);
  expect(counts.destagedBytes).toBeGreaterThan(100_000);
}, 60_000);

test("canary: a medium that skips one persist is found out", async () => {
  let foundCount = 0;
  for (const lyingPersist of [4, 6, 11, 18, 29, 31]) {
    const harness = new CrashHarness({ seed: lyingPersist, lyingPersist });
    // Awaited here: `rejects` runs the event loop itself, in an order of its own, and then one lie does no harm.
    const found = await harness.run(40).then(
      () => undefined,
      (error: Error) => error.message,
    );
    if (found === undefined) continue;
    expect(found).toStartWith("seed");
    foundCount += 1;
  }
  // What is settled before power is lost is found damaged there, and written again from memory.
  expect(foundCount).toBeGreaterThan(2);
}, 60_000);

test("canary: a device whose durable writes are not durable is found out", async () => {
  for (const seed of [1, 2, 3]) {
    const found = await new CrashHarness({ seed, lyingDevice: true }).run(100).then(
      () => undefined,
      (error: Error) => error.message,
    );
    expect(found).toStartWith("seed");
  }
});

test("canary: a settle that is told a wrong place of what was destaged is found out", async () => {
  const misplacing = (settler: Settler): Settler => ({
    settle: (request) => settler.settle({ ...request, destaged: rotated(request.destaged) }),
    maintain: (request) => settler.maintain(request),
    close: () => settler.close(),
  });
  for (const seed of [1, 2, 3]) {
    const options = { seed };
    const found = await new CrashHarness(options, new CrashMachine(options), misplacing).run(60).then(
      () => undefined,
      (error: Error) => error.message,
    );
    expect(found).toStartWith("seed");
  }
});

/** Each version gets the device offset of the next one. */
function rotated(list: DestagedList): DestagedList {
  const { offsets } = list;
  return { ...list, offsets: offsets.map((_, entry) => offsets[(entry + 1) % offsets.length]!) };
}
