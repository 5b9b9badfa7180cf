/**
 * A few rounds of kill -9 on a real engine process; `npm run test:kill` runs many more.
 */
import { expect, test } from "bun:test";
import { loadPmdkAddon } from "../../native/pmdk/addon.ts";
import { runKillRounds } from "./kill-rounds.ts";

const ROUNDS = 6;
const NATIVE_ROUNDS = 3;
const pmdk = loadPmdkAddon();
const withoutPmdk = "reason" in pmdk ? ` (skipped: ${pmdk.reason})` : "";

test("nothing acknowledged is lost when the engine is killed under load", async () => {
  const result = await runKillRounds({
    rounds: ROUNDS,
    seed: Date.now() >>> 0,
    engine: { scmSize: "256MiB", nvmeSize: "2GiB" },
  });
  expect(result.acknowledged).toBeGreaterThan(1000);
  expect(result.slots).toBeGreaterThan(500);
}, 180_000);

test.skipIf(withoutPmdk !== "")(
  `nothing acknowledged is lost when its log is mapped memory${withoutPmdk}`,
  async () => {
    const result = await runKillRounds({
      rounds: NATIVE_ROUNDS,
      seed: Date.now() >>> 0,
      engine: {
        scmSize: "256MiB",
        nvmeSize: "2GiB",
        scm: { plugin: "pmdk", config: { force_granularity: "cache_line" } },
      },
    });
    expect(result.acknowledged).toBeGreaterThan(500);
  },
  120_000,
);
