/**
 * Question and answer of `foldedTo` among targets: u32 container numbers; for each of them the u64 epoch as of which the
 * target has folded all stripes that it leads, 0 when it does not know. Little-endian.
 */
import { DaosError } from "../base/errors.ts";
import type { Epoch } from "../base/epoch.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

export function encodeContainers(containers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * containers.length);
  containers.forEach((container, index) => bytes.writeUInt32LE(container, 4 * index));
  return bytes;
}

/** Throws PROTOCOL. */
export function decodeContainers(payload: Uint8Array): number[] {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  if (bytes.length % 4 !== 0) throw malformed();
  return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readUInt32LE(4 * index));
}

export function encodeFoldedTo(epochs: readonly Epoch[]): Buffer {
  const bytes = Buffer.alloc(8 * epochs.length);
  epochs.forEach((epoch, index) => writeUint64(bytes, epoch, 8 * index));
  return bytes;
}

/** Throws PROTOCOL: not `count` epochs. */
export function decodeFoldedTo(payload: Uint8Array, count: number): Epoch[] {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  if (bytes.length !== 8 * count) throw malformed();
  return Array.from({ length: count }, (_, index) => {
    const epoch = readUint64(bytes, 8 * index);
    if (!Number.isSafeInteger(epoch)) throw malformed();
    return epoch as Epoch;
  });
}

function malformed(): DaosError {
  return new DaosError("PROTOCOL", "Cannot read what is folded: its length or numbers cannot be.");
}
