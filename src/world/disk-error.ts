/**
 * What the operating system's error numbers mean to us: a code that callers act on, the path, and advice.
 */
import { DaosError, type ErrorCode } from "../base/errors.ts";

interface Meaning {
  readonly code: ErrorCode;
  readonly state: string;
  readonly advice: string;
}

const MEANING_BY_ERRNO: Readonly<Record<string, Meaning>> = {
  ENOSPC: {
    code: "NO_SPACE",
    state: "the file system is full",
    advice: "Free space on it or move the storage folder.",
  },
  EDQUOT: { code: "NO_SPACE", state: "the disk quota is used up", advice: "Free space or raise the quota." },
  EFBIG: {
    code: "NO_SPACE",
    state: "the file would be larger than allowed",
    advice: "Use a smaller size or raise ulimit -f.",
  },
  EROFS: {
    code: "READ_ONLY",
    state: "the file system is read-only",
    advice: "Mount it for writing or move the storage folder.",
  },
  EACCES: {
    code: "READ_ONLY",
    state: "permission denied",
    advice: "Give this user access to it or choose another folder.",
  },
  EPERM: { code: "READ_ONLY", state: "not permitted", advice: "Give this user access to it or choose another folder." },
  ENOENT: { code: "NOT_FOUND", state: "there is no such file or folder", advice: "Check the path." },
  ENOTDIR: { code: "NOT_FOUND", state: "a part of the path is not a folder", advice: "Check the path." },
  EISDIR: { code: "IO", state: "it is a folder", advice: "Name a file." },
  EMFILE: { code: "IO", state: "too many open files", advice: "Raise ulimit -n." },
  ENFILE: { code: "IO", state: "too many open files on this machine", advice: "Raise fs.file-max." },
  EIO: { code: "IO", state: "the device failed", advice: "Look at the system's log and replace the device." },
};

/** The error number's name of what node:fs threw, such as `ENOSPC`; empty when it is none. */
export function errnoOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** The DaosError for a failed system call. `action` is a verb, such as `write`. */
export function diskError(action: string, path: string, error: unknown): DaosError {
  if (error instanceof DaosError) return error;
  const errno = errnoOf(error);
  const meaning = MEANING_BY_ERRNO[errno];
  if (meaning !== undefined) {
    const message = `Cannot ${action} "${path}": ${meaning.state} (${errno}). ${meaning.advice}`;
    return new DaosError(meaning.code, message, { cause: error });
  }
  const text = error instanceof Error ? error.message : String(error);
  return new DaosError("IO", `Cannot ${action} "${path}": ${text}. Look at the system's log.`, { cause: error });
}
