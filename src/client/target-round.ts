/**
 * Which targets a request has been to since it last paused: of several that have the same each is asked once before a
 * pause.
 */
import { DaosError, type ErrorCode, hasCode } from "../base/errors.ts";

/** Errors after which another target that has the same may know better. */
const TARGET_ERRORS: ReadonlySet<ErrorCode> = new Set([
  "UNAVAILABLE",
  "TIMEOUT",
  "CORRUPT",
  "IO",
  "OVERLOADED",
  "PROTOCOL",
  "DAMAGED",
]);

export function isOfTarget(error: unknown): boolean {
  return error instanceof DaosError && TARGET_ERRORS.has(error.code);
}

export class TargetRound {
  /** Targets that have failed. */
  asked = 0;
  #passing: unknown;

  /** All may be asked again. */
  begin(): void {
    this.asked = 0;
    this.#passing = undefined;
  }

  failed(error: unknown): void {
    this.asked += 1;
    if (hasCode(error, "UNAVAILABLE") || hasCode(error, "OVERLOADED")) this.#passing = error;
  }

  /** What the round has failed with, `last` at last: when one of the targets may be back soon, that one's error. */
  outcome(last: unknown): unknown {
    return isOfTarget(last) ? (this.#passing ?? last) : last;
  }
}
