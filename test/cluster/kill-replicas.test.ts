/**
 * What happens when more engines die than the class tolerates, and a few rounds of kill -9 of as many as it does;
 * `npm run test:cluster` runs more of them.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { objectClassByName } from "../../src/base/object-class.ts";
import { connect, hasCode } from "../../src/library.ts";
import { ClusterProcess } from "./cluster-process.ts";
import { runClusterRounds } from "./kill-rounds.ts";

const SIZES = { scmSize: "128MiB", nvmeSize: "512MiB" };
const KEYS = 24;
const PATIENT_MS = 30_000;
const IMPATIENT_MS = 300;

test("keys whose engines are all away are UNAVAILABLE, never wrong, and back with the engines", async () => {
  const folder = mkdtempSync(join(tmpdir(), "daos-cluster-"));
  const config = { exclude_after: "never" };
  const cluster = await ClusterProcess.start({ storage: join(folder, "storage"), engines: 4, ...SIZES, config });
  const system = await connect({ system: cluster.address, timeoutMs: 5_000, retryWindowMs: PATIENT_MS });
  const impatient = await connect({ system: cluster.address, timeoutMs: 5_000, retryWindowMs: IMPATIENT_MS });
  try {
    await system.createPool({ label: "tank", sizeBytes: 2 ** 30 });
    const properties = { oclass: "RP_2GX" };
    await system.pool("tank").createContainer({ label: "box", type: "kv", properties });
    const kv = (await system.pool("tank").openContainer("box", { readOnly: false })).kv();
    const keys = Array.from({ length: KEYS }, (_value, index) => `key-${index}`);
    await Promise.all(keys.map((key) => kv.put(key, Buffer.from(key))));
    const others = (await impatient.pool("tank").openContainer("box", { readOnly: false })).kv();
    const victims = [1, 2, 3];
    const before = victims.map((engine) => cluster.restarts(engine));
    cluster.hold();
    await Promise.all(victims.map((engine) => cluster.kill(engine)));
    const reads = await Promise.allSettled(keys.map((key) => others.get(key)));
    const writes = await Promise.allSettled(keys.map((key) => others.put(key, Buffer.from(`${key} again`))));
    for (const [index, read] of reads.entries()) {
      if (read.status === "rejected") expect(hasCode(read.reason, "UNAVAILABLE")).toBe(true);
      else expect(Buffer.from(read.value!.value).toString()).toBe(keys[index]!);
    }
    expect(reads.some(({ status }) => status === "rejected")).toBe(true);
    // Every group has lost a member.
    for (const write of writes) expect(write.status === "rejected" && hasCode(write.reason, "UNAVAILABLE")).toBe(true);
    // A patient listing goes on when there is somebody to ask.
    const listing = Array.fromAsync(kv.list(), (key) => Buffer.from(key).toString());
    cluster.release();
    await Promise.all(victims.map((engine, index) => cluster.untilRestarted(engine, before[index]!)));
    expect(await listing).toEqual(keys.toSorted());
    // What was not acknowledged may have happened.
    for (const key of keys) expect([key, `${key} again`]).toContain(Buffer.from((await kv.get(key))!.value).toString());
    await Promise.all(keys.map((key) => kv.put(key, Buffer.from("back"))));
    for (const key of keys) expect(Buffer.from((await kv.get(key))!.value).toString()).toBe("back");
  } finally {
    await Promise.all([system.close(), impatient.close()]);
    await cluster.killAll();
    rmSync(folder, { recursive: true, force: true });
  }
}, 120_000);

test("rounds of kill -9 of as many engines as the class tolerates lose nothing", async () => {
  const objectClass = objectClassByName("RP_3GX");
  const options = { rounds: 4, seed: 1, engines: 4, objectClass, maxLoadMs: 500, restartEvery: 2, snapshots: true };
  const { acknowledged, kills, systemRestarts } = await runClusterRounds(options);
  expect(acknowledged).toBeGreaterThan(1_000);
  expect(kills).toBeGreaterThanOrEqual(4);
  expect(systemRestarts).toBe(3);
}, 300_000);
