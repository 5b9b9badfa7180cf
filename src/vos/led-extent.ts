/** Extents whose bytes begin behind the start of a block: windows in them begin at block boundaries all the same. */
import { crc32 } from "../base/checksum.ts";
import { joinChecksums } from "../base/checksum-join.ts";
import type { ExtentRef } from "../store/cell.ts";
import type { TargetObjects } from "./target-objects.ts";

/**
 * Stores `bytes` behind `lead` others, less than a block. They are the store's until it settles. `checksum`: CRC-32 of the
 * bytes, from where they were verified last, undefined where they are made. Rejects as CellStore.writeExtent.
 */
export async function writeLed(
  { store, allocate, release }: TargetObjects,
  lead: number,
  bytes: Uint8Array,
  checksum: number | undefined,
): Promise<ExtentRef> {
  if (lead === 0) return store.writeExtent(bytes, checksum);
  const staged = allocate(lead + bytes.length);
  try {
    staged.fill(0, 0, lead);
    staged.set(bytes, lead);
    const before = crc32(staged.subarray(0, lead));
    const whole = checksum === undefined ? undefined : joinChecksums(before, checksum, bytes.length);
    return await store.writeExtent(staged, whole);
  } finally {
    release(staged);
  }
}
