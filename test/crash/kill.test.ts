/**
 * A few rounds of kill -9 on a real engine process; `npm run test:kill` runs many more.
 */
import { expect, test } from "bun:test";
import { runKillRounds } from "./kill-rounds.ts";

const ROUNDS = 6;

test("nothing acknowledged is lost when the engine is killed under load", async () => {
  const result = await runKillRounds({
    rounds: ROUNDS,
    seed: Date.now() >>> 0,
    engine: { scmSize: "256MiB", nvmeSize: "2GiB" },
  });
  expect(result.acknowledged).toBeGreaterThan(1000);
  expect(result.slots).toBeGreaterThan(500);
}, 180_000);
