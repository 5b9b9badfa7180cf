/** Whether the settled index has room for what is logged: rules of thumb, kept in one place. */
import { DaosError } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import type { IndexSpace } from "./settled-index.ts";

/** Index space kept for punches and for what settling needs: this share, within the bounds below. */
const INDEX_RESERVE_SHARE = 0.02;
const MIN_INDEX_RESERVE_BYTES = 4 * MIB;
const MAX_INDEX_RESERVE_SHARE = 0.25;
/** A row takes about so many times its bytes in the index: keys, page fill. */
const INDEX_GROWTH = 1.5;
/** Share of the index in use from which on values go to the NVMe tier where they can. */
const INDEX_WATERMARK = 0.85;

function indexReserve(totalBytes: number): number {
  const reserve = Math.max(totalBytes * INDEX_RESERVE_SHARE, MIN_INDEX_RESERVE_BYTES);
  return Math.min(reserve, totalBytes * MAX_INDEX_RESERVE_SHARE);
}

/** True when the index is nearly full, `unsettledBytes` of the log counted in. */
export function isIndexCrowded({ totalBytes, usedBytes }: IndexSpace, unsettledBytes: number): boolean {
  const usableBytes = totalBytes - indexReserve(totalBytes);
  return usedBytes + unsettledBytes * INDEX_GROWTH > usableBytes * INDEX_WATERMARK;
}

/** Whether the index takes so many bytes, may when the log is settled (`isLogged`: something can be), or the refusal. */
export function indexRoom(space: IndexSpace, bytes: number, isLogged: boolean): "room" | "settle" | DaosError {
  const { totalBytes, usedBytes } = space;
  const roomBytes = totalBytes - indexReserve(totalBytes) - usedBytes;
  if (roomBytes > bytes * INDEX_GROWTH) return "room";
  if (roomBytes > 0 && isLogged) return "settle";
  return new DaosError(
    "NO_SPACE",
    `Cannot write: SCM is full (${formatSize(usedBytes)} of ${formatSize(totalBytes)}). Delete data or extend the pool.`,
  );
}
