/**
 * Rounds of kill -9 under load: of the engine, of a qemu-storage-daemon that serves its device, or of both, at a random
 * moment, round after round on the same data. After each, everything that was ever acknowledged is checked: by an engine
 * started anew, or, when only the daemon died, by the engine that lived on, to which nothing may have failed. At the end an
 * engine that was stopped in peace is started once more and checked too.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type Container, type System } from "../../src/library.ts";
import { EngineProcess, type EngineProcessOptions } from "./engine-process.ts";
import { CrashLoad } from "./load.ts";
import { killDaemon, storageDaemons, until } from "./storage-daemons.ts";

export const VICTIMS = ["engine", "daemon", "both"] as const;
export type Victim = (typeof VICTIMS)[number];

export interface KillRoundsOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly engine?: Omit<EngineProcessOptions, "storage">;
  /** Who is killed: the engine unless given; `each`: all in turn. */
  readonly victim?: Victim | "each";
  /** Longest time under load before the kill, milliseconds. */
  readonly maxLoadMs?: number;
  readonly report?: (line: string) => void;
}

export interface KillRoundsResult {
  readonly acknowledged: number;
  readonly slots: number;
  readonly snapshotSlots: number;
  readonly slowestStartMs: number;
  /** Kills of the engine, and of daemons. */
  readonly engineKills: number;
  readonly daemonKills: number;
  /** From a daemon's death until its successor runs; 0 when none died alone. */
  readonly slowestOutageMs: number;
}

const POOL = "tank";
const POOL_BYTES = 2 ** 31;
const CONTAINER = "crash";
const DEFAULT_MAX_LOAD_MS = 1_500;
const CONNECT_TIMEOUT_MS = 20_000;
/** An engine that is killed is gone for good: its writers need not wait for it. One that lives may ask for patience. */
const DYING_RETRY_WINDOW_MS = 50;
const LIVING_RETRY_WINDOW_MS = 10_000;
/** A daemon that died is back by then. */
const DAEMON_BACK_TIMEOUT_MS = 25_000;
/** Operations acknowledged after a daemon's death before the round ends: the engine works on. */
const OPERATIONS_AFTER_OUTAGE = 200;
/** When both are killed, the second one dies up to so much later: also while the first one is being started again. */
const MAX_GAP_MS = 120;

/** Rejects with the first thing that is lost, torn or wrong; its message has the seed. */
export async function runKillRounds(options: KillRoundsOptions): Promise<KillRoundsResult> {
  const storage = mkdtempSync(join(tmpdir(), "daos-kill-"));
  const run = new KillRun(options, storage);
  try {
    const result = await run.run();
    rmSync(storage, { recursive: true, force: true });
    rmSync(`${storage}.yml`, { force: true });
    return result;
  } catch (error) {
    throw new Error(`kill rounds with seed ${options.seed} failed (storage kept in ${storage})`, { cause: error });
  } finally {
    await run.end();
  }
}

class KillRun {
  readonly #options: KillRoundsOptions;
  readonly #storage: string;
  readonly #random: () => number;
  readonly #load: CrashLoad;
  #engine: EngineProcess | undefined;
  #daemonCount = 0;
  #verified = { slots: 0, snapshotSlots: 0 };
  #slowestStartMs = 0;
  #slowestOutageMs = 0;
  #engineKills = 0;
  #daemonKills = 0;

  constructor(options: KillRoundsOptions, storage: string) {
    this.#options = options;
    this.#storage = storage;
    this.#random = seeded(options.seed);
    this.#load = new CrashLoad(this.#random);
  }

  async run(): Promise<KillRoundsResult> {
    await this.#start();
    await this.#prepare();
    this.#daemonCount = storageDaemons(this.#storage).length;
    const { rounds, victim = "engine" } = this.#options;
    if (victim !== "engine" && this.#daemonCount === 0) throw new Error("no qemu-storage-daemon serves the engine");
    for (let round = 1; round <= rounds; round += 1) {
      const dies = victim === "each" ? VICTIMS[(round - 1) % VICTIMS.length]! : victim;
      if (dies === "daemon") await this.#daemonRound();
      else await this.#engineRound(dies === "both");
      this.#report(`round ${round}, ${dies} killed`);
    }
    await this.#engine!.stop();
    await this.#restart();
    this.#report("stopped and started");
    await this.#engine!.stop();
    this.#checkDaemons(0);
    return {
      acknowledged: this.#load.ledger.acknowledged,
      ...this.#verified,
      slowestStartMs: this.#slowestStartMs,
      engineKills: this.#engineKills,
      daemonKills: this.#daemonKills,
      slowestOutageMs: this.#slowestOutageMs,
    };
  }

  /** Leaves no process behind, whatever happened. */
  async end(): Promise<void> {
    await this.#engine?.kill();
    for (const pid of storageDaemons(this.#storage)) killDaemon(pid);
  }

  async #engineRound(withDaemons: boolean): Promise<void> {
    let killed = false;
    await this.#connected(DYING_RETRY_WINDOW_MS, async (container) => {
      const running = this.#load.run([container], () => killed);
      await this.#underLoad(running);
      if (withDaemons) await this.#killBoth();
      else await this.#killEngine();
      killed = true;
      await running;
    });
    await this.#restart();
  }

  /** To the clients the engine must be slow at worst: nothing may fail. */
  async #daemonRound(): Promise<void> {
    let stopped = false;
    await this.#connected(LIVING_RETRY_WINDOW_MS, async (container) => {
      const running = this.#load.run([container], () => stopped, { endIsAllowed: false });
      await this.#underLoad(running);
      // A writer that fails fails the round at once.
      await Promise.race([running, this.#outage()]);
      stopped = true;
      await running;
    });
    await this.#verify();
  }

  /** Kills daemons; resolves when their successors serve and the engine works on. */
  async #outage(): Promise<void> {
    const { pid } = this.#engine!;
    const before = storageDaemons(this.#storage, pid);
    const dying = this.#some(before);
    const diedMs = performance.now();
    this.#killDaemons(dying);
    const isBack = (): boolean => {
      const now = storageDaemons(this.#storage, pid);
      return now.length === before.length && !now.some((daemon) => dying.includes(daemon));
    };
    await until(isBack, "a killed daemon has a successor", DAEMON_BACK_TIMEOUT_MS);
    this.#slowestOutageMs = Math.max(this.#slowestOutageMs, performance.now() - diedMs);
    const { ledger } = this.#load;
    const goal = ledger.acknowledged + OPERATIONS_AFTER_OUTAGE;
    await until(() => ledger.acknowledged >= goal, "the engine works on", DAEMON_BACK_TIMEOUT_MS);
  }

  async #killBoth(): Promise<void> {
    const dying = this.#some(storageDaemons(this.#storage, this.#engine!.pid));
    const gapMs = this.#random() < 0.5 ? 0 : this.#random() * MAX_GAP_MS;
    if (this.#random() < 0.5) {
      this.#killDaemons(dying);
      if (gapMs > 0) await delay(gapMs);
      await this.#killEngine();
    } else {
      const ended = this.#killEngine();
      if (gapMs > 0) await delay(gapMs);
      this.#killDaemons(dying);
      await ended;
    }
  }

  #killEngine(): Promise<void> {
    this.#engineKills += 1;
    return this.#engine!.kill();
  }

  #killDaemons(pids: readonly number[]): void {
    for (const pid of pids) killDaemon(pid);
    this.#daemonKills += pids.length;
  }

  async #underLoad(running: Promise<void>): Promise<void> {
    await Promise.race([running, delay(this.#random() * (this.#options.maxLoadMs ?? DEFAULT_MAX_LOAD_MS))]);
  }

  async #start(): Promise<void> {
    this.#engine = await EngineProcess.start({ ...this.#options.engine, storage: this.#storage });
    this.#slowestStartMs = Math.max(this.#slowestStartMs, this.#engine.startedMs);
  }

  async #restart(): Promise<void> {
    await this.#start();
    this.#checkDaemons(this.#daemonCount);
    await this.#verify();
  }

  async #prepare(): Promise<void> {
    const system = await this.#connect(LIVING_RETRY_WINDOW_MS);
    await system.createPool({ label: POOL, sizeBytes: POOL_BYTES });
    await system.pool(POOL).createContainer({ label: CONTAINER, type: "kv" });
    await system.close();
  }

  async #verify(): Promise<void> {
    this.#verified = await this.#connected(LIVING_RETRY_WINDOW_MS, (container) => this.#load.verify(container));
  }

  async #connected<Result>(retryWindowMs: number, work: (container: Container) => Promise<Result>): Promise<Result> {
    const system = await this.#connect(retryWindowMs);
    try {
      return await work(await system.pool(POOL).openContainer(CONTAINER, { readOnly: false }));
    } finally {
      await system.close();
    }
  }

  #connect(retryWindowMs: number): Promise<System> {
    return connect({ system: this.#engine!.address, timeoutMs: CONNECT_TIMEOUT_MS, retryWindowMs });
  }

  /** One left behind would write behind its successor's back. */
  #checkDaemons(count: number): void {
    const found = storageDaemons(this.#storage).length;
    if (found !== count) throw new Error(`${found} qemu-storage-daemons serve the storage, not ${count}`);
  }

  #report(what: string): void {
    const { slots, snapshotSlots } = this.#verified;
    this.#options.report?.(
      `${what}: ${this.#load.ledger.acknowledged} acknowledged, ${slots} slots and ${snapshotSlots} snapshot slots right, ` +
        `start ${Math.round(this.#engine!.startedMs)} ms`,
    );
  }

  #oneOf<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)]!;
  }

  /** At least one of them. */
  #some(pids: readonly number[]): number[] {
    const first = this.#oneOf(pids);
    return pids.filter((pid) => pid === first || this.#random() < 0.5);
  }
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
