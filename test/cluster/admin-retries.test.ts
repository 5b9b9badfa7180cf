/**
 * One engine with its records in sqlite, killed while two admins change them: no request fails, and none finds what is its own
 * work. (With etcd and leaders that follow each other: leader-loss.test.ts.)
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { connect } from "../../src/library.ts";
import { DaosProcess, startArguments, temporaryFolder } from "./system-process.ts";

setDefaultTimeout(120_000);
const ROUNDS = 3;
/** Requests that are answered between two kills. */
const REQUESTS = 12;

test("an engine that is killed while two admins make and destroy containers and snapshots", async () => {
  const folder = temporaryFolder();
  let port = "0";
  const launch = async (): Promise<DaosProcess> => {
    const engine = new DaosProcess([...startArguments(folder), "--listen", `127.0.0.1:${port}`]);
    port = (await engine.printed(/ready on 127\.0\.0\.1:(\d+)/))[1]!;
    return engine;
  };
  let engine = await launch();
  const admins = await Promise.all([0, 1].map(() => connect({ system: `127.0.0.1:${port}`, retryWindowMs: 60_000 })));
  const pool = admins[0]!.pool("tank");
  let [isOver, answered] = [false, 0];
  try {
    await admins[0]!.createPool({ label: "tank", sizeBytes: 128 << 20 });
    const kept = new Map<string, string>();
    const working = admins.map(async (admin, index) => {
      const tank = admin.pool("tank");
      for (let count = 0; !isOver; count += 1) {
        const label = `c${index}-${count}`;
        const { id } = await tank.createContainer({ label, type: "kv" });
        const container = await tank.openContainer(label);
        await container.createSnapshot();
        await container.close();
        answered += 2;
        if (count % 3 === 0) await tank.destroyContainer(label, { force: true });
        else kept.set(label, id);
      }
    });
    const killing = (async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const until = answered + REQUESTS + round;
        while (answered < until) await new Promise((resolve) => setImmediate(resolve));
        await engine.signal("SIGKILL");
        engine = await launch();
      }
      isOver = true;
    })();
    await Promise.all([...working, killing]);
    const found = await pool.listContainers();
    expect(found.map(({ label, id }) => `${label} ${id}`).toSorted()).toEqual(
      [...kept].map(([label, id]) => `${label} ${id}`).toSorted(),
    );
    for (const { label } of found) expect((await pool.queryContainer(label)).snapshots).toBe(1);
  } finally {
    isOver = true;
    for (const admin of admins) await admin.close();
    if (engine.isRunning) await engine.signal("SIGTERM");
    rmSync(folder, { recursive: true, force: true });
  }
});
