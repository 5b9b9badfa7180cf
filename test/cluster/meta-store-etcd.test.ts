/**
 * An engine whose records are in etcd: etcd goes away and comes back, the engine is killed, etcd is wiped, and another
 * system's etcd is named.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type System } from "../../src/library.ts";
import { codeOf } from "../conformance/support.ts";
import { ETCD_MISSING, EtcdCluster } from "../fixtures/etcd-cluster.ts";
import { DaosProcess, startArguments, SystemProcess, temporaryFolder, until } from "./system-process.ts";

if (ETCD_MISSING !== undefined) console.error(`engines with etcd: skipped, ${ETCD_MISSING}`);
setDefaultTimeout(60_000);
const ETCD_TIMEOUT_MS = 2_000;
const POOL_BYTES = 64 << 20;

describe.skipIf(ETCD_MISSING !== undefined)("an engine with its records in etcd", () => {
  let etcd: EtcdCluster;
  let folder = "";
  let engine: DaosProcess;
  let system: System;

  const launch = (storage: string): DaosProcess =>
    new DaosProcess(startArguments(join(folder, storage), "--config", join(folder, "daos.yml")));

  const start = async (storage: string): Promise<void> => {
    engine = launch(storage);
    const address = (await engine.printed(/daos engine ready on (\S+)|ready on (\S+)/)).slice(1).find(Boolean)!;
    // It does not wait for an etcd that is gone.
    system = await connect({ system: address, retryWindowMs: 500 });
  };

  /** What a start says that is refused. */
  const refused = async (storage: string): Promise<string> => {
    const process = launch(storage);
    expect(await process.ended()).not.toBe(0);
    return process.output;
  };

  beforeAll(async () => {
    etcd = await EtcdCluster.start();
    folder = temporaryFolder();
    const config = { endpoints: etcd.endpoints, prefix: "daos/test/", request_timeout_ms: ETCD_TIMEOUT_MS };
    // JSON is YAML.
    writeFileSync(join(folder, "daos.yml"), JSON.stringify({ meta_store: { plugin: "etcd", config } }));
    await start("first");
    await system.createPool({ label: "tank", sizeBytes: POOL_BYTES });
    await system.pool("tank").createContainer({ label: "things", type: "kv" });
  });
  afterAll(async () => {
    await system.close();
    if (engine.isRunning) await engine.signal("SIGTERM");
    await etcd.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("while etcd is gone data is read and written, changes of the system are refused; then all goes on", async () => {
    const container = await system.pool("tank").openContainer("things");
    await etcd.killMember(0);
    for (let index = 0; index < 50; index += 1) await container.kv().put(`key ${index}`, Buffer.from(`value ${index}`));
    // Longer than leadership and leases together: no other engine could lead, so this one goes on.
    const endNs = Bun.nanoseconds() + 8e9;
    expect(["UNAVAILABLE", "TIMEOUT"]).toContain(
      (await codeOf(() => system.createPool({ label: "more", sizeBytes: POOL_BYTES }))) as string,
    );
    while (Bun.nanoseconds() < endNs) {
      expect(Buffer.from((await container.kv().get("key 7"))!.value).toString()).toBe("value 7");
      await Bun.sleep(100);
    }
    etcd.startMember(0);
    await etcd.untilReady();
    await system.createPool({ label: "more", sizeBytes: POOL_BYTES });
    expect((await system.listPools()).map(({ label }) => label).toSorted()).toEqual(["more", "tank"]);
  });

  test("an engine that is killed finds its records again", async () => {
    await system.close();
    await engine.signal("SIGKILL");
    await start("first");
    expect((await system.listPools()).map(({ label }) => label).toSorted()).toEqual(["more", "tank"]);
    const container = await system.pool("tank").openContainer("things");
    expect(Buffer.from((await container.kv().get("key 7"))!.value).toString()).toBe("value 7");
  });

  test("storage of another system is not formatted onto these records", async () => {
    const output = await refused("second");
    expect(output).toContain("belongs to system");
    expect(output).toContain("prefix");
  });

  test("etcd is away when the engine starts: refused, with its endpoints", async () => {
    await system.close();
    await engine.signal("SIGTERM");
    await etcd.killMember(0);
    expect(await refused("first")).toContain(etcd.endpoints[0]!);
  });

  test("etcd was wiped: the start is refused and says what to restore; the data stays", async () => {
    etcd.wipeMember(0);
    etcd.startMember(0);
    await etcd.untilReady();
    const output = await refused("first");
    expect(output).toContain("has no record of it");
    expect(output).toContain("`daos system restore`");
    expect(await refused("first")).toContain("has no record of it");
  });
});

describe.skipIf(ETCD_MISSING !== undefined)("three engines with their records in etcd", () => {
  test("etcd is gone while an engine dies: the control plane lives on, and the engine joins when etcd is back", async () => {
    const etcd = await EtcdCluster.start();
    const folder = temporaryFolder();
    const path = join(folder, "daos.yml");
    const config = { endpoints: etcd.endpoints, request_timeout_ms: ETCD_TIMEOUT_MS };
    writeFileSync(path, JSON.stringify({ meta_store: { plugin: "etcd", config } }));
    const rig = await SystemProcess.start(3, { args: ["--config", path] });
    try {
      await rig.system.createPool({ label: "tank", sizeBytes: 256 << 20 });
      await rig.system.pool("tank").createContainer({ label: "things", type: "kv" });
      const container = await rig.system.pool("tank").openContainer("things");
      const control = rig.enginePid(0);
      await etcd.killMember(0);
      rig.killEngine(2);
      await Bun.sleep(4 * ETCD_TIMEOUT_MS);
      expect(rig.enginePid(0)).toBe(control);
      etcd.startMember(0);
      await etcd.untilReady();
      await until(
        async () => (await rig.states()).every((state) => state === "joined"),
        () => rig.process.output,
      );
      for (let index = 0; index < 30; index += 1) {
        await container.kv().put(`key ${index}`, Buffer.from(`value ${index}`));
      }
      await rig.system.createPool({ label: "more", sizeBytes: 256 << 20 });
      expect(rig.enginePid(0)).toBe(control);
    } finally {
      await rig.remove();
      await etcd.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
