/**
 * The cell of an erasure-coded stripe: how many bytes of an array lie on one shard before the next shard's begin. DAOS:
 * container property `ec_cell_sz`, default of the code 128 KiB.
 */
import { DaosError } from "./errors.ts";
import {
  BLOCK_BYTES,
  DEFAULT_ERASURE_CELL_BYTES,
  MAX_ARRAY_IO_BYTES,
  MAX_ERASURE_CELL_BYTES,
  MIN_ERASURE_CELL_BYTES,
} from "./limits.ts";
import type { ObjectClass } from "./object-class.ts";
import { formatSize } from "./size.ts";

/** What may stand there, for people. */
export const ERASURE_CELL_VALUES = `a multiple of 4 KiB, ${formatSize(MIN_ERASURE_CELL_BYTES)} to ${formatSize(MAX_ERASURE_CELL_BYTES)}`;

/** Throws INVALID_ARGUMENT when cells cannot have this size. */
export function checkErasureCellBytes(cellBytes: number): number {
  const fits = cellBytes >= MIN_ERASURE_CELL_BYTES && cellBytes <= MAX_ERASURE_CELL_BYTES;
  if (fits && cellBytes % BLOCK_BYTES === 0) return cellBytes;
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot use erasure cells of "${cellBytes}" bytes: not ${ERASURE_CELL_VALUES}. ` +
      `Use ${formatSize(DEFAULT_ERASURE_CELL_BYTES)}, say.`,
  );
}

/** Bytes of a whole stripe of the class; 0 without erasure code. */
export function stripeBytesOf({ redundancy }: ObjectClass, cellBytes: number): number {
  return redundancy.kind === "erasure" ? redundancy.dataShards * cellBytes : 0;
}

/** As stripeBytesOf. Throws INVALID_ARGUMENT when no request can hold one: nothing would ever be written with parity at once. */
export function checkStripe(objectClass: ObjectClass, cellBytes: number): number {
  const stripeBytes = stripeBytesOf(objectClass, cellBytes);
  if (stripeBytes <= MAX_ARRAY_IO_BYTES) return stripeBytes;
  const { name, redundancy } = objectClass;
  const cells = `${redundancy.dataShards} cells of ${formatSize(cellBytes)}`;
  const state = `its stripe of ${cells} is larger than a request, ${formatSize(MAX_ARRAY_IO_BYTES)}`;
  const advice = `an ec_cell_sz of at most ${formatSize(MAX_ARRAY_IO_BYTES / redundancy.dataShards)}`;
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot use object class "${name}": ${state}. Use ${advice}, or a class of fewer data shards.`,
  );
}

/** The least whole number of stripes from `sizeBytes` on; `sizeBytes` without stripes. */
export function wholeStripes(sizeBytes: number, stripeBytes: number): number {
  return stripeBytes === 0 ? sizeBytes : Math.ceil(sizeBytes / stripeBytes) * stripeBytes;
}
