/**
 * What an Error of native/pmdk means to us: a code that callers act on, and advice.
 */
import { DaosError, type ErrorCode } from "../../../src/base/errors.ts";

const MEANINGS: Readonly<Record<string, readonly [code: ErrorCode, advice: string]>> = {
  BUSY: ["BUSY", "Stop the other one, or configure another path"],
  ENOENT: ["NOT_FOUND", "Check the path"],
  ENOTDIR: ["NOT_FOUND", "Check the path"],
  ENXIO: ["NOT_FOUND", "Check the device with ndctl list"],
  EACCES: ["READ_ONLY", "Give this user access to it"],
  EPERM: ["READ_ONLY", "Give this user access to it"],
  EROFS: ["READ_ONLY", "Mount the file system for writing"],
  NO_ACCESS: ["READ_ONLY", "Give this user access to it"],
  ENOSPC: ["NO_SPACE", "Free space on it"],
  ENOMEM: ["INVALID_ARGUMENT", "Use a smaller SCM size"],
  ERR_BUFFER_TOO_LARGE: ["INVALID_ARGUMENT", "Use a smaller SCM size"],
  MAP_RANGE: ["CORRUPT", "Restore the size the storage was formatted with"],
  IO_FAIL: ["CORRUPT", "The medium is damaged: see ndctl list --media-errors"],
  INVALID_FILE_TYPE: ["CONFIGURATION", "Name a folder or a devdax device"],
};

/** The error of a call of the addon on `path`, as a DaosError. */
export function nativeError(action: string, path: string, error: unknown): DaosError {
  if (error instanceof DaosError) return error;
  const nativeCode = (error as { code?: unknown } | null)?.code;
  const [code, advice] =
    MEANINGS[typeof nativeCode === "string" ? nativeCode : ""] ??
    (["IO", "Check the medium and the kernel's log"] as const);
  const state = (error instanceof Error ? error.message : String(error)).replace(/\.$/, "");
  return new DaosError(code, `Cannot ${action} "${path}": ${state}. ${advice}.`, { cause: error });
}

/** Runs a call of the addon, its error translated. */
export function native<Result>(action: string, path: string, call: () => Result): Result {
  try {
    return call();
  } catch (error) {
    throw nativeError(action, path, error);
  }
}
