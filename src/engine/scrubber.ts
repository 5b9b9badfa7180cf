/**
 * Scrubs what a target has stored, pool by pool: a pass reads all of it at a set pace, has what is damaged repaired
 * (scrub-walk.ts), and counts. One step at a time: while clients ask for anything it takes a fifth of the time at most, and a lazy
 * one none. What it has done is remembered with each container, so that after a restart a pass goes on with the next one.
 */
import { DaosError } from "../base/errors.ts";
import { KIB } from "../base/limits.ts";
import type { Clock, Timers } from "../contracts/world.ts";
import type { Repairs } from "../dtx/repairs.ts";
import { scrubContainer, scrubStore, type ScrubStep } from "../dtx/scrub-walk.ts";
import {
  NOTHING_SCRUBBED,
  type PoolScrubArguments,
  type ScrubCounts,
  type ScrubMark,
  type ScrubSettings,
  type TargetScrubStatus,
} from "../format/scrub.ts";
import type { StoreChecks } from "../store/store-checks.ts";

/** How often it looks whether a pass is due, and whether others are at work, milliseconds. */
const LOOK_MS = 1_000;
const IDLE_LOOK_MS = 100;
/** So many times as long as a step took it rests behind it, when clients asked for something meanwhile. */
const REST_SHARE = 4;
/** A pause takes no longer, so that a stop is heard of, milliseconds. */
const MAX_PAUSE_MS = 500;
/** Bytes that are looked at without a pause. */
const BURST_BYTES = 64 * KIB;

/** Where marks are kept. */
export interface ScrubMemory {
  get(pool: string): ScrubMark | undefined;
  put(pool: string, mark: ScrubMark): Promise<void>;
  forget(pool: string): Promise<void>;
}

export interface ScrubberParts {
  readonly checks: StoreChecks;
  readonly repairs: Repairs;
  readonly marks: ScrubMemory;
  readonly timers: Timers;
  readonly clock: Clock;
  /** Requests of clients so far. */
  readonly requests: () => number;
}

interface ScrubbedPool {
  readonly pool: string;
  settings: ScrubSettings;
  containers: readonly number[];
  mark: ScrubMark;
  /** Another one for each pass that was asked for, and for each stop. */
  order: number;
  /** Of the pass that runs, instead of the settings'. */
  bytesPerSecond: number | undefined;
}

export class Scrubber {
  readonly #parts: ScrubberParts;
  readonly #pools = new Map<string, ScrubbedPool>();
  /** Whose pass runs. */
  #running: ScrubbedPool | undefined;
  #cancel: (() => void) | undefined;
  #isStopped = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(parts: ScrubberParts) {
    this.#parts = parts;
  }

  /** What is to be scrubbed of a pool, and when. */
  configure(pool: string, containers: readonly number[], settings: ScrubSettings): void {
    const known = this.#pools.get(pool);
    if (known === undefined) {
      const mark = this.#remembered(pool);
      this.#pools.set(pool, { pool, settings, containers, mark, order: 0, bytesPerSecond: undefined });
    } else Object.assign(known, { settings, containers });
    if (this.#cancel === undefined && !this.#isStopped) this.#look();
  }

  /** The pool is gone. Rejects as CellStore.admit. */
  async forget(pool: string): Promise<void> {
    this.#pools.delete(pool);
    await this.#parts.marks.forget(pool);
  }

  #remembered(pool: string): ScrubMark {
    try {
      const mark = this.#parts.marks.get(pool);
      if (mark !== undefined) return mark;
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
    }
    const sinceMs = this.#parts.clock.wallMs();
    const none = { startedAtMs: 0, container: 0, now: NOTHING_SCRUBBED, finishedAtMs: 0, last: NOTHING_SCRUBBED };
    return { ...none, passes: 0, sinceMs, isStopped: false };
  }

  /** Begins a pass, or ends it. Rejects with NOT_FOUND, and when it cannot be remembered. */
  async command({ pool, action, bytesPerSecond }: PoolScrubArguments): Promise<void> {
    const found = this.#pools.get(pool);
    if (found === undefined) throw new DaosError("NOT_FOUND", `Cannot scrub pool "${pool}": it has nothing here.`);
    if (action !== "status") found.order += 1;
    if (action === "start") {
      found.bytesPerSecond = bytesPerSecond;
      const begun = { startedAtMs: this.#parts.clock.wallMs(), container: 0, now: NOTHING_SCRUBBED };
      await this.#remember(found, { ...found.mark, ...begun, isStopped: false });
      this.#begin();
    } else if (action === "stop") {
      await this.#remember(found, { ...found.mark, startedAtMs: 0, container: 0, isStopped: true });
    }
  }

  /** Undefined: the pool has nothing here. */
  status(pool: string): TargetScrubStatus | undefined {
    const found = this.#pools.get(pool);
    if (found === undefined) return undefined;
    const { startedAtMs, now, finishedAtMs, last, passes, isStopped } = found.mark;
    const state = isStopped ? "stopped" : startedAtMs > 0 ? "running" : "idle";
    return { state, startedAtMs, now, finishedAtMs, last, passes };
  }

  /** Ends; a pass goes on after the next start. Resolves when nothing is read or written any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel?.();
    await this.#ended;
  }

  #look(): void {
    this.#begin();
    this.#cancel = this.#parts.timers.after(LOOK_MS, () => this.#look());
  }

  #begin(): void {
    if (this.#running !== undefined || this.#isStopped) return;
    const due = [...this.#pools.values()].find((pool) => this.#isDue(pool));
    if (due === undefined) return;
    this.#running = due;
    this.#ended = this.#pass(due)
      .catch((error: unknown) => {
        // Its medium takes nothing any more, or it closes: tried again when it is looked at next.
        if (!(error instanceof DaosError)) throw error;
      })
      .finally(() => (this.#running = undefined));
  }

  #isDue({ settings, mark }: ScrubbedPool): boolean {
    if (mark.isStopped) return false;
    if (mark.startedAtMs > 0) return true;
    if (settings.mode !== "timed") return settings.mode === "lazy";
    const last = Math.max(mark.finishedAtMs, mark.sinceMs);
    return this.#parts.clock.wallMs() >= last + settings.periodSeconds * 1_000;
  }

  async #pass(pool: ScrubbedPool): Promise<void> {
    const { checks, repairs, clock } = this.#parts;
    const { order } = pool;
    if (pool.mark.startedAtMs === 0) {
      const begun = { startedAtMs: clock.wallMs(), container: 0, now: NOTHING_SCRUBBED };
      await this.#remember(pool, { ...pool.mark, ...begun });
    }
    if (pool.mark.container === 0 && !(await this.#walk(pool, order, scrubStore(checks, repairs)))) return;
    for (let next = nextOf(pool); next !== undefined; next = nextOf(pool)) {
      if (!(await this.#walk(pool, order, scrubContainer(checks, repairs, next)))) return;
      await this.#remember(pool, { ...pool.mark, container: next + 1 });
    }
    const { now, passes } = pool.mark;
    const ended = { startedAtMs: 0, container: 0, now: NOTHING_SCRUBBED, finishedAtMs: clock.wallMs() };
    pool.bytesPerSecond = undefined;
    await this.#remember(pool, { ...pool.mark, ...ended, last: now, passes: passes + 1 });
  }

  /** False when the pass is over before its end. */
  async #walk(pool: ScrubbedPool, order: number, steps: AsyncGenerator<ScrubStep, void, void>): Promise<boolean> {
    const { clock, requests } = this.#parts;
    let burst = 0;
    for (;;) {
      if (!this.#goesOn(pool, order)) return false;
      const [before, startNs] = [requests(), clock.monotonicNs()];
      const step = await steps.next();
      if (step.done === true) return this.#goesOn(pool, order);
      if (!this.#goesOn(pool, order)) return false;
      const tookMs = (clock.monotonicNs() - startNs) / 1e6;
      pool.mark = { ...pool.mark, now: sum(pool.mark.now, step.value) };
      burst += step.value.bytes;
      const isBusy = requests() !== before;
      if (burst < BURST_BYTES && !isBusy) continue;
      const paceMs = (burst * 1_000) / (pool.bytesPerSecond ?? pool.settings.bytesPerSecond);
      await this.#pause(pool, order, Math.max(paceMs - tookMs, isBusy ? tookMs * REST_SHARE : 0));
      burst = 0;
    }
  }

  async #pause(pool: ScrubbedPool, order: number, ms: number): Promise<void> {
    for (let left = ms; left > 0 && this.#goesOn(pool, order); left -= MAX_PAUSE_MS)
      await this.#wait(Math.min(left, MAX_PAUSE_MS));
    // A pass that was asked for is not put off.
    const isLazy = pool.settings.mode === "lazy" && pool.bytesPerSecond === undefined;
    for (let before = -1; isLazy && this.#goesOn(pool, order) && before !== this.#parts.requests();) {
      before = this.#parts.requests();
      await this.#wait(IDLE_LOOK_MS);
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#parts.timers.after(ms, resolve));
  }

  #goesOn(pool: ScrubbedPool, order: number): boolean {
    return !this.#isStopped && pool.order === order && this.#pools.get(pool.pool) === pool;
  }

  async #remember(pool: ScrubbedPool, mark: ScrubMark): Promise<void> {
    pool.mark = mark;
    await this.#parts.marks.put(pool.pool, mark);
  }
}

/** The next container of the pass; those that came meanwhile are among them. */
function nextOf({ containers, mark }: ScrubbedPool): number | undefined {
  return containers.filter((container) => container >= mark.container).toSorted((left, right) => left - right)[0];
}

function sum(left: ScrubCounts, right: ScrubCounts): ScrubCounts {
  return {
    bytes: left.bytes + right.bytes,
    damaged: left.damaged + right.damaged,
    repaired: left.repaired + right.repaired,
    lost: left.lost + right.lost,
  };
}
