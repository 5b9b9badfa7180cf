/**
 * Rounds of kill -9: an engine process under load is killed at a random moment and started again on the same storage,
 * and everything it ever acknowledged is checked, round after round on the same data.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type Container, type System } from "../../src/library.ts";
import { EngineProcess, type EngineProcessOptions } from "./engine-process.ts";
import { CrashLoad } from "./load.ts";

export interface KillRoundsOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly engine?: Omit<EngineProcessOptions, "storage">;
  /** Longest time under load before the kill, milliseconds. */
  readonly maxLoadMs?: number;
  readonly report?: (line: string) => void;
}

export interface KillRoundsResult {
  readonly acknowledged: number;
  readonly slots: number;
  readonly snapshotSlots: number;
  readonly slowestStartMs: number;
}

const DEFAULT_MAX_LOAD_MS = 1_500;
const CONNECT_TIMEOUT_MS = 20_000;
/** The engine is gone for good when it is killed: its writers need not wait for it. */
const RETRY_WINDOW_MS = 50;

/** Rejects with the first thing that is lost, torn or wrong; its message has the seed. */
export async function runKillRounds(options: KillRoundsOptions): Promise<KillRoundsResult> {
  const storage = mkdtempSync(join(tmpdir(), "daos-kill-"));
  const random = seeded(options.seed);
  const load = new CrashLoad(random);
  let engine = await EngineProcess.start({ ...options.engine, storage });
  let slowestStartMs = 0;
  let verified = { slots: 0, snapshotSlots: 0 };
  try {
    let client = await open(engine, true);
    for (let round = 1; round <= options.rounds; round += 1) {
      let killed = false;
      const running = load.run(client.container, () => killed);
      await Promise.race([running, delay(random() * (options.maxLoadMs ?? DEFAULT_MAX_LOAD_MS))]);
      await engine.kill();
      killed = true;
      await running;
      await client.system.close();
      engine = await EngineProcess.start({ ...options.engine, storage });
      slowestStartMs = Math.max(slowestStartMs, engine.startedMs);
      client = await open(engine, false);
      verified = await load.verify(client.container);
      options.report?.(
        `round ${round}: ${load.ledger.acknowledged} acknowledged, ${verified.slots} slots and ` +
          `${verified.snapshotSlots} snapshot slots right, start ${Math.round(engine.startedMs)} ms`,
      );
    }
    await client.system.close();
    await engine.stop();
  } catch (error) {
    throw new Error(`kill rounds with seed ${options.seed} failed (storage kept in ${storage})`, { cause: error });
  } finally {
    await engine.kill();
  }
  rmSync(storage, { recursive: true, force: true });
  rmSync(`${storage}.yml`, { force: true });
  return { acknowledged: load.ledger.acknowledged, slowestStartMs, ...verified };
}

async function open(engine: EngineProcess, create: boolean): Promise<{ system: System; container: Container }> {
  const system = await connect({
    system: engine.address,
    timeoutMs: CONNECT_TIMEOUT_MS,
    retryWindowMs: RETRY_WINDOW_MS,
  });
  if (create) {
    await system.createPool({ label: "tank", sizeBytes: 2 ** 31 });
    await system.pool("tank").createContainer({ label: "crash", type: "kv" });
  }
  const container = await system.pool("tank").openContainer("crash", { readOnly: false });
  return { system, container };
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
