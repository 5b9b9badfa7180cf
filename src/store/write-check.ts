/** What one record may hold: the limits that an append is checked against before it changes anything. */
import { DaosError } from "../base/errors.ts";
import { MAX_CELL_KEY_BYTES } from "../base/limits.ts";
import { MAX_RECORD_ENTRIES } from "../format/log-record.ts";
import { type CellWrite, MAX_VERSION_META_BYTES, type ReclaimRange } from "./cell.ts";

/** Throws TOO_LARGE (too many entries), INVALID_ARGUMENT (a key or meta that cannot be). */
export function checkWrites(writes: readonly CellWrite[], reclaims: readonly ReclaimRange[]): void {
  if (writes.length > MAX_RECORD_ENTRIES || reclaims.length > MAX_RECORD_ENTRIES) {
    throw new DaosError(
      "TOO_LARGE",
      `Cannot append "${writes.length} writes": a record has ${MAX_RECORD_ENTRIES}. Split it.`,
    );
  }
  for (let index = 0; index < writes.length; index += 1) {
    const { key, meta } = writes[index]!;
    if (key.length < 4 || key.length > MAX_CELL_KEY_BYTES || meta.length > MAX_VERSION_META_BYTES) {
      throw new DaosError(
        "INVALID_ARGUMENT",
        `Cannot append a key of ${key.length} and meta of ${meta.length} bytes: ` +
          `4 to ${MAX_CELL_KEY_BYTES} and ${MAX_VERSION_META_BYTES} are allowed.`,
      );
    }
  }
}
