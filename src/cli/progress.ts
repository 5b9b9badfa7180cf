/**
 * Progress of what takes over a second, on standard error and only when that is a terminal: a bar with rate and time
 * left when the whole is known, else the amount or the time so far. Draws nothing in the first second, at most ten
 * times a second after, and leaves no trace when it ends.
 */
import { formatSize } from "../base/size.ts";
import type { Clock, Timers } from "../contracts/world.ts";
import type { OutputStream } from "./environment.ts";
import { formatDuration, formatPercent } from "./table.ts";

const SHOW_AFTER_MS = 1000;
const REDRAW_MS = 100;
const BAR_CHARACTERS = 24;
const CLEAR_LINE = "\r\u001b[2K";

export interface ProgressOptions {
  /** What goes on, such as `put movie.mp4`. */
  readonly label: string;
  /** The whole in `unit`; absent when not known. */
  readonly total?: number | undefined;
  /** What is counted; with `none` only the time is shown. */
  readonly unit: "bytes" | "seconds" | "none";
}

export class Progress {
  readonly #options: ProgressOptions;
  readonly #stream: OutputStream;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #startNs: number;
  #label: string;
  #done = 0;
  #drawn = false;
  #cancelTimer: (() => void) | undefined;
  #write: Promise<void> = Promise.resolve();
  #writing = false;

  constructor(stream: OutputStream, clock: Clock, timers: Timers, options: ProgressOptions) {
    this.#stream = stream;
    this.#clock = clock;
    this.#timers = timers;
    this.#options = options;
    this.#label = options.label;
    this.#startNs = clock.monotonicNs();
    if (stream.isTerminal) this.#schedule(SHOW_AFTER_MS);
  }

  /** `amount` more is done. */
  advance(amount: number): void {
    this.#done += amount;
  }

  /** What goes on now. */
  relabel(label: string): void {
    this.#label = label;
  }

  /** Wipes the line; no drawing after. */
  async end(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#drawn) this.#put(CLEAR_LINE);
    await this.#write;
  }

  #schedule(delayMs: number): void {
    this.#cancelTimer = this.#timers.after(delayMs, () => {
      // A slow terminal gets fewer pictures, not a queue of them.
      if (!this.#writing) this.#put(CLEAR_LINE + this.#line());
      this.#schedule(REDRAW_MS);
    });
  }

  /** A terminal that went away must not fail the work whose progress it shows. */
  #put(text: string): void {
    this.#drawn = true;
    this.#writing = true;
    this.#write = this.#write
      .then(() => this.#stream.write(Buffer.from(text, "utf8")))
      .catch(() => {})
      .finally(() => (this.#writing = false));
  }

  #line(): string {
    const { total, unit } = this.#options;
    const label = this.#label;
    const elapsedMs = (this.#clock.monotonicNs() - this.#startNs) / 1e6;
    if (unit === "none") return `${label}  ${formatDuration(elapsedMs)}`;
    const done = unit === "seconds" ? elapsedMs / 1000 : this.#done;
    const amount = unit === "seconds" ? formatDuration(elapsedMs) : formatSize(done);
    const rate = unit === "bytes" ? `  ${formatSize(Math.round((done * 1000) / elapsedMs))}/s` : "";
    if (total === undefined || total <= 0) return `${label}  ${amount}${rate}`;
    const part = Math.min(1, done / total);
    const filled = Math.round(part * BAR_CHARACTERS);
    const bar = `[${"#".repeat(filled)}${"-".repeat(BAR_CHARACTERS - filled)}]`;
    const left = part === 0 ? "" : `  ${formatDuration((elapsedMs * (1 - part)) / part)} left`;
    return `${label}  ${bar} ${formatPercent(Math.min(done, total), total)}  ${amount}${rate}${left}`;
  }
}
