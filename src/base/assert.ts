/**
 * Assertions are for bugs, always on, one condition each. A failed assertion ends the process: nobody catches it.
 * Bytes from disk or network are never asserted, they are checked and raise CORRUPT or PROTOCOL.
 */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Throws AssertionError unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Ends a switch over a union: a compile error when a case is missing. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}
