/**
 * When a device counts as faulty: thresholds over its errors, failed checksums and slow operations. Pure counting; what
 * follows from a fault is the guard's (device-guard.ts). The words of the configuration are DAOS's (bdev_auto_faulty).
 */
import { z } from "zod";

/** Errors after which a device is faulty (DAOS: 10). */
const DEFAULT_MAX_IO_ERRORS = 10;
/** Off (as DAOS's): a device that was replaced holds nothing of what is asked of it, and is sound. */
const DEFAULT_MAX_CHECKSUM_ERRORS = 0xffff_ffff;
/** Places with failed checksums that are told apart: the same value read again and again is one. */
const MAX_DAMAGED_PLACES = 4096;
/** Operations in a row over this time make a device faulty, milliseconds. */
const DEFAULT_MAX_LATENCY_MS = 5_000;
/** An operation that takes longer never ends as far as anybody waits for it, milliseconds. */
const DEFAULT_TIMEOUT_MS = 30_000;
const MIN_TIMEOUT_MS = 100;
const MAX_TIMEOUT_MS = 600_000;
/** So many slow operations in a row are a slow device: one alone may be a moment of housekeeping. */
export const SLOW_OPERATIONS_IN_A_ROW = 16;

const count = z.int().min(1).max(0xffff_ffff);
export const faultSettingsSchema = z.strictObject({
  /** Mark devices faulty by themselves. A hang is a fault in any case. */
  enable: z.boolean().default(true),
  max_io_errs: count.default(DEFAULT_MAX_IO_ERRORS),
  max_csum_errs: count.default(DEFAULT_MAX_CHECKSUM_ERRORS),
  max_latency_ms: z.int().min(1).max(MAX_TIMEOUT_MS).default(DEFAULT_MAX_LATENCY_MS),
  timeout_ms: z.int().min(MIN_TIMEOUT_MS).max(MAX_TIMEOUT_MS).default(DEFAULT_TIMEOUT_MS),
});
export type FaultSettings = Readonly<z.output<typeof faultSettingsSchema>>;
export const DEFAULT_FAULT_SETTINGS: FaultSettings = faultSettingsSchema.parse({});

export class FaultCounters {
  readonly #settings: FaultSettings;
  readErrors = 0;
  writeErrors = 0;
  flushErrors = 0;
  slowOperations = 0;
  readonly #damagedPlaces = new Set<number>();
  #slowInARow = 0;

  constructor(settings: FaultSettings) {
    this.#settings = settings;
  }

  get ioErrors(): number {
    return this.readErrors + this.writeErrors + this.flushErrors;
  }

  /** Places whose bytes failed their checksum, counted up to MAX_DAMAGED_PLACES. */
  get checksumErrors(): number {
    return this.#damagedPlaces.size;
  }

  damagedAt(offset: number): void {
    if (this.#damagedPlaces.size < MAX_DAMAGED_PLACES) this.#damagedPlaces.add(offset);
  }

  /** An operation ended, well or not, after so many milliseconds. */
  took(durationMs: number): void {
    if (durationMs <= this.#settings.max_latency_ms) {
      this.#slowInARow = 0;
      return;
    }
    this.slowOperations += 1;
    this.#slowInARow += 1;
  }

  /** The last operation was slow. */
  get isSlow(): boolean {
    return this.#slowInARow > 0;
  }

  /** Counts anew: the device was put back into service. */
  reset(): void {
    this.readErrors = 0;
    this.writeErrors = 0;
    this.flushErrors = 0;
    this.#damagedPlaces.clear();
    this.#slowInARow = 0;
  }

  /** Why the device is faulty; undefined while it is not. */
  get fault(): string | undefined {
    const { enable, max_io_errs: mostErrors, max_csum_errs: mostChecksums, max_latency_ms: latency } = this.#settings;
    if (!enable) return undefined;
    if (this.ioErrors >= mostErrors) return `${this.ioErrors} operations failed`;
    if (this.checksumErrors >= mostChecksums) return `${this.checksumErrors} places failed their checksum`;
    if (this.#slowInARow < SLOW_OPERATIONS_IN_A_ROW) return undefined;
    return `${this.#slowInARow} operations in a row took over ${latency} ms`;
  }
}
