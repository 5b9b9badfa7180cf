/**
 * The one table of error codes. A code exists only if some caller acts on it; every code has a section in
 * docs/errors.md (test/tidy.test.ts checks that). The wire carries the number, people see the name.
 * Compare codes, never text. Messages read `Cannot <action> "<what>": <state>. <what to do>`.
 */
export const ERROR_CODES = {
  /** The caller's arguments cannot be right: type, range, unknown name, malformed key. */
  INVALID_ARGUMENT: 1,
  /** Something named by the caller (pool, container, snapshot, plugin) is not there. */
  NOT_FOUND: 2,
  /** Creating what is there already, or a condition "if absent" that failed. */
  ALREADY_EXISTS: 3,
  /** A condition "if exists" failed: the object, dkey or akey has no visible value. */
  DOES_NOT_EXIST: 4,
  /** SCM, NVMe or the pool's quota cannot take this write. Reads and punches still work. */
  NO_SPACE: 5,
  /** Stored or received bytes fail their checksum or their format's rules. */
  CORRUPT: 6,
  /** A value, frame or key is over its named limit (src/base/limits.ts). */
  TOO_LARGE: 7,
  /** This build, plugin or object class cannot do it. */
  UNSUPPORTED: 8,
  /** The peer or the stored format speaks a version this program does not. */
  VERSION: 9,
  /** Held by someone else: the storage folder by another engine, a pool by its containers. */
  BUSY: 10,
  /** The store or its medium takes no writes now. */
  READ_ONLY: 11,
  /** The operating system failed a read or write. */
  IO: 12,
  /** The engine or target cannot be reached or is shutting down. Retry elsewhere or later. */
  UNAVAILABLE: 13,
  /** No answer within the caller's time limit. The operation may have happened. */
  TIMEOUT: 14,
  /** The caller's AbortSignal fired. The operation may have happened. */
  CANCELED: 15,
  /** A frame broke the protocol's rules; the connection is cut. */
  PROTOCOL: 16,
  /** A read at an epoch whose versions were aggregated away; read at a snapshot or at the latest epoch. */
  EPOCH_AGGREGATED: 17,
  /** The caller's pool map or handle is older than the target's: refresh and retry. */
  STALE: 18,
  /** The configuration file or the command line is wrong; the process ends with status 2. */
  CONFIGURATION: 19,
  /** A compare-and-commit lost against another writer: read again and retry. */
  CONFLICT: 20,
  /** A bounded queue is full: back off and retry. */
  OVERLOADED: 21,
  /** The handle or capability does not grant this. */
  PERMISSION: 22,
  /** A target does not have what the update says was staged there: send the update with its bytes. */
  NOT_STAGED: 23,
  /** The request may have been done, and what was done then is forgotten. Read, then send it under a new number. */
  OLD_REQUEST: 24,
  /** The request was damaged on its way: nothing was done. Send it again. */
  DAMAGED: 25,
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

const NAME_BY_NUMBER = new Map<number, ErrorCode>(
  Object.entries(ERROR_CODES).map(([name, number]) => [number, name as ErrorCode]),
);

/** Codes after which the same request may be sent again by itself. */
const RETRYABLE: ReadonlySet<ErrorCode> = new Set(["UNAVAILABLE", "STALE", "OVERLOADED", "CONFLICT", "DAMAGED"]);

/** An expected failure. `message` says what could not be done, why, and what to do about it. */
export class DaosError extends Error {
  readonly code: ErrorCode;
  readonly retry: boolean;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "DaosError";
    this.code = code;
    this.retry = RETRYABLE.has(code);
  }

  /** The number the wire carries. */
  get wireCode(): number {
    return ERROR_CODES[this.code];
  }
}

/** The error for a wire code; a number this build does not know becomes PROTOCOL. */
export function errorFromWire(wireCode: number, message: string): DaosError {
  const code = NAME_BY_NUMBER.get(wireCode);
  if (code === undefined) return new DaosError("PROTOCOL", `Peer sent unknown error ${wireCode}: ${message}`);
  return new DaosError(code, message);
}

/** True when `error` is a DaosError with this code; also one of another copy of this module, as a plugin may bring. */
export function hasCode(error: unknown, code: ErrorCode): error is DaosError {
  return error instanceof Error && error.name === "DaosError" && (error as DaosError).code === code;
}
