/** A system of three engines whose records are moved from sqlite to etcd, as an admin does it. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ETCD_MISSING, EtcdCluster } from "../fixtures/etcd-cluster.ts";
import { DaosProcess, startArguments, SystemProcess, temporaryFolder, until } from "./system-process.ts";

if (ETCD_MISSING !== undefined) console.error(`moving records to etcd: skipped, ${ETCD_MISSING}`);
setDefaultTimeout(120_000);
const POOL_BYTES = 256 << 20;

async function run(...args: string[]): Promise<{ status: number; output: string }> {
  const child = new DaosProcess(args);
  return { status: await child.ended(), output: child.output };
}

describe.skipIf(ETCD_MISSING !== undefined)("daos system migrate-meta", () => {
  test("pools, containers and data are there as before, and the old store is not taken again", async () => {
    const etcd = await EtcdCluster.start();
    const folder = temporaryFolder();
    const path = join(folder, "daos.yml");
    const config = { endpoints: etcd.endpoints, prefix: "daos/moved/" };
    writeFileSync(path, JSON.stringify({ meta_store: { plugin: "etcd", config } }));
    let rig = await SystemProcess.start(3);
    const { storage } = rig;
    const migrate = (): Promise<{ status: number; output: string }> =>
      run("system", "migrate-meta", "--config", path, "--storage", storage);
    try {
      await rig.system.createPool({ label: "tank", sizeBytes: POOL_BYTES });
      for (let index = 0; index < 70; index += 1) {
        await rig.system.pool("tank").createContainer({ label: `c${index}`, type: "kv" });
      }
      const container = await rig.system.pool("tank").openContainer("c7");
      for (let index = 0; index < 50; index += 1) {
        await container.kv().put(`key ${index}`, Buffer.from(`value ${index}`));
      }
      // How much a container takes is measured, not recorded.
      const recorded = async (): Promise<object[]> =>
        (await rig.system.pool("tank").listContainers()).map((found) => ({ ...found, usedBytes: undefined }));
      const before = await recorded();
      const running = await migrate();
      expect(running.status).not.toBe(0);
      await rig.stop();

      const moved = await migrate();
      expect(moved.output).toMatch(/^Moved \d+ records from sqlite to etcd/m);
      expect(moved.status).toBe(0);
      expect((await migrate()).output).toContain("already");
      const old = await run(...startArguments(join(storage, "engine0")));
      expect(old.status).not.toBe(0);
      expect(old.output).toContain(`records are in meta store "etcd"`);

      rig = await SystemProcess.start(3, { storage, args: ["--config", path] });
      await until(
        async () => (await rig.states()).every((state) => state === "joined"),
        () => rig.process.output,
      );
      expect(await recorded()).toEqual(before);
      const again = await rig.system.pool("tank").openContainer("c7");
      for (let index = 0; index < 50; index += 1) {
        expect(Buffer.from((await again.kv().get(`key ${index}`))!.value).toString()).toBe(`value ${index}`);
      }
      await rig.system.pool("tank").createContainer({ label: "new", type: "kv" });
      expect(rig.process.output).toContain("leads the control plane");
    } finally {
      await rig.remove();
      await etcd.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
