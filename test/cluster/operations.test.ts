/**
 * Three engine processes under a supervisor, operated by their administrator: what happened is kept and told.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { SystemProcess, until } from "./system-process.ts";

setDefaultTimeout(90_000);

let rig: SystemProcess;

beforeAll(async () => {
  rig = await SystemProcess.start(3);
  await rig.system.createPool({ label: "tank", sizeBytes: 256 << 20, properties: { rd_fac: "1" } });
  await rig.system.pool("tank").createContainer({ label: "things", type: "kv" });
});
afterAll(() => rig.remove());

const output = (): string => rig.process.output;

/** Ids of all events, with the rank that they are about. */
async function told(): Promise<string[]> {
  const { events } = await rig.system.events({ after: 0 });
  return events.map(({ id, rank }) => (rank === undefined ? id : `${id} ${rank}`));
}

test("an engine that is killed and started again is told of, by itself and by the control plane", async () => {
  await until(async () => (await told()).filter((event) => event.startsWith("engine_joined")).length === 2, output);
  rig.killEngine(2);
  await until(async () => (await told()).includes("engine_restarted 2"), output);
  const events = await told();
  expect(events.slice(0, 4)).toEqual(["leader_changed 0", "engine_joined 1", "engine_joined 2", "pool_created"]);
  const { events: found } = await rig.system.events({ severity: "error" });
  expect(found.find(({ id }) => id === "engine_restarted")!.message).toContain("it had ended by SIGKILL");
});

test("events survive the restart of all engines, and the command shows them", async () => {
  const before = (await told()).length;
  const { storage } = rig;
  await rig.stop();
  rig = await SystemProcess.start(3, { storage });
  await until(async () => (await told()).filter((event) => event === "leader_changed 0").length === 2, output);
  const events = await told();
  expect(events.slice(before)).toContain("engine_left 0");
  const { status, output: text } = await rig.daos("system", "events", "--severity", "error", "--json");
  expect(status).toBe(0);
  const errors = JSON.parse(text) as { id: string; rank: number | null; severity: string }[];
  expect(errors.every(({ severity }) => severity === "error")).toBe(true);
  expect(errors.find(({ id }) => id === "engine_restarted")).toMatchObject({ rank: 2 });
});

test("an engine that is stopped stays so until it is started, and is filled with what it missed", async () => {
  expect((await rig.daos("system", "stop", "--ranks", "2")).status).toBe(0);
  expect(() => rig.enginePid(2)).toThrow();
  expect((await rig.states())[2]).toBe("stopped");
  const { status, output: text } = await rig.daos("system", "start", "--ranks", "2");
  expect({ status, text }).toEqual({ status: 0, text: "Started rank 2.\n" });
  await until(async () => (await rig.states()).every((state) => state === "joined"), output);
  // At once: nothing is finished, and nothing that was acknowledged is lost.
  const container = await rig.system.pool("tank").openContainer("things");
  await container.kv().put("before", Buffer.from("force"));
  expect((await rig.daos("system", "stop", "--ranks", "1", "--force")).status).toBe(0);
  expect((await rig.daos("system", "start")).output).toContain("Started rank 1.");
  await until(async () => (await rig.states()).every((state) => state === "joined"), output);
  expect(Buffer.from((await container.kv().get("before"))!.value).toString()).toBe("force");
});

test("SIGTERM finishes what runs: clients under load see no failure but that of an engine that is away", async () => {
  const container = await rig.system.pool("tank").openContainer("things");
  const acknowledged = new Map<string, string>();
  const failures = new Set<string>();
  let isOver = false;
  const writers = Array.from({ length: 8 }, async (_value, writer) => {
    for (let count = 0; !isOver; count += 1) {
      const key = `key ${writer} ${count % 50}`;
      try {
        await container.kv().put(key, Buffer.from(`value ${count}`));
        acknowledged.set(key, `value ${count}`);
      } catch (error) {
        if (!(error instanceof DaosError)) throw error;
        failures.add(error.code);
        acknowledged.delete(key);
      }
    }
  });
  const started = acknowledged.size;
  await until(() => acknowledged.size > started + 100, output);
  process.kill(rig.enginePid(1), "SIGTERM");
  await until(async () => (await rig.states())[1] === "stopped", output);
  expect((await rig.daos("system", "start")).status).toBe(0);
  await until(async () => (await rig.states()).every((state) => state === "joined"), output);
  isOver = true;
  await Promise.all(writers);
  expect([...failures].filter((code) => code !== "UNAVAILABLE" && code !== "TIMEOUT")).toEqual([]);
  for (const [key, value] of acknowledged) {
    expect(Buffer.from((await container.kv().get(key))!.value).toString()).toBe(value);
  }
});

test("a rolling restart: every engine is another process, and a client goes on with what it wrote", async () => {
  const pids = [0, 1, 2].map((index) => rig.enginePid(index));
  const container = await rig.system.pool("tank").openContainer("things");
  await container.kv().put("rolling", Buffer.from("before"));
  const { status, output: text } = await rig.daos("system", "restart", "--rolling");
  expect({ status, text }).toEqual({ status: 0, text: "Restarted rank 1.\nRestarted rank 2.\nRestarted rank 0.\n" });
  expect([0, 1, 2].map((index) => pids.includes(rig.enginePid(index)))).toEqual([false, false, false]);
  await until(async () => (await rig.states()).every((state) => state === "joined"), output);
  expect(Buffer.from((await container.kv().get("rolling"))!.value).toString()).toBe("before");
  const { engines = [] } = await rig.system.query();
  expect(engines.map(({ software }) => software?.startsWith("daos "))).toEqual([true, true, true]);
}, 240_000);
