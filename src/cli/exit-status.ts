/**
 * What the process ends with. Scripts tell a wrong call (2) from a call that failed (1) by it, and from a check that was made
 * and left something (3); nothing else is used.
 */
import { hasCode } from "../base/errors.ts";

export const EXIT_STATUS = {
  ok: 0,
  /** The command was understood and could not be done. */
  failed: 1,
  /** The command line or the configuration is wrong: the same call can never succeed. */
  usage: 2,
  /** The check was made, and what it found is not all repaired. */
  findings: 3,
} as const;

/** The status for an error that a command ended with. */
export function exitStatusOf(error: unknown): number {
  return hasCode(error, "CONFIGURATION") || hasCode(error, "INVALID_ARGUMENT") ? EXIT_STATUS.usage : EXIT_STATUS.failed;
}
