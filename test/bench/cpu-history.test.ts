import { expect, test } from "bun:test";
import { CpuHistory } from "../../bench/cpu-history.ts";

test("CPU time between two moments is told from samples around them, and of no other time", async () => {
  let nowMs = 1000;
  // A tenth of the time is spent until 2000, then all of it.
  const spentUs = (): number => (nowMs <= 2000 ? nowMs * 100 : 200_000 + (nowMs - 2000) * 1000);
  const history = new CpuHistory(spentUs, () => (nowMs += 50));
  while (nowMs < 3000) await Bun.sleep(1);
  history.stop();
  expect(history.spentUs(1225, 1725)).toBeCloseTo(50_000, 0);
  expect(history.spentUs(2110, 2610)).toBeCloseTo(500_000, 0);
  expect(() => history.spentUs(900, 2000)).toThrow(RangeError);
  expect(() => history.spentUs(2000, 5000)).toThrow(RangeError);
});
