/**
 * What the control plane looks at again and again, one look at a time; a look that fails is told, and the next one comes.
 */
import { DaosError } from "../base/errors.ts";
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
        () => this.start(),
        (error: unknown) => {
          if (!(error instanceof DaosError)) throw error;
          this.#parts.event("error", error.message);
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
