/**
 * The cell of an erasure-coded stripe: how many bytes of an array lie on one shard before the next shard's begin. DAOS:
 * container property `ec_cell_sz`, default of the code 128 KiB.
 */
import { DaosError } from "./errors.ts";
import { BLOCK_BYTES, DEFAULT_ERASURE_CELL_BYTES, MAX_ERASURE_CELL_BYTES, MIN_ERASURE_CELL_BYTES } from "./limits.ts";
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
