/**
 * Ranges of array records as callers name them, and epochs to read at, checked before they are encoded: what is no whole
 * number would not survive the encoding, or would name other records than those meant.
 */
import { DaosError } from "../base/errors.ts";
import { MAX_ARRAY_BYTES, MAX_RECORD_BYTES } from "../base/limits.ts";

/** Records of one array akey. */
export interface RecordRange {
  readonly recordIndex: number;
  readonly recordCount: number;
  readonly recordBytes: number;
}

/** Whether it is a number from 0 that the wire can carry. */
export function isCount(value: number): boolean {
  return value >= 0 && Number.isSafeInteger(value);
}

/** Undefined for a range that can be; else the error to answer with: INVALID_ARGUMENT, or TOO_LARGE beyond MAX_ARRAY_BYTES. */
export function rangeRefusal(range: RecordRange): DaosError | undefined {
  const { recordIndex, recordCount, recordBytes } = range;
  if (!isCount(recordIndex)) return noRange("recordIndex", recordIndex, "a whole number from 0");
  if (!isCount(recordCount)) return noRange("recordCount", recordCount, "a whole number from 0");
  if (!isCount(recordBytes) || recordBytes < 1 || recordBytes > MAX_RECORD_BYTES) {
    return noRange("recordBytes", recordBytes, `a whole number from 1 to ${MAX_RECORD_BYTES}`);
  }
  if ((recordIndex + recordCount) * recordBytes <= MAX_ARRAY_BYTES) return undefined;
  const state = `the range ends beyond byte ${MAX_ARRAY_BYTES}`;
  return new DaosError("TOO_LARGE", `Cannot use records from ${recordIndex}: ${state}. Use several arrays.`);
}

/** The error for an epoch that is none. */
export function notAnEpoch(epoch: unknown): DaosError {
  const advice = "Give one that a write returned, or a snapshot's";
  return new DaosError("INVALID_ARGUMENT", `Cannot read at epoch "${String(epoch)}": it is no epoch. ${advice}.`);
}

function noRange(field: string, value: unknown, wanted: string): DaosError {
  const state = `${field} is "${String(value)}"`;
  return new DaosError("INVALID_ARGUMENT", `Cannot use the range of records: ${state}. Give ${wanted}.`);
}
