/**
 * `npm start`: an engine in the foreground with a pool and a container ready to use, for someone who has just cloned.
 *
 * Data lives in ./daos-data (DAOS_STORAGE names another folder); the engine listens on 127.0.0.1:10001 (DAOS_LISTEN).
 * Prints the three commands to try next. If an engine serves that folder already, says so, prints them and ends. Ctrl-C
 * stops the engine; what was acknowledged stays. Further arguments (`npm start -- --targets 2`) go to `daos server start`.
 * The pool and the container are made through the client library, once.
 */
import { mkdirSync, realpathSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { hasCode } from "../src/base/errors.ts";
import { MIB } from "../src/base/limits.ts";
import { connect, type System } from "../src/client/index.ts";
import { realWorld } from "../src/world/index.ts";

const ROOT = join(import.meta.dir, "..");
const POOL = "tank";
const CONTAINER = "demo";
const DEFAULT_LISTEN = "127.0.0.1:10001";
const CONNECT_TIMEOUT_MS = 5_000;
const READY_LINE = /daos (?:engine|system) ready on (\S+)/;

const storage = resolve(process.env["DAOS_STORAGE"] || join(ROOT, "daos-data"));
const listen = process.env["DAOS_LISTEN"] || DEFAULT_LISTEN;
const world = realWorld();

try {
  process.exit((await greetRunningEngine()) ? 0 : await serve());
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}

/** True when an engine already serves our folder on our address. Throws when something else has the address. */
async function greetRunningEngine(): Promise<boolean> {
  if (listen.endsWith(":0")) return false;
  let system: System;
  try {
    system = await connect(world, { system: listen, timeoutMs: CONNECT_TIMEOUT_MS });
  } catch (error) {
    if (hasCode(error, "UNAVAILABLE")) return false;
    throw new Error(
      `Cannot start on "${listen}": another program answers there. Stop it, or set DAOS_LISTEN to a free HOST:PORT.`,
      { cause: error },
    );
  }
  try {
    const engine = await system.query();
    mkdirSync(storage, { recursive: true });
    // Of several engines each has a folder in ours.
    const served = realpathSync(engine.storage);
    if (served !== realpathSync(storage) && dirname(served) !== realpathSync(storage)) {
      throw new Error(
        `Cannot start on "${listen}": the engine there (process ${engine.pid}) serves ${engine.storage}. ` +
          "Stop it, or set DAOS_LISTEN to a free HOST:PORT.",
      );
    }
    await ensureContainer(system);
    announce(`An engine (process ${engine.pid}) is already running on ${listen}.`, listen);
    return true;
  } finally {
    await system.close();
  }
}

/** Runs the engine until it ends; its exit status. */
async function serve(): Promise<number> {
  const args = [
    join(ROOT, "src", "main.ts"),
    "server",
    "start",
    "--storage",
    storage,
    "--listen",
    listen,
    ...process.argv.slice(2),
  ];
  const engine = Bun.spawn([process.execPath, ...args], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  // A terminal sends SIGINT to the engine too; the engine then stops in its own time and we end with it.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => engine.kill(signal));
  try {
    for await (const line of linesOf(engine.stdout)) {
      console.log(line);
      const address = READY_LINE.exec(line)?.[1];
      if (address !== undefined) await introduce(address);
    }
  } catch (error) {
    engine.kill("SIGTERM");
    await engine.exited;
    throw error;
  }
  return await engine.exited;
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const lines = `${rest}${decoder.decode(bytes, { stream: true })}`.split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

async function introduce(address: string): Promise<void> {
  const system = await connect(world, { system: address, timeoutMs: CONNECT_TIMEOUT_MS });
  try {
    await ensureContainer(system);
  } finally {
    await system.close();
  }
  announce("Press Ctrl-C to stop the engine; the data stays.", address);
}

/** Makes the pool and the container where they are missing. */
async function ensureContainer(system: System): Promise<void> {
  const pools = await system.listPools();
  if (!pools.some(({ label }) => label === POOL)) {
    const engine = await system.query();
    const totalBytes = engine.scmTotalBytes + engine.nvmeTotalBytes;
    const givenBytes = pools.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    // Half of what is left, so that there is room to make another pool by hand.
    const sizeBytes = Math.floor((totalBytes - givenBytes) / 2 / MIB) * MIB;
    await unlessThere(system.createPool({ label: POOL, sizeBytes }));
  }
  const pool = system.pool(POOL);
  const containers = await pool.listContainers();
  if (!containers.some(({ label }) => label === CONTAINER)) {
    await unlessThere(pool.createContainer({ label: CONTAINER, type: "kv" }));
  }
}

/** Another `npm start` may have made it meanwhile. */
async function unlessThere(creation: Promise<unknown>): Promise<void> {
  try {
    await creation;
  } catch (error) {
    if (!hasCode(error, "ALREADY_EXISTS")) throw error;
  }
}

function announce(state: string, address: string): void {
  const daos = address === DEFAULT_LISTEN ? "npx daos" : `DAOS_SYSTEM=${address} npx daos`;
  const folder = relative(process.cwd(), storage);
  console.log(`
Pool "${POOL}" with container "${CONTAINER}" is ready. Data lives in ${folder.startsWith("..") ? storage : `./${folder}`}
Try next, in another terminal in this folder:

  ${daos} kv put ${POOL} ${CONTAINER} greeting hello
  ${daos} kv get ${POOL} ${CONTAINER} greeting
  ${daos} object put ${POOL} ${CONTAINER} README.md

${state}`);
}
