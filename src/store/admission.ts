/**
 * Admission: who may append, and who waits for the log to be settled. The last free segment is kept for punches, so that
 * a full store can still be emptied.
 */
import { DaosError } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import type { Log } from "./log.ts";

/** Appends that wait for room at once. */
export const MAX_ADMIT_WAITERS = 16_384;
/** An estimate may be this much too small. */
const ESTIMATE_SLACK_BYTES = 512;

interface Waiter {
  readonly recordBytes: number;
  readonly punch: boolean;
  resolve(): void;
  reject(error: Error): void;
}

export interface AdmissionHooks {
  /** The log or the index cannot take more until something is settled. */
  settleNow(): void;
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
  #refusal: DaosError | undefined;

  constructor(log: Log, timers: Timers, hooks: AdmissionHooks) {
    this.#log = log;
    this.#timers = timers;
    this.#hooks = hooks;
  }

  /** See CellStore.admit. */
  admit(recordBytes: number, punch: boolean): undefined | Promise<void> {
    if (this.#refusal !== undefined) throw this.#refusal;
    if (recordBytes > this.#log.maxRecordBytes) throw tooLarge(recordBytes, this.#log.maxRecordBytes);
    // A punch does not queue behind writes: it is what makes room for them.
    if ((punch || this.#waiters.length === 0) && this.#hasRoom(recordBytes, punch)) return undefined;
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
      this.#waiters.push({ recordBytes, punch, resolve, reject });
    });
  }

  /** Throws when the index refuses the write. */
  #hasRoom(recordBytes: number, punch: boolean): boolean {
    if (!punch) {
      const state = this.#hooks.indexState(recordBytes + this.#grantedBytes);
      if (state === "settle") return false;
      if (state !== "room") throw state;
    }
    const needed = recordBytes + this.#grantedBytes + ESTIMATE_SLACK_BYTES;
    const free = this.#log.freeSegments;
    const reserve = this.#hooks.reservedSegments() + (punch ? 0 : 1);
    // A waiting crowd may be granted more than the rest of this segment, but never more than one further one.
    if (this.#log.segmentRestBytes >= needed) return free >= reserve;
    return free >= reserve + 1 && needed <= this.#log.maxRecordBytes + ESTIMATE_SLACK_BYTES;
  }

  /** Lets in those for whom there is room now, in order; a waiting punch passes waiting writes. */
  wake(): void {
    if (this.#waiters.length === 0) return;
    const waiting = this.#waiters.splice(0);
    let blocked = false;
    for (const waiter of waiting) {
      if (this.#refusal !== undefined) waiter.reject(this.#refusal);
      else if (blocked && !waiter.punch) this.#waiters.push(waiter);
      else if (this.#try(waiter)) continue;
      else blocked = true;
    }
    if (this.#grantedBytes > 0) {
      // Those let in append within this turn.
      this.#timers.soon(() => {
        this.#grantedBytes = 0;
        this.wake();
      });
    } else if (this.#waiters.length > 0) {
      this.#hooks.settleNow();
    }
  }

  /** True when the waiter needs to wait no longer. */
  #try(waiter: Waiter): boolean {
    try {
      if (!this.#hasRoom(waiter.recordBytes, waiter.punch)) {
        const stuck = this.#hooks.stuck();
        if (stuck !== undefined) throw stuck;
        this.#waiters.push(waiter);
        return false;
      }
      this.#grantedBytes += waiter.recordBytes;
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

function tooLarge(recordBytes: number, maxBytes: number): DaosError {
  return new DaosError(
    "TOO_LARGE",
    `Cannot append "${recordBytes} bytes": a record holds ${maxBytes}. Split the operation.`,
  );
}
