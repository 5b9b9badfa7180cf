/**
 * Failures of the process's own streams, which come from the operating system with its codes. A closed pipe is none:
 * the reader has gone, as in `daos kv list ... | head -1`, and whoever reads decides how much.
 */
import { DaosError } from "../base/errors.ts";

/** True for the error with which a write to a closed pipe rejects. */
export function isBrokenPipe(error: unknown): boolean {
  return systemCode(error) === "EPIPE";
}

/** An operating system's error as the DaosError IO, except a closed pipe; anything else as it is. */
export function streamFailure(action: string, error: unknown): unknown {
  const code = systemCode(error);
  if (code === undefined || code === "EPIPE") return error;
  const message = `Cannot ${action}: the operating system says ${code}. Check where it leads.`;
  return new DaosError("IO", message, { cause: error });
}

function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || error instanceof DaosError || !("code" in error)) return undefined;
  return typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}
