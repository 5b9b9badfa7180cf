/**
 * Reply of a shard read: what one shard has of an erasure-coded akey. Little-endian; the bytes are the payload.
 *
 *      0  u64 epoch that was shown    8  u64 newest epoch of what the read rests on, holes and punches included
 *     16  u64 epoch up to which the shard has every update of the dkey that was ever acknowledged; 0 when it does not know
 *     24  u32 record bytes of the array, 0 without one     28  u32 extents
 *     32  of each extent: u64 address, u64 length, u64 epoch
 */
import { DaosError } from "../base/errors.ts";
import type { Epoch } from "../base/epoch.ts";
import type { ExtentRun } from "../base/extent-runs.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

const HEADER_BYTES = 32;
const EXTENT_BYTES = 24;
/** Extents that one reply names; neighbours are joined when there are more. */
export const MAX_SHARD_EXTENTS = 2048;

export interface ShardReadReply {
  readonly shownAt: Epoch;
  readonly newest: Epoch;
  readonly completeTo: Epoch;
  readonly recordBytes: number;
  /** Local addresses, ascending, apart. */
  readonly extents: readonly ExtentRun[];
}

export function encodeShardReadReply(reply: ShardReadReply): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + EXTENT_BYTES * reply.extents.length);
  writeUint64(bytes, reply.shownAt, 0);
  writeUint64(bytes, reply.newest, 8);
  writeUint64(bytes, reply.completeTo, 16);
  bytes.writeUInt32LE(reply.recordBytes, 24);
  bytes.writeUInt32LE(reply.extents.length, 28);
  reply.extents.forEach(({ address, length, epoch }, index) => {
    const at = HEADER_BYTES + EXTENT_BYTES * index;
    writeUint64(bytes, address, at);
    writeUint64(bytes, length, at + 8);
    writeUint64(bytes, epoch, at + 16);
  });
  return bytes;
}

/** Reads the record of `length` bytes at `start`. Throws PROTOCOL: lengths or numbers that cannot be. */
export function decodeShardReadReply(view: Buffer, start = 0, length = view.length): ShardReadReply {
  const count = length < HEADER_BYTES ? 0 : view.readUInt32LE(start + 28);
  if (length !== HEADER_BYTES + EXTENT_BYTES * count) throw malformed("its lengths do not add up");
  const extents: ExtentRun[] = [];
  let end = 0;
  for (let at = start + HEADER_BYTES; extents.length < count; at += EXTENT_BYTES) {
    const extent = { address: uint64(view, at), length: uint64(view, at + 8), epoch: uint64(view, at + 16) as Epoch };
    if (extent.address < end || extent.length === 0) throw malformed("its extents are not in order");
    end = extent.address + extent.length;
    extents.push(extent);
  }
  return {
    shownAt: uint64(view, start) as Epoch,
    newest: uint64(view, start + 8) as Epoch,
    completeTo: uint64(view, start + 16) as Epoch,
    recordBytes: view.readUInt32LE(start + 24),
    extents,
  };
}

function uint64(view: Buffer, at: number): number {
  const value = readUint64(view, at);
  if (!Number.isSafeInteger(value)) throw malformed("a number is over 2^53");
  return value;
}

function malformed(what: string): DaosError {
  return new DaosError("PROTOCOL", `Cannot read shard read reply: ${what}.`);
}
