/** What a client takes for the time at which its requests are served. */
import { expect, test } from "bun:test";
import { type Epoch, HybridLogicalClock } from "../../src/base/epoch.ts";
import { ServedTime } from "../../src/client/served-time.ts";

const SECOND_US = 1_000_000;

test("ServedTime: what was heard, and the time since, a little less; never back, whatever the wall clock says", () => {
  let nowNs = 5e9;
  const clock = new HybridLogicalClock(() => 0);
  const served = new ServedTime(clock, { monotonicNs: () => nowNs });
  clock.restore((100 * SECOND_US) as Epoch);
  expect(served.now()).toBe((100 * SECOND_US) as Epoch);
  nowNs += 1000e9;
  expect(served.now()).toBe((1090 * SECOND_US) as Epoch);
  // Messages carry no earlier epoch from then on.
  expect(clock.latest).toBe((1090 * SECOND_US) as Epoch);
  clock.restore((1100 * SECOND_US) as Epoch);
  expect(served.now()).toBe((1100 * SECOND_US) as Epoch);
  nowNs += 100e9;
  expect(served.now()).toBe((1199 * SECOND_US) as Epoch);
});
