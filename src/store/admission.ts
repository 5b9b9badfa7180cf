/**
 * Admission: who may append, and who waits for the log to be settled. The last free segment is kept for punches, so that
 * a full store can still be emptied; and as many as it takes for records that were promised: the ends of transactions,
 * without which what is locked stays so.
 */
import { DaosError } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import type { AdmitOptions } from "./cell.ts";
import type { Log } from "./log.ts";

/** Appends that wait for room at once. */
export const MAX_ADMIT_WAITERS = 16_384;
/** Segments besides those that are kept: that which is written, and the one for punches. */
const KEPT_SEGMENTS = 2;
const NO_OPTIONS: AdmitOptions = {};
/** An estimate may be this much too small. */
const ESTIMATE_SLACK_BYTES = 512;

interface Waiter {
  readonly recordBytes: number;
  readonly options: AdmitOptions;
  resolve(): void;
  reject(error: Error): void;
}

export interface AdmissionHooks {
  /** The log or the index cannot take more until something is settled. */
  settleNow(): void;
  /** Something is refused for want of room that settling may make. */
  settleForRoom(): void;
  /** Whether the index has room for so many bytes more, may have when the log is settled, or the error that refuses. */
  indexState(recordBytes: number): "room" | "settle" | DaosError;
  /** Why waiting for the log is in vain, if it is. */
  stuck(): DaosError | undefined;
  /** Segments that must stay free for what the log itself may have to move. */
  reservedSegments(): number;
}

export class Admission {
  readonly #log: Log;
  readonly #timers: Timers;
  readonly #hooks: AdmissionHooks;
  readonly #waiters: Waiter[] = [];
  /** Granted to waiters that have not run yet. */
  #grantedBytes = 0;
  /** Of records that are to come. */
  #promisedBytes = 0;
  /** Of those whose promise was granted to waiters that have not run yet. */
  #grantedPromiseBytes = 0;
  #refusal: DaosError | undefined;

  constructor(log: Log, timers: Timers, hooks: AdmissionHooks) {
    this.#log = log;
    this.#timers = timers;
    this.#hooks = hooks;
  }

  /** See CellStore.promise. */
  promise(totalBytes: number): void {
    const isLess = totalBytes < this.#promisedBytes;
    this.#promisedBytes = totalBytes;
    if (isLess) this.wake();
  }

  /** See CellStore.admit. */
  admit(recordBytes: number, options: AdmitOptions = NO_OPTIONS): undefined | Promise<void> {
    if (this.#refusal !== undefined) throw this.#refusal;
    if (recordBytes > this.#log.maxRecordBytes) throw tooLarge(recordBytes, this.#log.maxRecordBytes);
    this.#checkPromise(options);
    if ((isUrgent(options) || this.#waiters.length === 0) && this.#hasRoom(recordBytes, options)) return undefined;
    if (this.#waiters.length >= MAX_ADMIT_WAITERS) {
      throw new DaosError(
        "OVERLOADED",
        `Cannot admit a write: ${MAX_ADMIT_WAITERS} wait for the log. Try again later.`,
      );
    }
    const stuck = this.#hooks.stuck();
    if (stuck !== undefined) throw stuck;
    this.#hooks.settleNow();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ recordBytes, options, resolve, reject });
    });
  }

  /** Throws NO_SPACE when the log is too small for all that is promised. */
  #checkPromise({ promiseBytes }: AdmitOptions): void {
    if (promiseBytes === undefined) return;
    const kept = this.#hooks.reservedSegments() + this.#promisedSegments(promiseBytes) + KEPT_SEGMENTS;
    if (kept > this.#log.layout.segmentCount) throw promisedAway();
  }

  /** With so many bytes more. A segment's end stays empty when the next record does not fit: at worst half of each. */
  #promisedSegments(moreBytes: number): number {
    const bytes = this.#promisedBytes + this.#grantedPromiseBytes + moreBytes;
    return Math.ceil(bytes / (this.#log.layout.segmentBytes / 2));
  }

  /** Throws when the index refuses the write. */
  #hasRoom(recordBytes: number, options: AdmitOptions): boolean {
    const { promiseBytes = 0, isPromised = false } = options;
    if (!isUrgent(options)) {
      const state = this.#hooks.indexState(recordBytes + this.#grantedBytes);
      if (state === "settle") return false;
      if (state !== "room") {
        this.#hooks.settleForRoom();
        throw state;
      }
    }
    const needed = recordBytes + this.#grantedBytes + ESTIMATE_SLACK_BYTES;
    const free = this.#log.freeSegments;
    const promised = isPromised ? 0 : this.#promisedSegments(promiseBytes);
    const reserve = this.#hooks.reservedSegments() + promised + (isUrgent(options) ? 0 : 1);
    // A waiting crowd may be granted more than the rest of this segment, but never more than one further one.
    if (this.#log.segmentRestBytes >= needed) return free >= reserve;
    return free >= reserve + 1 && needed <= this.#log.maxRecordBytes + ESTIMATE_SLACK_BYTES;
  }

  /** Lets in those for whom there is room now, in order; what is urgent passes what is not. */
  wake(): void {
    if (this.#waiters.length === 0) return;
    const waiting = this.#waiters.splice(0);
    let blocked = false;
    for (const waiter of waiting) {
      if (this.#refusal !== undefined) waiter.reject(this.#refusal);
      else if (blocked && !isUrgent(waiter.options)) this.#waiters.push(waiter);
      else if (this.#try(waiter)) continue;
      else blocked = true;
    }
    if (this.#grantedBytes > 0) {
      // Those let in append within this turn.
      this.#timers.soon(() => {
        this.#grantedBytes = 0;
        this.#grantedPromiseBytes = 0;
        this.wake();
      });
    } else if (this.#waiters.length > 0) {
      this.#hooks.settleNow();
    }
  }

  /** True when the waiter needs to wait no longer. */
  #try(waiter: Waiter): boolean {
    try {
      this.#checkPromise(waiter.options);
      if (!this.#hasRoom(waiter.recordBytes, waiter.options)) {
        const stuck = this.#hooks.stuck();
        if (stuck !== undefined) throw stuck;
        this.#waiters.push(waiter);
        return false;
      }
      this.#grantedBytes += waiter.recordBytes;
      this.#grantedPromiseBytes += waiter.options.promiseBytes ?? 0;
      waiter.resolve();
    } catch (error) {
      waiter.reject(error as Error);
    }
    return true;
  }

  /** Refuses everything from now on, those who wait too. */
  refuse(error: DaosError): void {
    this.#refusal ??= error;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#refusal);
  }
}

/** A punch does not queue behind writes, for it makes room for them; nor does what was promised. */
function isUrgent({ punch, isPromised }: AdmitOptions): boolean {
  return punch === true || isPromised === true;
}

function promisedAway(): DaosError {
  const state = "the log has no room for its end, besides those of others that are under way";
  return new DaosError("NO_SPACE", `Cannot begin the transaction: ${state}. Retry, or use a smaller one.`);
}

function tooLarge(recordBytes: number, maxBytes: number): DaosError {
  return new DaosError(
    "TOO_LARGE",
    `Cannot append "${recordBytes} bytes": a record holds ${maxBytes}. Split the operation.`,
  );
}
