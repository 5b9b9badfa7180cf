/**
 * Payload of an update whose bytes were staged (`valueStage`, `arrayStage`): what each shard has to have of it. Little-endian:
 *
 *      0  u32 bytes of the whole update        4  u32 number of shards: 1 for copies, which all have the same
 *      8  of each shard: u32 bytes, u32 CRC-32 of them; 0, 0 for one that gets none
 *
 * A leader hands on to each member a record of that one shard.
 */
import { DaosError } from "../base/errors.ts";

const HEADER_BYTES = 8;
const SHARD_BYTES = 8;
/** More than any class has. */
const MAX_SHARDS = 64;

export interface StagedShard {
  readonly lengthBytes: number;
  readonly checksum: number;
}

export interface StagedPayload {
  /** Of the whole update. */
  readonly lengthBytes: number;
  readonly shards: readonly StagedShard[];
}

export function encodeStagedPayload({ lengthBytes, shards }: StagedPayload): Uint8Array {
  const record = Buffer.alloc(HEADER_BYTES + SHARD_BYTES * shards.length);
  record.writeUInt32LE(lengthBytes, 0);
  record.writeUInt32LE(shards.length, 4);
  shards.forEach((shard, index) => {
    record.writeUInt32LE(shard.lengthBytes, HEADER_BYTES + SHARD_BYTES * index);
    record.writeUInt32LE(shard.checksum, HEADER_BYTES + SHARD_BYTES * index + 4);
  });
  return record;
}

/** Throws INVALID_ARGUMENT. */
export function decodeStagedPayload(record: Buffer): StagedPayload {
  const count = record.length < HEADER_BYTES ? 0 : record.readUInt32LE(4);
  if (count === 0 || count > MAX_SHARDS || record.length !== HEADER_BYTES + SHARD_BYTES * count) {
    throw new DaosError("INVALID_ARGUMENT", "Cannot read what was staged: its lengths do not add up.");
  }
  const shards = Array.from({ length: count }, (_, index) => {
    const at = HEADER_BYTES + SHARD_BYTES * index;
    return { lengthBytes: record.readUInt32LE(at), checksum: record.readUInt32LE(at + 4) };
  });
  return { lengthBytes: record.readUInt32LE(0), shards };
}
