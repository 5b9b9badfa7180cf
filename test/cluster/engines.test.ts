/**
 * Three engine processes as one system: data over all of them, an engine killed, targets excluded and taken back, all of
 * them stopped and started again.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type Container } from "../../src/library.ts";
import { SystemProcess, until } from "./system-process.ts";

const KEYS = 60;
const valueOf = (index: number): Uint8Array => Buffer.from(`value ${index}`);

let rig: SystemProcess;
let container: Container;

beforeAll(async () => {
  rig = await SystemProcess.start(3);
  await rig.system.createPool({ label: "tank", sizeBytes: 256 << 20 });
  await rig.system.pool("tank").createContainer({ label: "things", type: "kv" });
  container = await rig.system.pool("tank").openContainer("things");
});
afterAll(() => rig.remove());

async function expectData(from: Container = container): Promise<void> {
  for (let index = 0; index < KEYS; index += 1) {
    expect(Buffer.from((await from.kv().get(`key ${index}`))!.value)).toEqual(Buffer.from(valueOf(index)));
  }
}

test("a pool lies on the targets of all ranks, and a kv container's keys on all of them", async () => {
  const { map } = await rig.system.pool("tank").queryTargets();
  expect(map.version).toBe(1);
  expect(map.targets.map(({ rank, state }) => [rank, state])).toEqual([
    [0, "UPIN"],
    [1, "UPIN"],
    [2, "UPIN"],
  ]);
  for (let index = 0; index < KEYS; index += 1) await container.kv().put(`key ${index}`, valueOf(index));
  await expectData();
  const keys: string[] = [];
  for await (const key of container.kv().list()) keys.push(Buffer.from(key).toString());
  expect(keys.length).toBe(KEYS);
  // Each engine answers for the part that it holds.
  const engines = (await rig.system.query()).engines!;
  for (const { scmUsedBytes } of engines) expect(scmUsedBytes).toBeGreaterThan(0);
});

test("any engine answers what the control plane is asked", async () => {
  const other = (await rig.system.query()).engines![2]!.address;
  const system = await connect({ system: other });
  expect((await system.listPools()).map(({ label }) => label)).toEqual(["tank"]);
  const opened = await system.pool("tank").openContainer("things", { readOnly: true });
  await expectData(opened);
  await system.close();
});

test("an engine that is killed comes back by itself, with its data, at another target port", async () => {
  const pid = rig.enginePid(2);
  rig.killEngine(2);
  await expectData();
  expect(rig.enginePid(2)).not.toBe(pid);
  expect(rig.process.output).toContain("engine 2: ended by SIGKILL; starting it again");
  await until(
    async () => (await rig.states()).every((state) => state === "joined"),
    () => rig.process.output,
  );
});

test("with the control plane killed the others go on, and it comes back where it was", async () => {
  rig.killEngine(0);
  await expectData();
  await until(
    async () => (await rig.states().catch(() => ["away"])).every((state) => state === "joined"),
    () => rig.process.output,
  );
  await rig.system.pool("tank").setProperties({ "user.a": "b" });
});

test("snapshots are of one epoch everywhere, and what is destroyed while an engine is away goes when it is back", async () => {
  const { epoch } = await container.createSnapshot("monday");
  await container.kv().put("key 0", Buffer.from("newer"));
  const view = await container.at(epoch);
  expect(Buffer.from((await view.kv().get("key 0"))!.value)).toEqual(Buffer.from(valueOf(0)));
  await container.kv().put("key 0", valueOf(0));
  rig.killEngine(1);
  await container.destroySnapshot("monday");
  await until(
    async () => (await rig.states())[1] === "joined",
    () => rig.process.output,
  );
  expect(await container.listSnapshots()).toEqual([]);
});

test("exclusion of what has no other copy needs --force; the map's version goes up and clients follow", async () => {
  const pool = rig.system.pool("tank");
  expect(await rig.daos("pool", "exclude", "tank", "--ranks", "1")).toMatchObject({ status: 1 });
  expect((await pool.queryTargets()).map.version).toBe(1);
  const { output, status } = await rig.daos("pool", "exclude", "tank", "--ranks", "1", "--force");
  expect({ status, output }).toMatchObject({ status: 0 });
  expect(output).toContain("Pool map version 2");
  const { map } = await pool.queryTargets();
  expect(map.targets.map(({ state, since }) => `${state} ${since}`)).toEqual(["UPIN 1", "DOWN 2", "UPIN 1"]);
  await container.kv().put("key 1", valueOf(1));
  const back = await pool.reintegrate({ ranks: [1] });
  expect(back.map.targets.map(({ state }) => state)).toEqual(["UPIN", "UPIN", "UPIN"]);
  expect(back.map.version).toBe(4);
  await expectData();
});

test("daos server stop stops all; a start without --engines brings all back with their data", async () => {
  await rig.system.close();
  expect(await rig.daos("server", "stop")).toMatchObject({ status: 0 });
  expect(await rig.process.ended()).toBe(0);
  for (const index of [0, 1, 2]) expect(() => rig.enginePid(index)).toThrow();
  rig = await SystemProcess.start(3, { storage: rig.storage });
  container = await rig.system.pool("tank").openContainer("things");
  await expectData();
  expect(await rig.states()).toEqual(["joined", "joined", "joined"]);
});

test("a supervisor that is killed leaves no engine behind", async () => {
  const pids = [0, 1, 2].map((index) => rig.enginePid(index));
  await rig.system.close();
  await rig.process.signal("SIGKILL");
  const isRunning = (pid: number): boolean =>
    existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(join("/proc", String(pid), "stat"), "utf8"));
  await until(
    () => !pids.some(isRunning),
    () => `${pids.filter(isRunning).join(", ")} still run`,
  );
});
