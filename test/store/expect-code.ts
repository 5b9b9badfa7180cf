/** Expectations on typed errors. */
import { expect } from "bun:test";
import { DaosError, type ErrorCode } from "../../src/base/errors.ts";

/** The error that `run` throws, which must be a DaosError of this code. */
export function expectCode(code: ErrorCode, run: () => unknown): DaosError {
  let thrown: unknown;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  return checked(code, thrown);
}

/** The same for a promise. */
export async function expectRejection(code: ErrorCode, promise: Promise<unknown>): Promise<DaosError> {
  const thrown: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  return checked(code, thrown);
}

function checked(code: ErrorCode, thrown: unknown): DaosError {
  expect(thrown).toBeInstanceOf(DaosError);
  const error = thrown as DaosError;
  expect(error.code).toBe(code);
  expect(error.message).toMatch(/^Cannot .*: .*\.$/s);
  return error;
}
