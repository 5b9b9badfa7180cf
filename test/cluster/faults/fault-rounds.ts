/**
 * Rounds of faults of all kinds on a system of several hosts that is in use, drawn from a seed. After each one the system
 * heals: all engines serve, nothing is left to rebuild, and writes of every class go on. Every few rounds, and at the
 * end, all that was ever acknowledged is read back. Nothing may be lost, and no read may be wrong, ever.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../crash/kill-rounds.ts";
import { FAULT_KINDS, type PlannedFault } from "./faults.ts";
import { type EngineStatus, FaultSystem, POOL } from "./fault-system.ts";
import { delay } from "./shell.ts";
import { type LoadCounts, VerifiedLoad } from "./verified-load.ts";

export interface FaultRoundsOptions {
  /** An empty folder: images of the hosts' disks, and logs. */
  readonly folder: string;
  readonly faults: number;
  readonly seed: number;
  readonly hosts: number;
  /** Names of kinds; all that can be here unless given. */
  readonly kinds?: readonly string[];
  /** Everything is read back after so many faults. */
  readonly verifyEvery: number;
  readonly report: (line: string) => void;
}

/** A row of the report; times in milliseconds. */
export interface FaultRow {
  readonly text: string;
  /** From the fault until an engine was first seen not to be as it should, and until it was out of the pool. */
  readonly noticedMs: number | undefined;
  readonly excludedMs: number | undefined;
  /** From when it was repaired until the system was whole. */
  readonly healedMs: number;
  readonly longestWriteMs: number;
  readonly longestReadMs: number;
  readonly longestTransferMs: number;
  readonly operations: number;
}

export interface FaultRoundsResult {
  readonly rows: readonly FaultRow[];
  readonly slots: number;
  readonly counts: LoadCounts;
  readonly byHand: FaultSystem["byHand"];
  /** Engines that ended without being killed, with how. */
  readonly ends: readonly string[];
}

const POOL_BYTES_PER_HOST = 768 * 2 ** 20;
/** How often all is read at the end. */
const LAST_READS = 4;
const CALM_MS = 2_000;
const LOOK_MS = 500;
const WHOLE_TIMEOUT_MS = 420_000;
/** Writes of each container that are acknowledged before the next fault: all go on. */
const WRITES_AFTER_FAULT = 20;
const WORKS_ON_TIMEOUT_MS = 240_000;

/** Rejects with the first thing that is lost, wrong, or does not heal; its message has the seed. Runs in a sandbox (sandbox.ts). */
export async function runFaultRounds(options: FaultRoundsOptions): Promise<FaultRoundsResult> {
  try {
    return await new FaultRun(options).run();
  } catch (error) {
    throw new Error(`faults with seed ${options.seed} failed (logs are in ${options.folder}): ${String(error)}`, {
      cause: error,
    });
  }
}

class FaultRun {
  readonly #options: FaultRoundsOptions;
  readonly #rows: FaultRow[] = [];
  readonly #ends: string[] = [];
  #system!: FaultSystem;
  #load!: VerifiedLoad;
  #slots = 0;

  constructor(options: FaultRoundsOptions) {
    this.#options = options;
  }

  async run(): Promise<FaultRoundsResult> {
    const { faults, folder, seed, hosts, verifyEvery, report } = this.#options;
    this.#system = await FaultSystem.start(hosts, folder);
    this.#system.changed = (missing) => this.#note(missing);
    await this.#system.admin.createPool({ label: POOL, sizeBytes: hosts * POOL_BYTES_PER_HOST });
    this.#load = new VerifiedLoad(this.#system, seed);
    await this.#load.prepare();
    report(`${hosts} hosts are up`);
    await this.#load.start();
    const kinds = this.#kinds();
    for (let number = 1; number <= faults; number += 1) {
      await delay(CALM_MS);
      await this.#fault(number, kinds);
      if (number % verifyEvery === 0 || number === faults) await this.#verify(number < faults);
    }
    const { byHand } = this.#system;
    return { rows: this.#rows, slots: this.#slots, counts: this.#load.counts, byHand, ends: this.#ends };
  }

  #kinds(): string[] {
    const { kinds, report } = this.#options;
    return Object.entries(FAULT_KINDS).flatMap(([name, { missing }]) => {
      if (kinds !== undefined && !kinds.includes(name)) return [];
      const reason = missing?.(this.#system);
      if (reason !== undefined) report(`left out: ${name}, ${reason}`);
      return reason === undefined ? [name] : [];
    });
  }

  async #fault(number: number, kinds: readonly string[]): Promise<void> {
    const { seed, hosts, report } = this.#options;
    // Each fault has a seed of its own: what is drawn does not depend on how long the ones before took.
    const random = seeded(Math.imul(seed, 1_000_003) + number);
    const draw = (below: number): number => Math.floor(random() * below);
    const planned = FAULT_KINDS[kinds[draw(kinds.length)]!]!.plan(draw, hosts);
    report(`${number}: ${planned.text} ...`);
    this.#note(`${number}: ${planned.text}`);
    this.#load.takeLongest();
    const before = this.#operations();
    const seen = await this.#observed(planned);
    await this.#worksOn();
    const longest = this.#load.takeLongest();
    this.#rows.push({
      text: planned.text,
      ...seen,
      longestWriteMs: longest.write.ms,
      longestReadMs: longest.read.ms,
      longestTransferMs: longest.transfer.ms,
      operations: this.#operations() - before,
    });
    this.#noteEnds(number);
    const slots = Object.values(longest).map(({ slot }) => slot);
    report(`${number}: ${rowText(this.#rows.at(-1)!)} (${slots.join("; ")})`);
  }

  /** Runs the fault and waits until the system is whole, looking at the engines meanwhile. */
  async #observed(planned: PlannedFault): Promise<Pick<FaultRow, "noticedMs" | "excludedMs" | "healedMs">> {
    const startMs = performance.now();
    let isOver = false;
    let noticedMs: number | undefined;
    let excludedMs: number | undefined;
    const looking = (async () => {
      while (!isOver) {
        const all = (await this.#system.look()) ?? [];
        const own = planned.host === undefined ? all : [all[planned.host]];
        const nowMs = performance.now() - startMs;
        if (own.some((status) => status !== undefined && status.state !== "joined")) noticedMs ??= nowMs;
        if (own.some(isOut)) excludedMs ??= nowMs;
        await delay(LOOK_MS);
      }
    })();
    try {
      await planned.run(this.#system);
      const repairedMs = performance.now();
      await this.#system.untilWhole(WHOLE_TIMEOUT_MS, () => this.#load.check());
      return { noticedMs, excludedMs, healedMs: performance.now() - repairedMs };
    } finally {
      isOver = true;
      await looking;
    }
  }

  /** Writes of every container go on. */
  async #worksOn(): Promise<void> {
    const goals = this.#load.progress.map((count) => count + WRITES_AFTER_FAULT);
    const deadlineMs = performance.now() + WORKS_ON_TIMEOUT_MS;
    while (this.#load.progress.some((count, index) => count < goals[index]!)) {
      this.#load.check();
      if (performance.now() > deadlineMs) {
        const state = `${this.#load.progress.join()} of ${goals.join()}`;
        throw new Error(
          `writes do not go on within ${WORKS_ON_TIMEOUT_MS / 1000} s: ${state}\n${this.#system.lastWords}`,
        );
      }
      await delay(LOOK_MS);
    }
  }

  async #verify(goesOn: boolean): Promise<void> {
    await this.#load.stop();
    this.#slots = await this.#load.verify(goesOn ? 1 : LAST_READS);
    const { failures, ...counts } = this.#load.counts;
    const told = Object.entries(failures).map(([code, count]) => `${count} ${code}`);
    this.#options.report(
      `all ${this.#slots} slots right; ${JSON.stringify(counts)}; failed: ${told.join(", ") || "none"}`,
    );
    if (goesOn) await this.#load.start();
  }

  #noteEnds(number: number): void {
    for (const { index, engine } of this.#system.hosts) {
      const ends = engine.takeEnds();
      if (ends.length > 0) this.#ends.push(`fault ${number}: engine of h${index} ended by itself: ${ends.join(", ")}`);
    }
  }

  /** Writes down how the system heals. */
  #note(what: string): void {
    const time = new Date().toISOString().slice(11, 23);
    appendFileSync(join(this.#options.folder, "healing.log"), `${time} ${what}\n`);
  }

  #operations(): number {
    const { acknowledged, reads, transfers, sums } = this.#load.counts;
    return acknowledged + reads + transfers + sums;
  }
}

function isOut(status: EngineStatus | undefined): boolean {
  return status !== undefined && status.targets.some((state) => state === "DOWN" || state === "DOWNOUT");
}

function inSeconds(ms: number | undefined): string {
  return ms === undefined ? "-" : (ms / 1000).toFixed(1);
}

export function rowText(row: FaultRow): string {
  const { text, noticedMs, excludedMs, healedMs, operations } = row;
  const times = `noticed ${inSeconds(noticedMs)}, excluded ${inSeconds(excludedMs)}, healed ${inSeconds(healedMs)} s`;
  const longest = [row.longestWriteMs, row.longestReadMs, row.longestTransferMs].map(inSeconds);
  const [write, read, transfer] = longest;
  return `${text}: ${times}; longest write ${write}, read ${read}, transfer ${transfer} s; ${operations} operations`;
}
