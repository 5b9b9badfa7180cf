/**
 * When a failed request is sent again, and how long to wait before. Each retried operation has one Retry: exponential
 * delays with jitter, ended by a window of time that opens with the first failure. What may be repeated is the caller's
 * to say; what a code allows is decided here.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import type { World } from "../contracts/world.ts";

/** First and longest delay between attempts, milliseconds. */
const FIRST_DELAY_MS = 10;
const MAX_DELAY_MS = 1000;
/** How long an operation is tried again when the caller does not say, milliseconds. */
export const DEFAULT_RETRY_WINDOW_MS = 10_000;

/**
 * How far a failed attempt got. `refused`: nothing happened (never sent, or an answer that says so). `sent`: it may have
 * happened. `late`: so, too, and it was somebody on the way who waited too long, not the caller.
 */
export type AttemptReach = "refused" | "sent" | "late";

/** What sending an operation again does: harm, none, or none since who serves it knows its number again. */
export type Repetition = "harmful" | "harmless" | "numbered";

/** True when sending the request again may help and can do no harm. */
function mayRetry(error: DaosError, reach: AttemptReach, repetition: Repetition): boolean {
  switch (error.code) {
    case "STALE":
    case "OVERLOADED":
    case "NOT_STAGED":
    case "DAMAGED":
      return true;
    case "UNAVAILABLE":
      return reach === "refused" || repetition !== "harmful";
    case "TIMEOUT":
      return reach === "late" && repetition !== "harmful";
    default:
      return false;
  }
}

export class Retry {
  readonly #world: World;
  readonly #windowMs: number;
  readonly #repetition: Repetition;
  readonly #signal: AbortSignal | undefined;
  #deadlineMs: number | undefined;
  #delayMs = FIRST_DELAY_MS;
  #wasSent = false;

  constructor(world: World, windowMs: number, repetition: Repetition, signal?: AbortSignal) {
    this.#world = world;
    this.#windowMs = windowMs;
    this.#repetition = repetition;
    this.#signal = signal;
  }

  /** Resolves when it is time for the next attempt. Rejects with `error`, or what it means here, when there is none. */
  async afterFailure(error: unknown, reach: AttemptReach): Promise<void> {
    if (!(error instanceof DaosError)) throw error;
    if (reach !== "refused") this.#wasSent = true;
    if (!mayRetry(error, reach, this.#repetition)) throw uncertain(error, reach);
    const nowMs = this.#world.clock.monotonicNs() / 1e6;
    this.#deadlineMs ??= nowMs + this.#windowMs;
    const delayMs = this.#delayMs * (0.5 + this.#world.random.next() / 2);
    if (nowMs + delayMs > this.#deadlineMs) {
      const last = isDamage(error) ? alwaysDamaged(error) : error;
      throw this.#repetition === "numbered" && this.#wasSent ? uncertain(last, "sent") : last;
    }
    this.#delayMs = Math.min(this.#delayMs * 2, MAX_DELAY_MS);
    await pause(this.#world, delayMs, this.#signal);
  }
}

/** Whether the attempt failed because bytes were damaged between the two ends. */
export function isDamage(error: DaosError): boolean {
  return error.code === "DAMAGED" || hasCode(error.cause, "DAMAGED");
}

/** No accident of one time: something between the two ends damages what passes. */
function alwaysDamaged(error: DaosError): DaosError {
  const state = "bytes were damaged on their way at each attempt; it may have happened";
  const message = `Cannot finish the operation: ${state}. Check the network and the memory of both ends. The last one: ${error.message}`;
  return new DaosError("CORRUPT", message, { cause: error });
}

function uncertain(error: DaosError, reach: AttemptReach): DaosError {
  if (error.code !== "UNAVAILABLE" || reach === "refused") return error;
  const message = `${error.message} The operation may have happened: read before you send it again.`;
  return new DaosError("UNAVAILABLE", message, { cause: error });
}

/** Resolves after `delayMs`; rejects with CANCELED on the signal. */
export function pause(world: World, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const cancelTimer = world.timers.after(delayMs, () => {
      signal?.removeEventListener("abort", abort);
      resolve();
    });
    const abort = (): void => {
      cancelTimer();
      reject(canceled());
    };
    if (signal?.aborted === true) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}

/** What `promise` settles to, or a rejection with CANCELED as soon as the signal fires; the work itself goes on. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(canceled());
    const settled = (): void => signal.removeEventListener("abort", abort);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).then(settled, settled);
  });
}

/** The error of an operation whose signal fired. */
export function canceled(): DaosError {
  return new DaosError("CANCELED", "Cannot finish the operation: it was canceled. It may have happened.");
}

/** The error of an operation on what the caller has closed: nobody waits for it, so it is not tried again. */
export function clientClosed(): DaosError {
  return new DaosError(
    "CANCELED",
    "Cannot go on: the client or container was closed. What was under way may have happened.",
  );
}
