/**
 * Engines that join, that must not, and that fall silent.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DaosError } from "../../src/base/errors.ts";
import { connect, type System } from "../../src/library.ts";
import { DaosProcess, startArguments, temporaryFolder, until } from "./system-process.ts";

const folders: string[] = [];
function folder(): string {
  const made = temporaryFolder();
  folders.push(made);
  return made;
}

let first: DaosProcess;
let address: string;
let system: System;
/** Takes no for an answer. */
let impatient: System;

beforeAll(async () => {
  first = new DaosProcess(startArguments(folder()), { DAOS_LEASE: "1", DAOS_EXCLUDE_AFTER: "2" });
  address = (await first.printed(/daos engine ready on (\S+)/))[1]!;
  system = await connect({ system: address });
  impatient = await connect({ system: address, retryWindowMs: 100 });
});
afterAll(async () => {
  await Promise.all([system.close(), impatient.close()]);
  await first.signal("SIGTERM");
  for (const made of folders) rmSync(made, { recursive: true, force: true });
});

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "ok";
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

async function joined(storage: string, ...more: string[]): Promise<DaosProcess> {
  const engine = new DaosProcess(startArguments(storage, "--join", address, ...more));
  await engine.printed(/daos engine ready on \S+ .*rank \d+ of system daos/);
  return engine;
}

async function stateOf(rank: number): Promise<string | undefined> {
  return (await system.query()).engines?.find((engine) => engine.rank === rank)?.state;
}

test("an engine joins with its fault domain, leaves when it stops, and finds the system again without --join", async () => {
  const storage = folder();
  const engine = await joined(storage, "--fault-domain", "/rack1/node2");
  expect((await system.query()).engines![1]).toMatchObject({ rank: 1, state: "joined", domain: "/rack1/node2" });
  await system.createPool({ label: "tank", sizeBytes: 128 << 20 });
  expect((await system.pool("tank").queryTargets()).map.targets.map(({ domain }) => domain)).toEqual([
    "/",
    "/rack1/node2",
  ]);
  expect(await engine.signal("SIGTERM")).toBe(0);
  expect(await stateOf(1)).toBe("stopped");
  const again = new DaosProcess(startArguments(storage));
  await again.printed(/rank 1 of system daos/);
  expect(await stateOf(1)).toBe("joined");

  const copy = folder();
  cpSync(storage, copy, { recursive: true });
  const twin = new DaosProcess(startArguments(copy));
  expect(await twin.ended()).toBe(1);
  expect(twin.output).toContain("is running already, as rank 1");
  expect(await stateOf(1)).toBe("joined");

  // A stopped engine is not asked for; one that is told to stop by rank stops.
  await system.stop({ rank: 1 });
  expect(await again.ended()).toBe(0);
  expect(await codeOf(system.stop({ rank: 77 }))).toBe("NOT_FOUND");
  await system.pool("tank").destroy();
});

test("nobody answers at the address, or it is no engine's: the start fails and names it", async () => {
  const engine = new DaosProcess(startArguments(folder(), "--join", "127.0.0.1:1"));
  expect(await engine.ended()).toBe(1);
  expect(engine.output).toContain("Cannot join the system at 127.0.0.1:1: no engine answers there.");
}, 20_000);

test("storage that begins a system, or belongs to another one, does not join", async () => {
  const other = folder();
  const engine = new DaosProcess(startArguments(other));
  const otherAddress = (await engine.printed(/daos engine ready on (\S+)/))[1]!;
  const member = folder();
  const second = new DaosProcess(startArguments(member, "--join", otherAddress));
  await second.printed(/rank 1 of system daos/);
  await Promise.all([second.signal("SIGTERM"), engine.signal("SIGTERM")]);
  const begins = new DaosProcess(startArguments(other, "--join", address));
  expect(await begins.ended()).toBe(2);
  expect(begins.output).toContain("it holds the first engine of system");
  const foreign = new DaosProcess(startArguments(member, "--join", address));
  expect(await foreign.ended()).not.toBe(0);
  expect(foreign.output).toMatch(/signed with another system's key|it belongs to system/);
}, 20_000);

test("wrong flags end with status 2", async () => {
  for (const flags of [
    ["--engines", "0"],
    ["--engines", "100"],
    ["--join", "nowhere at all"],
    ["--fault-domain", "rack1"],
  ]) {
    const engine = new DaosProcess(startArguments(folder(), ...flags));
    expect({ flags, status: await engine.ended() }).toEqual({ flags, status: 2 });
  }
});

test("an engine that falls silent stops serving before it is excluded, and joins again when it is back", async () => {
  const engine = await joined(folder());
  const rank = (await system.query()).engines!.findLast(({ state }) => state === "joined")!.rank;
  await system.createPool({ label: "kept", sizeBytes: 64 << 20 });
  await system.createPool({ label: "bare", sizeBytes: 64 << 20 });
  const kept = system.pool("kept");
  await kept.createContainer({ label: "single", type: "kv" });
  const container = await kept.openContainer("single");
  for (let index = 0; index < 20; index += 1) await container.kv().put(`k${index}`, Buffer.from("v"));

  process.kill(engine.pid, "SIGSTOP");
  await until(
    async () => (await stateOf(rank)) === "suspect",
    () => first.output,
  );
  // The pool without containers loses nothing; the other one keeps one copy of its data.
  await until(
    async () => (await system.pool("bare").queryTargets()).map.targets.some(({ state }) => state === "DOWN"),
    () => first.output,
  );
  expect((await kept.queryTargets()).map.version).toBe(1);
  expect((await system.query()).engines!.find((found) => found.rank === rank)!.reason).toContain("--force");
  // What needs all that serve is refused; what does not is not held up.
  expect(await codeOf(container.createSnapshot("now"))).toBe("UNAVAILABLE");
  await kept.createContainer({ label: "later", type: "kv" });
  expect(await codeOf(impatient.pool("bare").reintegrate({ ranks: [rank] }))).toBe("UNAVAILABLE");
  // By force: effective once the silent engine's lease is over.
  const excluded = await kept.exclude({ ranks: [rank] }, { force: true });
  expect(excluded.map.targets.map(({ state }) => state)).toEqual(["UPIN", "DOWN"]);

  process.kill(engine.pid, "SIGCONT");
  await until(
    async () => (await stateOf(rank)) === "joined",
    () => first.output,
  );
  await kept.reintegrate({ ranks: [rank] });
  await system.pool("bare").reintegrate({ ranks: [rank] });
  const later = await kept.openContainer("later");
  for (let index = 0; index < 20; index += 1) {
    expect(Buffer.from((await container.kv().get(`k${index}`))!.value).toString()).toBe("v");
    await later.kv().put(`k${index}`, Buffer.from("w"));
  }
  expect(await codeOf(system.pool("bare").exclude({ ranks: [0, rank] }))).toBe("INVALID_ARGUMENT");
  expect(await codeOf(system.pool("bare").exclude({ ranks: [99] }))).toBe("NOT_FOUND");
  await engine.signal("SIGTERM");
}, 30_000);

test("a storage of one engine grows: it goes on as the first of three", async () => {
  const storage = folder();
  const one = new DaosProcess(startArguments(storage));
  await one.printed(/daos engine ready on (\S+)/);
  await one.signal("SIGTERM");
  const three = new DaosProcess(startArguments(storage, "--engines", "2"));
  await three.printed(/daos system ready on \S+ \(2 engines/);
  expect(three.output).toContain(`(storage ${join(storage, "engine1")})`);
  expect(await three.signal("SIGTERM")).toBe(0);
  const fewer = new DaosProcess(startArguments(storage, "--engines", "1"));
  expect(await fewer.ended()).toBe(2);
  expect(fewer.output).toContain("it holds 2");
}, 20_000);
