/**
 * What the kernel's error numbers mean for a device: a code that callers act on, and words. Numbers are Linux's.
 */
import { DaosError, type ErrorCode } from "../../../src/base/errors.ts";

/** Numbers that the code compares with. */
export const Errno = {
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EAGAIN: 11,
  EBUSY: 16,
  ENOTBLK: 15,
  ENODEV: 19,
  EISDIR: 21,
  EINVAL: 22,
  ENOTTY: 25,
  ENOSYS: 38,
  ENOMEDIUM: 123,
  EOPNOTSUPP: 95,
  ESHUTDOWN: 108,
} as const;

interface Meaning {
  readonly name: string;
  readonly code: ErrorCode;
  readonly state: string;
  readonly advice: string;
}

const IO_ADVICE = "Look at the system's log and replace the device";
const GONE = { code: "IO", state: "the device is gone", advice: "Attach it again or replace it" } as const;

const MEANINGS: Readonly<Record<number, Meaning>> = {
  1: { name: "EPERM", code: "READ_ONLY", state: "not permitted", advice: "Give this user access to it" },
  2: { name: "ENOENT", code: "NOT_FOUND", state: "there is no such file or device", advice: "Check the path" },
  5: { name: "EIO", code: "IO", state: "the device failed", advice: IO_ADVICE },
  6: { name: "ENXIO", ...GONE },
  12: { name: "ENOMEM", code: "IO", state: "the kernel has no memory", advice: "Free memory or raise ulimit -l" },
  13: { name: "EACCES", code: "READ_ONLY", state: "permission denied", advice: "Give this user access to it" },
  16: { name: "EBUSY", code: "BUSY", state: "another program uses it", advice: "Stop that one or choose another path" },
  19: { name: "ENODEV", ...GONE },
  20: { name: "ENOTDIR", code: "NOT_FOUND", state: "a part of the path is not a folder", advice: "Check the path" },
  23: { name: "ENFILE", code: "IO", state: "too many open files on this machine", advice: "Raise fs.file-max" },
  24: { name: "EMFILE", code: "IO", state: "too many open files", advice: "Raise ulimit -n" },
  27: { name: "EFBIG", code: "NO_SPACE", state: "the file would be larger than allowed", advice: "Raise ulimit -f" },
  28: { name: "ENOSPC", code: "NO_SPACE", state: "the file system is full", advice: "Free space on it" },
  30: { name: "EROFS", code: "READ_ONLY", state: "it is read-only", advice: "Make it writable or choose another path" },
  108: { name: "ESHUTDOWN", ...GONE },
  122: {
    name: "EDQUOT",
    code: "NO_SPACE",
    state: "the disk quota is used up",
    advice: "Free space or raise the quota",
  },
  123: { name: "ENOMEDIUM", ...GONE },
};

/** `EIO`, or `errno 99` for one without a name here. */
export function errnoName(errno: number): string {
  const known = Object.entries(Errno).find(([, number]) => number === errno)?.[0];
  return MEANINGS[errno]?.name ?? known ?? `errno ${errno}`;
}

/** The error number says that the device was removed, or taken down by its driver. */
export function meansGone(errno: number): boolean {
  return MEANINGS[errno]?.state === GONE.state;
}

/** The error for a system call or request that failed with `errno`. `action` is a verb, such as `write`. */
export function errnoError(action: string, path: string, errno: number): DaosError {
  const meaning = MEANINGS[errno];
  if (meaning === undefined) {
    return new DaosError("IO", `Cannot ${action} "${path}": it failed (${errnoName(errno)}). ${IO_ADVICE}.`);
  }
  return new DaosError(
    meaning.code,
    `Cannot ${action} "${path}": ${meaning.state} (${meaning.name}). ${meaning.advice}.`,
  );
}
