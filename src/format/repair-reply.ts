/**
 * Reply of `dtxRepair`: what a member found damaged of a dkey. Little-endian.
 *
 *      0  u32 places that were damaged     4  u32 of them repaired     8  u32 of them lost: nobody has what they were
 */
import { DaosError } from "../base/errors.ts";

const REPLY_BYTES = 12;

/** Places are rows and blocks of 4 KiB. What is neither repaired nor lost is tried another time. */
export interface RepairCounts {
  readonly damaged: number;
  readonly repaired: number;
  readonly lost: number;
}

export function encodeRepairReply({ damaged, repaired, lost }: RepairCounts): Buffer {
  const bytes = Buffer.alloc(REPLY_BYTES);
  bytes.writeUInt32LE(damaged, 0);
  bytes.writeUInt32LE(repaired, 4);
  bytes.writeUInt32LE(lost, 8);
  return bytes;
}

/** Throws PROTOCOL. */
export function decodeRepairReply(bytes: Buffer): RepairCounts {
  if (bytes.length !== REPLY_BYTES) {
    throw new DaosError(
      "PROTOCOL",
      `Cannot read the reply of a repair: it has ${bytes.length} bytes, not ${REPLY_BYTES}.`,
    );
  }
  return { damaged: bytes.readUInt32LE(0), repaired: bytes.readUInt32LE(4), lost: bytes.readUInt32LE(8) };
}
