/** The errors of object operations that client and engine both come to: the same words from each. */
import { DaosError } from "./errors.ts";

/** The error when a caller's record size is not the array's. */
export function recordSizeMismatch(asked: number, stored: number): DaosError {
  return new DaosError(
    "INVALID_ARGUMENT",
    `Cannot use records of ${asked} bytes: the array has records of ${stored}. Use those.`,
  );
}

/** The error of a condition `ifExists`. */
export function missing(what: "object" | "dkey" | "akey"): DaosError {
  return new DaosError(
    "DOES_NOT_EXIST",
    `Cannot go on: the ${what} does not exist. Drop the condition to go on without it.`,
  );
}
