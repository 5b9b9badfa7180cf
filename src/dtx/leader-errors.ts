/** What members answer a leader, and what it tells those whose updates it cannot finish. */
import { DaosError, type ErrorCode } from "../base/errors.ts";

/** Errors after which a member may have prepared the update, or may yet. */
export const ANSWERS_NOTHING: ReadonlySet<ErrorCode> = new Set([
  "UNAVAILABLE",
  "STALE",
  "CANCELED",
  "TIMEOUT",
  "PERMISSION",
]);

export function notLeader(leader: number): DaosError {
  const where = leader < 0 ? "another target" : `target ${leader}`;
  return new DaosError(
    "STALE",
    `Cannot update the object here: ${where} orders its updates. Open the container again.`,
  );
}

export function notServed(): DaosError {
  return new DaosError("NOT_FOUND", "Cannot finish the update: its container is being destroyed.");
}

export function undone(): DaosError {
  const state = "it was undone when a target of its group was lost";
  return new DaosError("UNAVAILABLE", `Cannot finish the update: ${state}. Retry.`);
}

export function notFolded(): DaosError {
  const state = "a stripe of it has to be folded first, and that failed";
  return new DaosError("UNAVAILABLE", `Cannot update the object: ${state}. Retry.`);
}
