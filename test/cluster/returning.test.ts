/**
 * An engine that dies, is excluded by the others, and comes back with its data: nobody tells the pool to take it back, and what is
 * brought to it is what has changed.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "../../src/library.ts";
import { ClusterProcess } from "./cluster-process.ts";
import { untilRebuild } from "./ledger.ts";

const SIZES = { scmSize: "128MiB", nvmeSize: "512MiB" };
const KEYS = 2_000;
/** One key in so many changes while the engine is away. */
const CHANGED_EACH = 100;
const VALUE_BYTES = 2_000;

test("an engine that comes back is taken back by itself, and brought what has changed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "daos-cluster-"));
  const cluster = await ClusterProcess.start({ storage: join(folder, "storage"), engines: 4, ...SIZES });
  const system = await connect({ system: cluster.address, timeoutMs: 15_000, retryWindowMs: 60_000 });
  try {
    await system.createPool({ label: "tank", sizeBytes: 2 ** 30 });
    const pool = system.pool("tank");
    await pool.createContainer({ label: "box", type: "kv", properties: { oclass: "RP_2GX" } });
    const kv = (await pool.openContainer("box")).kv();
    const valueOf = (index: number, round: number): Buffer => Buffer.alloc(VALUE_BYTES, `${index} of round ${round} `);
    for (let index = 0; index < KEYS; index += 50) {
      const batch = Array.from({ length: 50 }, (_, more) => index + more);
      await Promise.all(batch.map((each) => kv.put(`key ${each}`, valueOf(each, 0))));
    }
    const restarts = cluster.restarts(2);
    cluster.hold();
    await cluster.kill(2);
    await untilRebuild(system, "done");
    const away = (await pool.query()).rebuild!;
    for (let index = 0; index < KEYS; index += CHANGED_EACH) await kv.put(`key ${index}`, valueOf(index, 1));
    await kv.delete("key 1");
    cluster.release();
    await cluster.untilRestarted(2, restarts);
    await untilRebuild(system, "idle");
    const { map } = await pool.queryTargets();
    expect(map.targets.map(({ state }) => state)).toEqual(["UPIN", "UPIN", "UPIN", "UPIN"]);
    const back = (await pool.query()).rebuild!;
    console.log(`away ${away.dkeys} dkeys, ${away.bytes} bytes; back ${back.dkeys} dkeys, ${back.bytes} bytes`);
    // A quarter of two copies each is what it had.
    expect(away.dkeys).toBeGreaterThan(KEYS / 4);
    expect(back.dkeys).toBeLessThan(KEYS / CHANGED_EACH + 40);
    expect(back.bytes).toBeLessThan(away.bytes / 10);
    cluster.hold();
    await cluster.kill(1);
    for (let index = 0; index < KEYS; index += 7) {
      const found = await kv.get(`key ${index}`);
      const wanted = index === 1 ? undefined : valueOf(index, index % CHANGED_EACH === 0 ? 1 : 0);
      expect(found === undefined ? undefined : Buffer.from(found.value).toString()).toBe(wanted?.toString());
    }
    expect(await kv.get("key 1")).toBeUndefined();
    cluster.release();
  } finally {
    await system.close();
    await cluster.killAll();
    rmSync(folder, { recursive: true, force: true });
  }
}, 240_000);
