/**
 * Rounds of kill -9 of engines of one system under load, up to as many at once as the object class tolerates. Clients
 * write and read all the while and nothing may fail: an update waits until its group is whole again. After each round all
 * that was ever acknowledged is read back. Every few rounds the whole system goes down, in peace and by kill -9 in turn,
 * and is started anew.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ObjectClass } from "../../src/base/object-class.ts";
import { connect, type Container, type System } from "../../src/library.ts";
import { seeded } from "../crash/kill-rounds.ts";
import { CrashLoad } from "../crash/load.ts";
import { until } from "../crash/storage-daemons.ts";
import { ClusterProcess } from "./cluster-process.ts";

export interface ClusterRoundsOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly engines: number;
  readonly objectClass: ObjectClass;
  /** Longest time under load before the first kill, milliseconds. */
  readonly maxLoadMs?: number;
  /** Also takes snapshots, and checks what they show. */
  readonly snapshots?: boolean;
  /** The whole system goes down after so many rounds; never unless given. */
  readonly restartEvery?: number;
  readonly report?: (line: string) => void;
}

export interface ClusterRoundsResult {
  readonly acknowledged: number;
  readonly reads: number;
  readonly slots: number;
  readonly snapshotSlots: number;
  readonly kills: number;
  readonly systemRestarts: number;
  /** The longest time that one write waited, over all rounds. */
  readonly longestStallMs: number;
  /** From the first kill of a round until all engines run again, the longest. */
  readonly slowestRecoveryMs: number;
}

const POOL = "tank";
const CONTAINER = "crash";
const POOL_BYTES_PER_ENGINE = 2 ** 30;
const CLIENTS = 3;
const READERS = 8;
const DEFAULT_MAX_LOAD_MS = 1_200;
/** Between two kills of a round, at most. */
const MAX_GAP_MS = 1_500;
/** Clients are patient: an engine is back by then. */
const RETRY_WINDOW_MS = 40_000;
const CALL_TIMEOUT_MS = 30_000;
/** Writes acknowledged after the engines are back, before the round ends: the system works on. */
const WRITES_AFTER_KILL = 300;
const WORKS_ON_TIMEOUT_MS = 40_000;

/** Rejects with the first thing that is lost, torn or wrong, or that failed; its message has the seed. */
export async function runClusterRounds(options: ClusterRoundsOptions): Promise<ClusterRoundsResult> {
  const folder = mkdtempSync(join(tmpdir(), "daos-cluster-"));
  const run = new ClusterRun(options, join(folder, "storage"));
  try {
    const result = await run.run();
    await run.end();
    rmSync(folder, { recursive: true, force: true });
    return result;
  } catch (error) {
    const said = run.output.split("\n").slice(-60).join("\n");
    throw new Error(`rounds with seed ${options.seed} failed (storage kept in ${folder}):\n${said}`, { cause: error });
  } finally {
    await run.end();
  }
}

class ClusterRun {
  readonly #options: ClusterRoundsOptions;
  readonly #storage: string;
  readonly #random: () => number;
  readonly #load: CrashLoad;
  #cluster: ClusterProcess | undefined;
  #verified = { slots: 0, snapshotSlots: 0 };
  #kills = 0;
  #systemRestarts = 0;
  #longestStallMs = 0;
  #slowestRecoveryMs = 0;

  constructor(options: ClusterRoundsOptions, storage: string) {
    this.#options = options;
    this.#storage = storage;
    this.#random = seeded(options.seed);
    this.#load = new CrashLoad(seeded(options.seed + 1), options.objectClass);
  }

  get output(): string {
    return this.#cluster?.output ?? "";
  }

  async run(): Promise<ClusterRoundsResult> {
    await this.#start();
    await this.#prepare();
    const { rounds, restartEvery = Infinity } = this.#options;
    for (let round = 1; round <= rounds; round += 1) {
      const what = await this.#round();
      await this.#verify();
      this.#report(`round ${round}, ${what}`);
      if (round % restartEvery === 0) await this.#restart(round % (2 * restartEvery) === 0);
    }
    await this.#restart(false);
    return {
      acknowledged: this.#load.ledger.acknowledged,
      reads: this.#load.reads,
      ...this.#verified,
      kills: this.#kills,
      systemRestarts: this.#systemRestarts,
      longestStallMs: Math.round(this.#longestStallMs),
      slowestRecoveryMs: Math.round(this.#slowestRecoveryMs),
    };
  }

  /** Leaves no process behind, whatever happened. */
  async end(): Promise<void> {
    await this.#cluster?.killAll();
    this.#cluster = undefined;
  }

  /** One round of load and kills; tells who died. */
  async #round(): Promise<string> {
    let stopped = false;
    const victims = this.#victims();
    await this.#connected(CLIENTS, async (containers) => {
      const snapshots = this.#options.snapshots === true ? "may fail" : "none";
      const options = { endIsAllowed: false, readers: READERS, snapshots } as const;
      const running = this.#load.run(containers, () => stopped, options);
      try {
        await Promise.race([running, delay(this.#random() * (this.#options.maxLoadMs ?? DEFAULT_MAX_LOAD_MS))]);
        // What fails fails the round at once.
        await Promise.race([running, this.#killAll(victims)]);
      } finally {
        stopped = true;
      }
      await running;
    });
    this.#longestStallMs = Math.max(this.#longestStallMs, this.#load.longest.ms);
    return `killed engines ${victims.join(", ")}`;
  }

  /** Kills engines one after the other; resolves when all run again and the system works on. */
  async #killAll(victims: readonly number[]): Promise<void> {
    const cluster = this.#cluster!;
    const { ledger } = this.#load;
    const diedMs = performance.now();
    const before = victims.map((engine) => cluster.restarts(engine));
    for (const [index, engine] of victims.entries()) {
      if (index > 0 && this.#random() < 0.7) await delay(this.#random() * MAX_GAP_MS);
      await cluster.kill(engine);
      this.#kills += 1;
    }
    await Promise.all(victims.map((engine, index) => cluster.untilRestarted(engine, before[index]!)));
    this.#slowestRecoveryMs = Math.max(this.#slowestRecoveryMs, performance.now() - diedMs);
    const goal = ledger.acknowledged + WRITES_AFTER_KILL;
    await until(() => ledger.acknowledged >= goal, "writes go on", WORKS_ON_TIMEOUT_MS);
  }

  /** At least one, at most as many as the class tolerates. */
  #victims(): number[] {
    const { engines, objectClass } = this.#options;
    const count = 1 + Math.floor(this.#random() * objectClass.redundancy.toleratedFailures);
    const left = Array.from({ length: engines }, (_value, engine) => engine);
    return Array.from({ length: count }, () => left.splice(Math.floor(this.#random() * left.length), 1)[0]!);
  }

  async #start(): Promise<void> {
    const { engines } = this.#options;
    // An engine that the map leaves out would not be filled again: the supervisor brings it back before.
    const config = { exclude_after: "never" };
    const sizes = { scmSize: "256MiB", nvmeSize: "2GiB" };
    this.#cluster = await ClusterProcess.start({ storage: this.#storage, engines, ...sizes, config });
  }

  async #restart(inPeace: boolean): Promise<void> {
    if (inPeace) await this.#cluster!.stop();
    else await this.#cluster!.killAll();
    await this.#start();
    this.#systemRestarts += 1;
    await this.#verify();
    this.#report(inPeace ? "all stopped and started" : "all killed and started");
  }

  async #prepare(): Promise<void> {
    const { engines, objectClass } = this.#options;
    const system = await this.#connect();
    await system.createPool({ label: POOL, sizeBytes: engines * POOL_BYTES_PER_ENGINE });
    const properties = { oclass: objectClass.name };
    await system.pool(POOL).createContainer({ label: CONTAINER, type: "kv", properties });
    await system.close();
  }

  async #verify(): Promise<void> {
    this.#verified = await this.#connected(1, ([container]) => this.#load.verify(container!));
  }

  async #connected<Result>(clients: number, work: (containers: Container[]) => Promise<Result>): Promise<Result> {
    const systems = await Promise.all(Array.from({ length: clients }, () => this.#connect()));
    try {
      const opened = systems.map((system) => system.pool(POOL).openContainer(CONTAINER, { readOnly: false }));
      return await work(await Promise.all(opened));
    } finally {
      await Promise.all(systems.map((system) => system.close()));
    }
  }

  #connect(): Promise<System> {
    const { address } = this.#cluster!;
    return connect({ system: address, timeoutMs: CALL_TIMEOUT_MS, retryWindowMs: RETRY_WINDOW_MS });
  }

  #report(what: string): void {
    const { slots, snapshotSlots } = this.#verified;
    const { longest, ledger, reads } = this.#load;
    this.#options.report?.(
      `${what}: ${ledger.acknowledged} acknowledged, ${reads} read meanwhile, ${slots} slots and ${snapshotSlots} ` +
        `snapshot slots right, longest stall ${Math.round(longest.ms)} ms (${longest.slot})`,
    );
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
