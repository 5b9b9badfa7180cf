/**
 * A whole engine with two devices of which one hangs: its target refuses what needs it, in time; the other target, the
 * management and an orderly stop do not notice; and what happened is known to the next start.
 */
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "../../src/library.ts";
import { decodeStorageSuperblock } from "../../src/format/storage-superblock.ts";
import { codeOf, temporaryFolder } from "./engine-rig.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const PLUGIN = join(import.meta.dir, "../fixtures/hanging-device/index.ts");
const KEYS = 16;
const VALUE = Buffer.alloc(20_000, 7);

async function startEngine(configuration: string): Promise<{ address: string; stopped: Promise<number> }> {
  const child = Bun.spawn([process.execPath, MAIN, "server", "start", "--config", configuration], {
    stdout: "pipe",
    stderr: "inherit",
  });
  let output = "";
  for await (const chunk of child.stdout) {
    output += Buffer.from(chunk).toString();
    const ready = /ready on (\S+:\d+)/.exec(output);
    if (ready !== null) return { address: ready[1]!, stopped: child.exited };
  }
  throw new Error(`the engine ended: ${output}`);
}

test("a device that hangs does not stop the targets on others", async () => {
  const folder = temporaryFolder();
  try {
    const [storage, first, second] = ["storage", "first", "second"].map((name) => join(folder, name));
    mkdirSync(first!);
    mkdirSync(second!);
    const configuration = join(folder, "server.yml");
    const devices = [first, second].map((path) => ({ plugin: "hanging", config: { folder: path } }));
    const nvme = { size: "128MiB", devices, faulty: { timeout_ms: 400 } };
    const tiers = { scm: { plugin: "file", size: "64MiB" }, nvme };
    const engine = { storage, listen: "127.0.0.1:0", targets: 2, plugins: [PLUGIN], ...tiers };
    // JSON is YAML.
    writeFileSync(configuration, JSON.stringify(engine));
    const { address, stopped } = await startEngine(configuration);
    const system = await connect({ system: address, retryWindowMs: 100 });
    await system.createPool({ label: "tank", sizeBytes: 64 * 1024 * 1024 });
    await system.pool("tank").createContainer({ label: "things", type: "kv" });
    const container = await system.pool("tank").openContainer("things", { readOnly: false });
    const keys = Array.from({ length: KEYS }, (_value, index) => `key-${index}`);
    for (const key of keys) await container.kv().put(key, VALUE);
    writeFileSync(join(second!, "hang"), "");
    const outcomes = await Promise.all(
      keys.map((key) =>
        container
          .kv()
          .put(key, VALUE)
          .then(
            () => "done",
            (error: unknown) => codeOf(Promise.reject(error)),
          ),
      ),
    );
    expect(new Set(outcomes)).toEqual(new Set(["done", "IO"]));
    const servedFirst = keys.filter((_key, index) => outcomes[index] === "done");
    for (const key of servedFirst) expect(VALUE.equals((await container.kv().get(key))!.value)).toBe(true);
    for (const [index, key] of keys.entries()) {
      if (outcomes[index] === "IO") expect(await codeOf(container.kv().get(key))).toBe("IO");
      await container.kv().put(key, Buffer.from("small"));
      expect(Buffer.from((await container.kv().get(key))!.value).toString()).toBe("small");
    }
    const states = (await system.devices()).map(({ state, targets, reason }) => [state, targets, reason]);
    expect(states).toEqual([
      ["normal", [0], ""],
      ["faulty", [1], expect.stringContaining("did not end within 400 ms")],
    ]);
    expect(await codeOf(system.replaceDevice((await system.devices())[1]!.id, "new", { force: false }))).toBe("BUSY");
    await system.stop();
    await system.close();
    expect(await stopped).toBe(0);
    const superblock = decodeStorageSuperblock(storage!, readFileSync(join(storage!, "superblock")));
    expect(superblock.devices.map(({ state }) => state)).toEqual(["normal", "faulty"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
