/**
 * Engines that are lost one after the other, more of them than the class tolerates at a time, and come back: the others are
 * filled in between, so nothing is lost, and the engines that come back are filled with what they missed.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "../../src/library.ts";
import { ClusterProcess } from "./cluster-process.ts";
import { Ledger, untilRebuild } from "./ledger.ts";
import { until } from "./system-process.ts";

const SIZES = { scmSize: "128MiB", nvmeSize: "512MiB" };

/** `lost`: engines that die one after the other, and come back in the end. `last` dies then. */
async function loseAndReturn(oclass: string, engines: number, lost: readonly number[], last: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "daos-cluster-"));
  const config = { exclude_after: "never" };
  const cluster = await ClusterProcess.start({ storage: join(folder, "storage"), engines, ...SIZES, config });
  const system = await connect({ system: cluster.address, timeoutMs: 15_000, retryWindowMs: 30_000 });
  try {
    await system.createPool({ label: "tank", sizeBytes: 2 ** 30 });
    const pool = system.pool("tank");
    const properties = { oclass };
    await pool.createContainer({ label: "box", type: "kv", properties });
    const container = await pool.openContainer("box", { readOnly: false });
    const ledger = new Ledger(container);
    await ledger.change(0);
    await ledger.snapshot("first");
    const restarts = lost.map((engine) => cluster.restarts(engine));
    cluster.hold();
    let round = 0;
    for (const engine of lost) {
      round += 1;
      await cluster.kill(engine);
      await pool.exclude({ ranks: [engine] });
      await ledger.change(round);
      await untilRebuild(system, "done");
      // With this rebuilt the next one may be lost.
      await ledger.expectAll();
      await ledger.snapshot(`round-${round}`);
    }
    cluster.release();
    await Promise.all(lost.map((engine, index) => cluster.untilRestarted(engine, restarts[index]!)));
    await until(
      async () => (await system.query()).engines!.every(({ state }) => state === "joined"),
      () => cluster.output,
    );
    await pool.reintegrate({ ranks: lost });
    await ledger.change(round + 1);
    await untilRebuild(system, "idle");
    expect((await pool.queryTargets()).map.targets.every(({ state }) => state === "UPIN")).toBe(true);
    await ledger.expectAll();
    // What came back has all that it is read for.
    cluster.hold();
    await cluster.kill(last);
    await pool.exclude({ ranks: [last] });
    await ledger.expectAll();
    cluster.release();
  } finally {
    await system.close();
    await cluster.killAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

test("copies on engines that are lost one after the other lose nothing, and come back whole", async () => {
  await loseAndReturn("RP_2GX", 5, [3, 4, 2], 1);
}, 240_000);

test("erasure code on engines that are lost one after the other loses nothing, and comes back whole", async () => {
  await loseAndReturn("EC_2P1GX", 5, [3, 4], 1);
}, 240_000);
