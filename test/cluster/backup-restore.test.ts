/**
 * A system whose meta store is lost: refused, explained, brought back from a backup, with its data; and one that is erased
 * and formatted anew. With the default meta store, and with etcd.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ETCD_MISSING, EtcdCluster } from "../fixtures/etcd-cluster.ts";
import { DaosProcess, startArguments, SystemProcess, temporaryFolder, until } from "./system-process.ts";

if (ETCD_MISSING !== undefined) console.error(`backup with etcd: skipped, ${ETCD_MISSING}`);
setDefaultTimeout(120_000);

async function run(...args: string[]): Promise<{ status: number; output: string }> {
  const child = new DaosProcess(args);
  return { status: await child.ended(), output: child.output };
}

async function valueOf(rig: SystemProcess, label: string): Promise<string | undefined> {
  const container = await rig.system.pool("tank").openContainer(label);
  const found = await container.kv().get("greeting");
  return found === undefined ? undefined : Buffer.from(found.value).toString();
}

async function fill(rig: SystemProcess, label: string): Promise<void> {
  await rig.system.pool("tank").createContainer({ label, type: "kv" });
  const container = await rig.system.pool("tank").openContainer(label);
  await container.kv().put("greeting", Buffer.from(`hello of ${label}`));
}

describe("two engines with the default meta store", () => {
  const folder = temporaryFolder();
  const backup = join(folder, "daos.backup");
  let rig: SystemProcess;

  beforeAll(async () => {
    rig = await SystemProcess.start(2);
    await rig.system.createPool({ label: "tank", sizeBytes: 256 << 20 });
    await fill(rig, "before");
  });
  afterAll(async () => {
    await rig.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test("backup, loss and restore: what was there is there, and nothing is under a number that was used", async () => {
    expect((await rig.daos("system", "backup", backup)).output).toMatch(/^Wrote \d+ records/);
    await fill(rig, "after");
    const { storage } = rig;
    const refusedRunning = await run("system", "restore", backup, "--storage", storage);
    expect(refusedRunning.status).toBe(1);
    await rig.stop();
    const refused = await run("system", "restore", backup, "--storage", storage);
    expect(refused.output).toContain("is not empty");
    rmSync(join(storage, "engine0", "meta"), { recursive: true });
    const lost = new DaosProcess(startArguments(storage, "--engines", "2"));
    expect(await lost.ended()).not.toBe(0);
    expect(lost.output).toContain("the meta store has no record of it");
    const damaged = join(folder, "damaged");
    writeFileSync(damaged, readFileSync(backup).subarray(0, -20));
    expect((await run("system", "restore", damaged, "--storage", storage)).output).toContain("it is cut off");
    const restored = await run("system", "restore", backup, "--storage", storage);
    expect(restored.output).toMatch(/^Restored \d+ records of system daos/);
    rig = await SystemProcess.start(2, { storage });
    await until(
      async () => (await rig.states()).every((state) => state === "joined"),
      () => rig.process.output,
    );
    expect((await rig.system.pool("tank").listContainers()).map(({ label }) => label)).toEqual(["before"]);
    expect(await valueOf(rig, "before")).toBe("hello of before");
    // The number of "after" is not given out again: its data would come back.
    await rig.system.pool("tank").createContainer({ label: "new", type: "kv" });
    expect(await valueOf(rig, "new")).toBeUndefined();
  });

  test("erase needs the name and stopped engines; then the storage is formatted anew", async () => {
    const { storage } = rig;
    const erase = (...more: string[]): Promise<{ status: number; output: string }> =>
      run("system", "erase", "--storage", storage, ...more);
    expect((await erase("--confirm", "daos", "--force")).output).toContain("Cannot");
    await rig.stop();
    expect((await erase("--confirm", "other")).status).toBe(2);
    const erased = await erase("--confirm", "daos");
    expect(erased.output).toContain(`Erased ${storage}/engine1.`);
    expect(erased.status).toBe(0);
    rig = await SystemProcess.start(2, { storage });
    expect(rig.process.output).toContain("formatted");
    expect(await rig.system.listPools()).toEqual([]);
    expect(await rig.states()).toEqual(["joined", "joined"]);
  });
});

describe.skipIf(ETCD_MISSING !== undefined)("an engine with its records in etcd", () => {
  test("etcd wiped: the start is refused and explained, and a backup brings the records back", async () => {
    const etcd = await EtcdCluster.start();
    const folder = temporaryFolder();
    const config = join(folder, "daos.yml");
    const backup = join(folder, "daos.backup");
    const write = (prefix: string): void =>
      writeFileSync(
        config,
        JSON.stringify({ meta_store: { plugin: "etcd", config: { endpoints: etcd.endpoints, prefix } } }),
      );
    write("daos/one/");
    let rig = await SystemProcess.start(2, { args: ["--config", config] });
    const { storage } = rig;
    try {
      await rig.system.createPool({ label: "tank", sizeBytes: 256 << 20 });
      await fill(rig, "things");
      expect((await rig.daos("system", "backup", backup)).status).toBe(0);
      await rig.stop();
      // Another prefix is an etcd that knows nothing of the system.
      write("daos/two/");
      const lost = new DaosProcess(startArguments(storage, "--engines", "2", "--config", config));
      expect(await lost.ended()).not.toBe(0);
      expect(lost.output).toContain("the meta store has no record of it");
      const restored = await run("system", "restore", backup, "--storage", storage, "--config", config);
      expect(restored.output).toMatch(/^Restored \d+ records/m);
      rig = await SystemProcess.start(2, { storage, args: ["--config", config] });
      await until(
        async () => (await rig.states()).every((state) => state === "joined"),
        () => rig.process.output,
      );
      expect(await valueOf(rig, "things")).toBe("hello of things");
    } finally {
      await rig.remove();
      await etcd.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
