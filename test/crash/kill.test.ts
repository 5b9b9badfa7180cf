/**
 * A few rounds of kill -9 on a real engine process, on the daemon that serves its device, and on both; `npm run test:kill`
 * runs many more.
 */
import { expect, test } from "bun:test";
import { runKillRounds, VICTIMS } from "./kill-rounds.ts";
import { tierOptions, tierProblem } from "./tier-choices.ts";

const ROUNDS = 6;
const NATIVE_ROUNDS = 3;
const DAEMON_ROUNDS = 2;
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

const DYING = { engine: "the engine", daemon: "the daemon of its device", both: "the engine and its device's daemon" };
for (const victim of VICTIMS) {
  test.skipIf(withoutDaemon !== "")(
    `nothing acknowledged is lost on block-device spdk when kill -9 ends ${DYING[victim]}${withoutDaemon}`,
    async () => {
      const result = await runKillRounds({
        rounds: DAEMON_ROUNDS,
        seed: Date.now() >>> 0,
        victim,
        maxLoadMs: DAEMON_MAX_LOAD_MS,
        engine: { scmSize: "256MiB", nvmeSize: "2GiB", targets: 2, scm: tierOptions("ram"), nvme: tierOptions("spdk") },
      });
      expect(result.acknowledged).toBeGreaterThan(100);
      expect(result.engineKills).toBe(victim === "daemon" ? 0 : DAEMON_ROUNDS);
      if (victim === "engine") expect(result.daemonKills).toBe(0);
      else expect(result.daemonKills).toBeGreaterThanOrEqual(DAEMON_ROUNDS);
    },
    120_000,
  );
}
