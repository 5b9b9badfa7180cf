/**
 * A few rounds of kill -9 on a real engine process, on the daemon that serves its device, and on both; `npm run test:kill`
 * runs many more.
 */
import { expect, test } from "bun:test";
import { runKillRounds, VICTIMS } from "./kill-rounds.ts";
import { tierOptions, tierProblem } from "./tier-choices.ts";

const ROUNDS = 6;
const NATIVE_ROUNDS = 3;
const DAEMON_MAX_LOAD_MS = 700;
const withoutPmdk = skipped(tierProblem("scm", "pmdk"));
const withoutDaemon = skipped(tierProblem("block-device", "spdk"));

/** For a test's name. */
function skipped(problem: string | undefined): string {
  return problem === undefined ? "" : ` (skipped: ${problem})`;
}

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
        scm: tierOptions("pmdk"),
      },
    });
    expect(result.acknowledged).toBeGreaterThan(500);
  },
  120_000,
);

test.skipIf(withoutDaemon !== "")(
  `nothing acknowledged is lost when kill -9 ends the engine, its devices' daemons, or both${withoutDaemon}`,
  async () => {
    const result = await runKillRounds({
      rounds: VICTIMS.length,
      seed: Date.now() >>> 0,
      victim: "each",
      maxLoadMs: DAEMON_MAX_LOAD_MS,
      engine: { scmSize: "256MiB", nvmeSize: "2GiB", targets: 2, scm: tierOptions("ram"), nvme: tierOptions("spdk") },
    });
    expect(result.acknowledged).toBeGreaterThan(200);
    expect(result.engineKills).toBe(2);
    expect(result.daemonKills).toBeGreaterThanOrEqual(2);
  },
  120_000,
);
