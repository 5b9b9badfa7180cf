/**
 * Three engine processes under a supervisor, operated by their administrator: what happened is kept and told.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
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
