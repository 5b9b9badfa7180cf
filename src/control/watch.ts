/**
 * What the control plane looks at again and again, one look at a time; a look that fails is told,
 * once for looks in a row that fail alike, and the next one comes.
 */
import { DaosError, type ErrorCode } from "../base/errors.ts";
import type { TellEvent } from "../base/events.ts";
import type { Timers } from "../contracts/world.ts";

export interface WatchParts {
  readonly timers: Timers;
  readonly event: TellEvent;
}

export abstract class Watch {
  readonly #parts: WatchParts;
  /** Pause before each look, milliseconds. */
  readonly #tickMs: number;
  #cancel: (() => void) | undefined;
  #isStopped = false;
  /** Of the look before. */
  #failure: ErrorCode | undefined;

  constructor(parts: WatchParts, tickMs: number) {
    this.#parts = parts;
    this.#tickMs = tickMs;
  }

  /** One look. */
  abstract tick(): Promise<void>;

  start(): void {
    if (this.#isStopped) return;
    this.#cancel = this.#parts.timers.after(this.#tickMs, () => {
      void this.tick().then(
        () => {
          this.#failure = undefined;
          this.start();
        },
        (error: unknown) => {
          if (!(error instanceof DaosError)) throw error;
          if (error.code !== this.#failure) this.#parts.event("error", error.message);
          this.#failure = error.code;
          this.start();
        },
      );
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }
}
