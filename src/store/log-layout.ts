/**
 * Where things lie in an SCM region: two superblock copies, then equal segments that are used as a ring.
 *
 *     0            superblock
 *     unit         superblock, second copy         unit = max(granularity, 4 KiB)
 *     2 x unit     segment slots; the segment of ordinal n lies in slot n modulo their count
 */
import { DaosError } from "../base/errors.ts";
import { KIB, MIB } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";

/** Fewer would leave nothing for the reserve that punches need. */
export const MIN_SEGMENTS = 4;
const TARGET_SEGMENTS = 16;
const MIN_SEGMENT_BYTES = 32 * KIB;
/** Settling takes whole segments: the smaller, the smaller its transactions. */
const MAX_SEGMENT_BYTES = 1 * MIB;
const MIN_UNIT_BYTES = 4 * KIB;

export interface LogLayout {
  readonly granularityBytes: number;
  readonly unitBytes: number;
  readonly segmentBytes: number;
  readonly segmentCount: number;
}

/** Offset of superblock copy 0 or 1. */
export function superblockOffset(layout: { readonly unitBytes: number }, copy: number): number {
  return copy * layout.unitBytes;
}

/** Offset of the slot of the segment with this ordinal. */
export function slotOffset(layout: LogLayout, ordinal: number): number {
  return 2 * layout.unitBytes + (ordinal % layout.segmentCount) * layout.segmentBytes;
}

export function unitBytesOf(granularityBytes: number): number {
  return Math.max(granularityBytes, MIN_UNIT_BYTES);
}

export function alignUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** The layout of a new region. Throws INVALID_ARGUMENT when the region is too small for a log. */
export function planLayout(regionBytes: number, granularityBytes: number, segmentBytes?: number): LogLayout {
  const unitBytes = unitBytesOf(granularityBytes);
  const room = regionBytes - 2 * unitBytes;
  const wanted = segmentBytes ?? Math.min(Math.max(room / TARGET_SEGMENTS, MIN_SEGMENT_BYTES), MAX_SEGMENT_BYTES);
  const aligned = Math.max(unitBytes, Math.floor(wanted / unitBytes) * unitBytes);
  const segmentCount = Math.floor(room / aligned);
  if (segmentCount < MIN_SEGMENTS) {
    const needed = formatSize(2 * unitBytes + MIN_SEGMENTS * aligned);
    throw new DaosError(
      "INVALID_ARGUMENT",
      `Cannot make a log in "${formatSize(regionBytes)} of SCM": it needs ${needed}. Give the target more SCM.`,
    );
  }
  return { granularityBytes, unitBytes, segmentBytes: aligned, segmentCount };
}
