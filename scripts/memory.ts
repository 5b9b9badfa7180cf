/**
 * `npm run test:memory [-- --keys N] [--storage DIR] [--scm-size S]`: an engine with 10 million 100 B keys: its resident
 * memory while they are loaded and afterwards, random gets compared byte by byte, then kill -9 under load with a log as
 * full as it gets, and the time until it serves again. Status 1 when a value is wrong or a goal is missed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { connect, type Container, type System } from "../src/library.ts";
import { EngineProcess } from "../test/crash/engine-process.ts";
import { MemoryWatch, processMemory, type ProcessMemory } from "./process-memory.ts";

const GOAL_RESIDENT_BYTES = 1.5 * 2 ** 30;
const GOAL_START_MS = 5_000;
const VALUE_BYTES = 100;
/** A prime: places taken at this stride come in no order, and each once. */
const STRIDE = 7_368_787;
const IN_FLIGHT = 512;
const CHECKED_KEYS = 100_000;
/** Overwriting before the kill: until the log is full, or for so long. */
const FILL_LOG_MS = 60_000;
const FULL_LOG_SHARE = 0.85;
const LOG_BYTES = 128 * 2 ** 20;
const SETTLED_WAIT_MS = 120_000;
const REPORT_INTERVAL_MS = 10_000;

const { values } = parseArgs({
  options: { keys: { type: "string" }, storage: { type: "string" }, "scm-size": { type: "string" } },
});
const keys = Number(values.keys ?? 10_000_000);
const storage = values.storage ?? mkdtempSync(join(tmpdir(), "daos-memory-"));
const engineOptions = { storage, scmSize: values["scm-size"] ?? "16GiB", nvmeSize: "1GiB", targets: 1 };
const misses: string[] = [];

interface Client {
  readonly system: System;
  readonly container: Container;
}

/** The value of a place at its version: 0 when loaded, 1 when overwritten. */
function valueOf(place: number, version: number): Uint8Array {
  const bytes = new Uint8Array(VALUE_BYTES);
  const words = new Uint32Array(bytes.buffer);
  let state = Math.imul(place + 1, 0x9e3779b1) ^ Math.imul(version + 1, 0x85ebca6b);
  for (let index = 0; index < words.length; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return bytes;
}

function keyOf(place: number): string {
  return `user:${String(place).padStart(12, "0")}`;
}

function placeOf(turn: number): number {
  return Number((BigInt(turn) * BigInt(STRIDE)) % BigInt(keys));
}

async function lanes(count: number, work: (turn: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const turn = next;
      next += 1;
      await work(turn);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

async function open(engine: EngineProcess, create: boolean): Promise<Client> {
  const system = await connect({ system: engine.address, retryWindowMs: 50 });
  if (create) {
    await system.createPool({ label: "tank", sizeBytes: 2 ** 33 });
    await system.pool("tank").createContainer({ label: "keys", type: "kv" });
  }
  return { system, container: await system.pool("tank").openContainer("keys") };
}

function show(label: string, { residentBytes, privateBytes, mappedBytes }: ProcessMemory): void {
  const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
  console.log(`${label}: ${mib(residentBytes)} resident (${mib(privateBytes)} private, ${mib(mappedBytes)} mapped)`);
}

function goal(met: boolean, text: string): void {
  console.log(`${met ? "met   " : "MISSED"} ${text}`);
  if (!met) misses.push(text);
}

async function load(engine: EngineProcess, { container }: Client): Promise<void> {
  const kv = container.kv();
  const startMs = performance.now();
  let done = 0;
  let lastDone = 0;
  const timer = setInterval(() => {
    const rate = Math.round((done - lastDone) / (REPORT_INTERVAL_MS / 1000));
    lastDone = done;
    show(
      `${Math.round((performance.now() - startMs) / 1000)} s, ${done} keys, ${rate} put/s`,
      processMemory(engine.pid),
    );
  }, REPORT_INTERVAL_MS);
  await lanes(keys, async (turn) => {
    const place = placeOf(turn);
    await kv.put(keyOf(place), valueOf(place, 0));
    done += 1;
  });
  clearInterval(timer);
  const seconds = (performance.now() - startMs) / 1000;
  console.log(`loaded ${keys} keys in ${seconds.toFixed(1)} s: ${Math.round(keys / seconds)} put/s sustained`);
}

/** Resolves when the space in use no longer changes. */
async function settled({ system }: Client): Promise<number> {
  const startMs = performance.now();
  let lastBytes = -1;
  let equal = 0;
  while (equal < 8 && performance.now() - startMs < SETTLED_WAIT_MS) {
    const usedBytes = await scmUsed(system);
    equal = usedBytes === lastBytes ? equal + 1 : 0;
    lastBytes = usedBytes;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return lastBytes;
}

async function scmUsed(system: System): Promise<number> {
  const { targets } = await system.metrics();
  return targets.reduce((sum, { scmUsedBytes }) => sum + (scmUsedBytes ?? 0), 0);
}

/** Random places; `versions` says which of them have which version, 0 when it does not. */
async function compare({ container }: Client, versions: ReadonlyMap<number, number>): Promise<void> {
  const kv = container.kv();
  const startMs = performance.now();
  let wrong = 0;
  const check = async (place: number): Promise<void> => {
    const found = await kv.get(keyOf(place));
    const allowed = versions.get(place) ?? 0;
    const right = [allowed, ...(allowed === MAYBE ? [0, 1] : [])].some(
      (version) => found !== undefined && Buffer.compare(found.value, valueOf(place, version)) === 0,
    );
    if (!right) wrong += 1;
  };
  await lanes(CHECKED_KEYS, () => check(Math.floor(Math.random() * keys)));
  const overwritten = [...versions.keys()].slice(-CHECKED_KEYS);
  await lanes(overwritten.length, (turn) => check(overwritten[turn]!));
  const count = CHECKED_KEYS + overwritten.length;
  const rate = Math.round(count / ((performance.now() - startMs) / 1000));
  goal(wrong === 0, `${count} values right, ${wrong} wrong, at ${rate} get/s`);
}

/** An overwrite that was not acknowledged: either version may be there. */
const MAYBE = -1;

/** Overwrites until the log is as full as it gets, and kills the engine in the middle of it. */
async function killWithFullLog(
  engine: EngineProcess,
  client: Client,
  settledBytes: number,
): Promise<Map<number, number>> {
  const versions = new Map<number, number>();
  const kv = client.container.kv();
  let killed = false;
  let fullestBytes = 0;
  const writers = lanes(keys, async (turn) => {
    if (killed) return;
    const place = placeOf(turn);
    versions.set(place, MAYBE);
    await kv.put(keyOf(place), valueOf(place, 1)).then(
      () => versions.set(place, 1),
      () => undefined,
    );
  });
  const startMs = performance.now();
  while (performance.now() - startMs < FILL_LOG_MS && fullestBytes < LOG_BYTES * FULL_LOG_SHARE) {
    fullestBytes = Math.max(fullestBytes, (await scmUsed(client.system)) - settledBytes);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await engine.kill();
  killed = true;
  await writers;
  await client.system.close();
  console.log(
    `killed with at least ${Math.round(fullestBytes / 2 ** 20)} MiB logged, ${versions.size} keys overwritten`,
  );
  return versions;
}

let engine = await EngineProcess.start(engineOptions);
try {
  let client = await open(engine, true);
  const watch = new MemoryWatch(engine.pid);
  await load(engine, client);
  const settleStartMs = performance.now();
  const settledBytes = await settled(client);
  const settleSeconds = Math.round((performance.now() - settleStartMs) / 1000);
  console.log(`settled after ${settleSeconds} s more: ${Math.round(settledBytes / 2 ** 20)} MiB of SCM in use`);
  show("afterwards", processMemory(engine.pid));
  await compare(client, new Map());
  watch.stop();
  show("after the gets", processMemory(engine.pid));
  show("highest", watch.peak);
  goal(watch.peak.residentBytes < GOAL_RESIDENT_BYTES, `at most ${GOAL_RESIDENT_BYTES / 2 ** 20} MiB resident`);

  const versions = await killWithFullLog(engine, client, settledBytes);
  engine = await EngineProcess.start(engineOptions);
  goal(engine.startedMs < GOAL_START_MS, `serves ${Math.round(engine.startedMs)} ms after a start on a full log`);
  show("after the start", processMemory(engine.pid));
  client = await open(engine, false);
  await compare(client, versions);
  await client.system.close();
  await engine.stop();
} finally {
  await engine.kill();
  rmSync(storage, { recursive: true, force: true });
}
if (misses.length > 0) process.exit(1);
