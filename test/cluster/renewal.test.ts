/**
 * An engine whose target is damaged stays away until others have all that it had; then the target is made anew, empty, and
 * comes back by itself.
 */
import { expect, test } from "bun:test";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type System } from "../../src/library.ts";
import { ClusterProcess } from "./cluster-process.ts";
import { Ledger } from "./ledger.ts";
import { until } from "./system-process.ts";

const SIZES = { scmSize: "64MiB", nvmeSize: "256MiB" };
const DAMAGED = 2;
const SETTLED_MS = 3_000;
const INDEX_HEADER_BYTES = 8 * 1024;
const MARK = "a text that is nowhere else";
const MARKS = 60;

async function isWhole(system: System): Promise<boolean> {
  const pool = system.pool("tank");
  const { map } = await pool.queryTargets();
  return map.targets.every(({ state }) => state === "UPIN") && (await pool.query()).rebuild?.state === "idle";
}

/** Overwrites the pages of the index behind its header. */
function damageIndex(folder: string): void {
  overwrite(join(folder, "index.lmdb"), INDEX_HEADER_BYTES, 64 * 1024);
}

/** Overwrites a part of a record that others follow. */
function damageLog(folder: string): void {
  const path = join(folder, "scm");
  const at = readFileSync(path).indexOf(MARK);
  expect(at).toBeGreaterThan(0);
  overwrite(path, at, MARK.length);
}

function overwrite(path: string, offset: number, length: number): void {
  const file = openSync(path, "r+");
  writeSync(file, Buffer.alloc(length, 0x5a), 0, length, offset);
  closeSync(file);
}

for (const [what, damage] of [
  ["index", damageIndex],
  ["log", damageLog],
] as const) {
  test(`a target with a damaged ${what} is made anew when others have what it had, and comes back`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "daos-renewal-"));
    const storage = join(folder, "storage");
    const cluster = await ClusterProcess.start({ storage, engines: 4, ...SIZES, config: { scm: { plugin: "file" } } });
    const system = await connect({ system: cluster.address, timeoutMs: 15_000, retryWindowMs: 30_000 });
    try {
      await system.createPool({ label: "tank", sizeBytes: 2 ** 29 });
      const pool = system.pool("tank");
      await pool.createContainer({ label: "box", type: "kv", properties: { oclass: "RP_2GX" } });
      const ledger = new Ledger(await pool.openContainer("box"));
      await pool.createContainer({ label: "marks", type: "kv", properties: { oclass: "RP_2GX" } });
      const kv = (await pool.openContainer("marks")).kv();
      await ledger.change(0);
      await ledger.snapshot("first");
      await Bun.sleep(SETTLED_MS);
      // These lie in the log yet.
      for (let index = 0; index < MARKS; index += 1) await kv.put(`mark ${index}`, Buffer.from(`${MARK} ${index}`));
      cluster.hold();
      await cluster.kill(DAMAGED);
      damage(join(storage, `engine${DAMAGED}`, "target-0"));
      cluster.release();
      await ledger.change(1);
      const state = (): string => cluster.output.split("\n").slice(-30).join("\n");
      await until(() => cluster.output.includes("is not made anew yet"), state);
      await until(() => cluster.output.includes("made anew, empty"), state);
      await ledger.change(2);
      await until(() => existsSync(join(storage, `engine${DAMAGED}`, "target-0", "renewed")), state);
      await until(() => isWhole(system), state);
      await ledger.expectAll();
      // What came back has all that it is read for.
      cluster.hold();
      await cluster.kill((DAMAGED + 1) % 4);
      await pool.exclude({ ranks: [(DAMAGED + 1) % 4] });
      await ledger.expectAll();
    } finally {
      await system.close();
      await cluster.killAll();
      rmSync(folder, { recursive: true, force: true });
    }
  }, 240_000);
}

test("a target that cannot be filled, for a row of its index is damaged, is made anew, and updates go on", async () => {
  const folder = mkdtempSync(join(tmpdir(), "daos-renewal-"));
  const storage = join(folder, "storage");
  const cluster = await ClusterProcess.start({ storage, engines: 4, ...SIZES, config: { scm: { plugin: "file" } } });
  const system = await connect({ system: cluster.address, timeoutMs: 15_000, retryWindowMs: 30_000 });
  const state = (): string => cluster.output.split("\n").slice(-30).join("\n");
  try {
    await system.createPool({ label: "tank", sizeBytes: 2 ** 29 });
    const pool = system.pool("tank");
    await pool.createContainer({ label: "marks", type: "kv", properties: { oclass: "RP_2GX" } });
    const kv = (await pool.openContainer("marks")).kv();
    const put = async (round: number): Promise<void> => {
      for (let index = 0; index < MARKS; index += 1) await kv.put(`mark ${index}`, Buffer.from(`${MARK} ${round}`));
    };
    await put(0);
    const index = join(storage, `engine${DAMAGED}`, "target-0", "index.lmdb");
    await until(() => readFileSync(index).includes(MARK), state);
    cluster.hold();
    await cluster.kill(DAMAGED);
    await until(async () => (await pool.query()).rebuild?.state === "done", state);
    const bytes = readFileSync(index);
    for (let at = bytes.indexOf(MARK); at >= 0; at = bytes.indexOf(MARK, at + 1)) overwrite(index, at, MARK.length);
    cluster.release();
    let round = 1;
    await until(async () => {
      await put((round += 1));
      return existsSync(join(storage, `engine${DAMAGED}`, "target-0", "renewed"));
    }, state);
    await until(() => isWhole(system), state);
    await put((round += 1));
    cluster.hold();
    await cluster.kill((DAMAGED + 1) % 4);
    await pool.exclude({ ranks: [(DAMAGED + 1) % 4] });
    for (let mark = 0; mark < MARKS; mark += 1) {
      const found = await kv.get(`mark ${mark}`);
      expect(Buffer.from(found!.value).toString()).toBe(`${MARK} ${round}`);
    }
  } finally {
    await system.close();
    await cluster.killAll();
    rmSync(folder, { recursive: true, force: true });
  }
}, 240_000);
