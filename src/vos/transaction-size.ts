/** What the record that resolves a transaction's part takes of the log: at most, before it is prepared; and about, then. */
import type { DkeyPlace } from "../base/key-place.ts";
import { KIB, MAX_AKEY_BYTES, MIN_DATA_THRESHOLD_BYTES } from "../base/limits.ts";
import { isRedundant } from "../base/object-id.ts";
import type { PartWrite, TransactionStep } from "../format/transaction-part.ts";
import type { CellWrite, ReclaimRange } from "../store/cell.ts";
import { cutIntoWindows } from "./array-window.ts";
import { RECORD_OVERHEAD_BYTES } from "./single-value.ts";
import type { SharedWrite, TransactionShard } from "./transaction-shard.ts";

/** Pieces of one array write, smaller than the windows beside them, that may be inline. */
const MAX_EDGE_PIECES = 32;
/** Windows that a write or punch touches besides the whole ones in its middle. */
const EDGE_WINDOWS = 6;
/** Akeys that a punch of their dkey punches one by one. */
const PUNCHED_AKEYS = 16;

/** Of one record, from several operations. */
export interface Gathered {
  readonly writes: CellWrite[];
  readonly reclaims: ReclaimRange[];
}

const NOTHING: Gathered = { writes: [], reclaims: [] };
/** What the end of an object's punch writes where the object has a cell. */
const OBJECT_PUNCH: readonly PartWrite[] = [{ kind: "punchDkey" }];

/**
 * Whole bytes of the record that ends a part, whether SCM is crowded by then or not, without a decision. Throws
 * TOO_LARGE.
 */
export function endBytes(
  { part, writes }: TransactionStep & { readonly kind: "prepare" },
  { oid, dkey, shard }: DkeyPlace & { readonly shard?: TransactionShard | undefined },
  thresholdBytes: number,
): number {
  // Its dkeys were punched by records of their own.
  if (part.punchesUnder !== undefined && isRedundant(oid)) return gatheredBytes(NOTHING) + 4 * dkey.length;
  const done = part.punchesUnder === undefined ? writes : OBJECT_PUNCH;
  const usual = resolvedBytes(done, dkey.length, thresholdBytes, shard);
  return Math.ceil(Math.max(usual, resolvedBytes(done, dkey.length, MIN_DATA_THRESHOLD_BYTES, shard)));
}

/** `inlineBytes`: values up to this size are in the record. `shard`: of erasure code. Throws TOO_LARGE. */
function resolvedBytes(
  writes: readonly PartWrite[],
  dkeyBytes: number,
  inlineBytes: number,
  shard: TransactionShard | undefined,
): number {
  let bytes = 8 * RECORD_OVERHEAD_BYTES + 4 * dkeyBytes;
  for (const write of writes) {
    const isPunch = write.kind === "punchAkey" || write.kind === "punchDkey";
    bytes +=
      shard === undefined || isPunch
        ? writeBytes(write, dkeyBytes, inlineBytes)
        : shareBytes(write, dkeyBytes, inlineBytes, shard);
  }
  return bytes;
}

/** Of a shard's share: what is written, and the windows of that range that may become holes. */
function shareBytes(write: SharedWrite, dkeyBytes: number, inlineBytes: number, shard: TransactionShard): number {
  const cellBytes = RECORD_OVERHEAD_BYTES + 2 * (dkeyBytes + write.akey.length);
  let bytes = 3 * cellBytes;
  for (const { kind, address, length } of shard.shapeOf(write)) {
    if (kind === "punch") continue;
    const pieces = kind === "write" ? cutIntoWindows(address, address + length) : [{ start: 0, end: length }];
    for (const { start, end } of pieces) {
      const size = end - start;
      bytes += size <= inlineBytes ? cellBytes + size : 5 * cellBytes + size / KIB;
    }
  }
  if (write.kind === "update") return bytes;
  const spanBytes = write.recordCount * write.recordBytes;
  return bytes + (EDGE_WINDOWS + spanBytes / (4 * KIB)) * cellBytes;
}

function writeBytes(write: PartWrite, dkeyBytes: number, inlineBytes: number): number {
  const akeyBytes = write.kind === "punchDkey" ? MAX_AKEY_BYTES / 4 : write.akey.length;
  // A key takes up to twice its length.
  const cellBytes = RECORD_OVERHEAD_BYTES + 2 * (dkeyBytes + akeyBytes);
  switch (write.kind) {
    case "update":
      return 3 * cellBytes + (write.value.length <= inlineBytes ? write.value.length : write.value.length / KIB);
    case "punchAkey":
      return 3 * cellBytes;
    case "punchDkey":
      return 3 * PUNCHED_AKEYS * cellBytes;
    case "write":
    case "punchRecords": {
      const spanBytes = write.recordCount * write.recordBytes;
      const smallWindows = Math.min(spanBytes / (4 * KIB), write.kind === "write" ? MAX_EDGE_PIECES : spanBytes);
      const inline = Math.min(write.value.length, MAX_EDGE_PIECES * inlineBytes);
      const windows = EDGE_WINDOWS + smallWindows + spanBytes / (64 * KIB);
      return (2 + 2 * windows) * cellBytes + inline + spanBytes / KIB;
    }
    default:
      return write satisfies never;
  }
}

export function gatheredBytes({ writes, reclaims }: Gathered): number {
  let bytes = 4 * RECORD_OVERHEAD_BYTES;
  for (const { key, meta, inline, extent } of writes) {
    bytes += RECORD_OVERHEAD_BYTES + key.length + meta.length + (inline?.length ?? 0);
    bytes += 4 * (extent?.checksums.length ?? 0);
  }
  for (const { from, to } of reclaims) bytes += RECORD_OVERHEAD_BYTES + from.length + to.length;
  return bytes;
}
