/**
 * What happens when more engines die than the class tolerates. `npm run test:cluster` runs rounds of kill -9 of as many as it
 * does; they are not clean yet (docs/plan.md).
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, hasCode } from "../../src/library.ts";
import { ClusterProcess } from "./cluster-process.ts";

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
    const properties = { oclass: "RP_2GX", rd_preview: true };
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
    cluster.release();
    await Promise.all(victims.map((engine, index) => cluster.untilRestarted(engine, before[index]!)));
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
