/**
 * Whether the next small I/O on a file should block the thread or go through the runtime's thread pool. On a quick
 * medium (0.1 ms) the detour costs more than the wait: 167 us against 105 us, and three times the CPU. So `auto` blocks
 * while the average latency stays under SLOW_NS, and turns to the pool above it; then one operation in RECHECK_EVERY
 * blocks, to see whether the medium became quick again. Large I/O always goes through the pool.
 */
import type { Clock } from "../src/contracts/world.ts";

export type IoMode = "auto" | "sync" | "async";

/** Above this average latency the thread is not blocked any more, nanoseconds. */
const SLOW_NS = 400_000;
/** One sample counts at most this much, so that a single hiccup changes nothing. */
const MAX_SAMPLE_NS = 4 * SLOW_NS;
const SAMPLE_WEIGHT = 1 / 8;
const RECHECK_EVERY = 256;

export class IoStrategy {
  readonly #mode: IoMode;
  readonly #clock: Clock;
  readonly #maxSyncBytes: number;
  #averageNs = 0;
  #sinceCheck = 0;

  /** `maxSyncBytes`: I/O over this size goes through the pool, unless the mode is `sync`. */
  constructor(mode: IoMode, clock: Clock, maxSyncBytes: number) {
    this.#mode = mode;
    this.#clock = clock;
    this.#maxSyncBytes = maxSyncBytes;
  }

  /** Average latency of blocking I/O, microseconds; 0 before the first. */
  get averageUs(): number {
    return this.#averageNs / 1000;
  }

  /** Whether an I/O of this size should block. When it does, tell `finished`. */
  blocks(sizeBytes: number): boolean {
    if (this.#mode !== "auto") return this.#mode === "sync";
    if (sizeBytes > this.#maxSyncBytes) return false;
    if (this.#averageNs < SLOW_NS) return true;
    this.#sinceCheck += 1;
    if (this.#sinceCheck < RECHECK_EVERY) return false;
    this.#sinceCheck = 0;
    return true;
  }

  /** The time at which a blocking I/O starts, for `finished`. */
  start(): number {
    return this.#clock.monotonicNs();
  }

  finished(startNs: number): void {
    const sampleNs = Math.min(this.#clock.monotonicNs() - startNs, MAX_SAMPLE_NS);
    if (this.#averageNs >= SLOW_NS && sampleNs < SLOW_NS) this.#averageNs = sampleNs;
    else this.#averageNs += (sampleNs - this.#averageNs) * (this.#averageNs === 0 ? 1 : SAMPLE_WEIGHT);
  }
}
