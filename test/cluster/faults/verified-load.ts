/**
 * The load of the fault rounds: single values, arrays and punches in a container of each object class, and transfers
 * between accounts, all of it checked while it runs and as a whole when it stands still.
 */
import { DaosError } from "../../../src/base/errors.ts";
import { objectClassByName } from "../../../src/base/object-class.ts";
import type { Container, System } from "../../../src/library.ts";
import { seeded } from "../../crash/kill-rounds.ts";
import { CrashLoad } from "../../crash/load.ts";
import { type FaultSystem, POOL } from "./fault-system.ts";
import { Transfers } from "./transfers.ts";

const CLASSES = ["RP_3GX", "EC_2P1GX", "EC_4P2GX"] as const;
const BANK = "bank";
/** What is written has to be moved at almost every fault: little of each kind will do. */
const SIZE = { writers: 4, share: 0.25 };
const READERS = 2;
const TELLERS = 3;
/** Between two operations of a worker: the machine has other things to do, too. */
const PAUSE_MS = 30;
/** Clients are patient: a fault is over by then. */
const RETRY_WINDOW_MS = 180_000;
/** What a client may be told when it was patient in vain, and while a disk is full. */
const BORNE = ["UNAVAILABLE", "TIMEOUT", "NO_SPACE"];

export interface LoadCounts {
  readonly acknowledged: number;
  readonly reads: number;
  readonly transfers: number;
  readonly sums: number;
  readonly conflicts: number;
  readonly failures: Readonly<Record<string, number>>;
}

interface Longest {
  readonly ms: number;
  /** What it was. */
  readonly slot: string;
}

export type LongestOperations = Readonly<Record<"write" | "read" | "transfer", Longest>>;

export class VerifiedLoad {
  readonly #system: FaultSystem;
  readonly #loads: readonly CrashLoad[];
  readonly #transfers: Transfers;
  readonly #clients: System[] = [];
  #running: Promise<unknown> | undefined;
  #isStopped = true;
  #failure: { readonly error: unknown } | undefined;

  constructor(system: FaultSystem, seed: number) {
    this.#system = system;
    this.#loads = CLASSES.map((name, index) => new CrashLoad(seeded(seed + index), objectClassByName(name), SIZE));
    const random = seeded(seed + CLASSES.length);
    this.#transfers = new Transfers((below) => Math.floor(random() * below));
  }

  /** Makes the containers. */
  async prepare(): Promise<void> {
    const pool = this.#system.admin.pool(POOL);
    for (const oclass of CLASSES) await pool.createContainer({ label: oclass, type: "kv", properties: { oclass } });
    await pool.createContainer({ label: BANK, type: "kv", properties: { oclass: "RP_3GX" } });
    const client = await this.#system.connect(RETRY_WINDOW_MS);
    const container = await client.pool(POOL).openContainer(BANK);
    await this.#transfers.prepare(container);
    await client.close();
  }

  async start(): Promise<void> {
    this.#isStopped = false;
    const stopped = (): boolean => this.#isStopped;
    const mayFail = (error: unknown): boolean => error instanceof DaosError && BORNE.includes(error.code);
    const options = { mayFail, pauseMs: PAUSE_MS };
    const works = this.#loads.map(async (load, index) => {
      const container = await this.#open(CLASSES[index]!);
      await load.run([container], stopped, { ...options, endIsAllowed: false, readers: READERS, snapshots: "none" });
    });
    const transferring = async (): Promise<void> => {
      const container = await this.#open(BANK);
      await this.#transfers.run([container], stopped, { ...options, tellers: TELLERS });
    };
    const guarded = [...works, transferring()].map((work) =>
      work.catch((error: unknown) => {
        this.#isStopped = true;
        this.#failure ??= { error };
      }),
    );
    this.#running = Promise.all(guarded);
  }

  /** Throws what was found wrong, if anything was. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Resolves when all that was under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    this.#running = undefined;
    await this.#closeClients();
    this.check();
  }

  /**
   * Reads all that was ever acknowledged, while the load stands still: so often, each time as another client, which begins
   * with other replicas. How many slots there are.
   */
  async verify(times = 1): Promise<number> {
    let slots = 0;
    for (let time = 0; time < times; time += 1) slots = await this.#verifyOnce();
    return slots;
  }

  async #verifyOnce(): Promise<number> {
    let count = 0;
    for (const [index, load] of this.#loads.entries()) {
      const { slots } = await load.verify(await this.#open(CLASSES[index]!));
      count += slots;
    }
    await this.#transfers.verify(await this.#open(BANK));
    await this.#closeClients();
    return count;
  }

  /** Acknowledged writes of each container, to see whether all of them go on. */
  get progress(): readonly number[] {
    return [...this.#loads.map(({ ledger }) => ledger.acknowledged), this.#transfers.committed];
  }

  get counts(): LoadCounts {
    const failures: Record<string, number> = {};
    for (const load of [...this.#loads, this.#transfers]) {
      for (const [code, count] of load.failures) failures[code] = (failures[code] ?? 0) + count;
    }
    const sum = (of: (load: CrashLoad) => number): number => this.#loads.reduce((total, load) => total + of(load), 0);
    return {
      acknowledged: sum(({ ledger }) => ledger.acknowledged),
      reads: sum(({ reads }) => reads),
      transfers: this.#transfers.committed,
      sums: this.#transfers.sums,
      conflicts: this.#transfers.conflicts,
      failures,
    };
  }

  /** The longest operation of each kind since this was called last. */
  takeLongest(): LongestOperations {
    const of = (pick: (load: CrashLoad) => Longest): Longest =>
      this.#loads
        .map((load, index) => ({ ...pick(load), slot: `${CLASSES[index]!} ${pick(load).slot}` }))
        .reduce((left, right) => (right.ms > left.ms ? right : left));
    const longest = {
      write: of(({ longest: write }) => write),
      read: of(({ longestRead }) => longestRead),
      transfer: this.#transfers.longest,
    };
    for (const load of this.#loads) {
      load.longest = { ms: 0, slot: "" };
      load.longestRead = { ms: 0, slot: "" };
    }
    this.#transfers.longest = { ms: 0, slot: "" };
    return longest;
  }

  async #closeClients(): Promise<void> {
    await Promise.all(this.#clients.splice(0).map((client) => client.close()));
  }

  async #open(label: string): Promise<Container> {
    const client = await this.#system.connect(RETRY_WINDOW_MS);
    this.#clients.push(client);
    return client.pool(POOL).openContainer(label);
  }
}
