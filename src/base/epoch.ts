/**
 * Epochs: versions of data in time, from a hybrid logical clock (Kulkarni et al., 2014; DAOS src/gurt/hlc.c).
 *
 * An epoch is microseconds since 2021-01-01T00:00Z, pushed ahead by one whenever two events share a microsecond or a
 * message from a faster clock arrives. It is stored and sent as an unsigned 64 bit integer and held in memory as a
 * JavaScript number, exact until the year 2306: a bigint would cost an allocation on every operation.
 */
import { DaosError } from "./errors.ts";

declare const epochBrand: unique symbol;
export type Epoch = number & { readonly [epochBrand]: true };

/** No epoch; on the wire, "the latest". */
export const EPOCH_NONE = 0 as Epoch;
/** Later than every epoch that is ever given out. */
export const EPOCH_MAX = Number.MAX_SAFE_INTEGER as Epoch;
/** Unix time of epoch zero, milliseconds. */
export const EPOCH_ORIGIN_MS = Date.UTC(2021, 0, 1);
/** A message whose clock is further ahead than this is refused (DAOS: 1 s). */
export const EPOCH_MAX_SKEW_US = 1_000_000;

/** Checks a number from disk, network or a user. Throws INVALID_ARGUMENT. */
export function epochFrom(value: number): Epoch {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new DaosError("INVALID_ARGUMENT", `Cannot use epoch "${value}": not an integer from 0 to ${EPOCH_MAX}.`);
  }
  return value as Epoch;
}

/** The wall-clock time of an epoch. */
export function epochToDate(epoch: Epoch): Date {
  return new Date(EPOCH_ORIGIN_MS + epoch / 1000);
}

/** Hybrid logical clock. `wallMs` reads the wall clock in milliseconds, fractions welcome. Not shared between threads. */
export class HybridLogicalClock {
  #last = 0;
  /** Epochs up to here are not ahead of us, as far as the wall clock was read last. */
  #plausible = 0;
  readonly #wallMs: () => number;

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  /** A new epoch, later than every one given or observed so far. */
  next(): Epoch {
    const physical = Math.floor((this.#wallMs() - EPOCH_ORIGIN_MS) * 1000);
    this.#last = physical > this.#last ? physical : this.#last + 1;
    return this.#last as Epoch;
  }

  /** The latest epoch given or observed; moves with the wall clock but reserves nothing. */
  peek(): Epoch {
    const physical = Math.floor((this.#wallMs() - EPOCH_ORIGIN_MS) * 1000);
    return Math.max(physical, this.#last) as Epoch;
  }

  /** The latest epoch given or observed, as messages carry it. Does not read the wall clock. */
  get latest(): Epoch {
    return this.#last as Epoch;
  }

  /** Moves past an epoch read back from our own storage: no skew limit, for what is durable has happened. */
  restore(epoch: Epoch): void {
    if (epoch > this.#last) this.#last = epoch;
  }

  /** Moves past an epoch received from a peer. False, and unchanged, when it is over EPOCH_MAX_SKEW_US ahead of us. */
  observe(epoch: Epoch): boolean {
    if (epoch <= this.#last) return true;
    if (epoch > this.#plausible) {
      this.#plausible = Math.floor((this.#wallMs() - EPOCH_ORIGIN_MS) * 1000) + EPOCH_MAX_SKEW_US;
      if (epoch > this.#plausible) return false;
    }
    this.#last = epoch;
    return true;
  }
}
