/**
 * Six engine processes with the default times: one that stands still for a moment stays, one that is killed is excluded
 * within seconds, and the query says how many are left until then.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { connect, type System } from "../../src/library.ts";
import { DaosProcess, startArguments, temporaryFolder, until } from "./system-process.ts";

setDefaultTimeout(60_000);

const ENGINES = 6;
/** On a machine with nothing else to do it is less than 5 s. */
const MOST_MS = 15_000;

const folders: string[] = [];
const engines: DaosProcess[] = [];
let system: System;

async function start(...more: string[]): Promise<string> {
  const folder = temporaryFolder();
  folders.push(folder);
  const engine = new DaosProcess(startArguments(folder, ...more));
  engines.push(engine);
  return (await engine.printed(/daos engine ready on (\S+)/))[1]!;
}

async function stateOf(rank: number): Promise<{ state: string; exclusionInMs: number | undefined }> {
  const { state, exclusionInMs } = (await system.query()).engines![rank]!;
  return { state, exclusionInMs };
}

beforeAll(async () => {
  const address = await start();
  for (let rank = 1; rank < ENGINES; rank += 1) await start("--join", address);
  system = await connect({ system: address });
  await system.createPool({ label: "tank", sizeBytes: 256 << 20, properties: { rd_fac: "1" } });
  await system.pool("tank").createContainer({ label: "things", type: "kv" });
});
afterAll(async () => {
  await system.close();
  for (const engine of engines.toReversed()) if (engine.isRunning) await engine.signal("SIGTERM");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

test("an engine that stands still for half a second, again and again, is not excluded, and nobody else", async () => {
  const { pid } = engines[3]!;
  for (let round = 0; round < 5; round += 1) {
    process.kill(pid, "SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 500));
    process.kill(pid, "SIGCONT");
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  await until(
    async () => (await system.query()).engines!.every(({ state }) => state === "joined"),
    () => engines[0]!.output,
  );
  expect((await system.pool("tank").queryTargets()).map.version).toBe(1);
});

test("a killed engine is a suspect for some seconds, which are told, then excluded from the pool", async () => {
  const killedMs = performance.now();
  await engines[5]!.signal("SIGKILL");
  const told: number[] = [];
  await until(
    async () => {
      const { state, exclusionInMs } = await stateOf(5);
      if (exclusionInMs !== undefined) told.push(exclusionInMs);
      return state === "excluded";
    },
    () => engines[0]!.output,
  );
  const tookMs = performance.now() - killedMs;
  console.log(`excluded ${(tookMs / 1000).toFixed(2)} s after the kill; first told ${(told[0]! / 1000).toFixed(2)} s`);
  expect(tookMs).toBeLessThan(MOST_MS);
  expect(told.some((leftMs) => leftMs > 0 && leftMs < MOST_MS)).toBe(true);
  const { map } = await system.pool("tank").queryTargets();
  expect(map.targets.map(({ state }) => state).slice(0, 5)).toEqual(Array(5).fill("UPIN"));
  expect(map.targets[5]!.state).toMatch(/^DOWN(OUT)?$/);
  expect((await system.query()).engines!.slice(0, 5).every(({ state }) => state === "joined")).toBe(true);
});

test("two engines that are killed at once leave a pool that bears it in one change of its map, and no other pool", async () => {
  const lake = system.pool("lake");
  await system.createPool({ label: "lake", sizeBytes: 256 << 20, properties: { rd_fac: "2" } });
  await lake.createContainer({ label: "things", type: "kv" });
  const before = (await lake.queryTargets()).map.version;
  const killedMs = performance.now();
  await Promise.all([3, 4].map((index) => engines[index]!.signal("SIGKILL")));
  await until(
    async () => (await lake.queryTargets()).map.targets.some(({ state }) => state.startsWith("DOWN")),
    () => engines[0]!.output,
  );
  console.log(`excluded together ${((performance.now() - killedMs) / 1000).toFixed(2)} s after the kills`);
  const gone = (await lake.queryTargets()).map.targets.filter(({ rank }) => rank === 3 || rank === 4);
  expect(gone.map(({ since }) => since)).toEqual([before + 1, before + 1]);
  const { health } = await system.pool("tank").query();
  expect(health).toMatchObject({ state: "unavailable", gone: expect.arrayContaining([3, 4]) as number[] });
  expect((await system.pool("tank").queryTargets()).map.targets[3]!.state).toBe("UPIN");
});
