/**
 * Content of crash-test slots: every version of a slot has bytes that follow from the slot's name and the version, so
 * that a torn or mixed value is recognised whatever it is torn with.
 */
import { crc32 } from "../../src/base/checksum.ts";

const HEADER_BYTES = 16;
const MAGIC = 0x544f4c53;

/** `sizeBytes` (at least 16) of content for this version of the slot. */
export function slotContent(slot: string, version: number, sizeBytes: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(sizeBytes);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(version, 4);
  bytes.writeUInt32LE(sizeBytes, 8);
  bytes.writeUInt32LE(crc32(Buffer.from(slot)), 12);
  fill(bytes, slot, version);
  return bytes;
}

function fill(bytes: Buffer, slot: string, version: number): void {
  let state = (crc32(Buffer.from(slot)) ^ Math.imul(version, 0x9e3779b1)) >>> 0 || 1;
  for (let at = HEADER_BYTES; at < bytes.length; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    if (at + 4 <= bytes.length) bytes.writeInt32LE(state | 0, at);
    else bytes.fill(state & 0xff, at);
  }
}

/** The version these bytes are of. Throws when they are not exactly one version of this slot. */
export function slotVersion(slot: string, bytes: Uint8Array): number {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < HEADER_BYTES || buffer.readUInt32LE(0) !== MAGIC || buffer.readUInt32LE(8) !== buffer.length) {
    throw new Error(`slot ${slot}: ${buffer.length} bytes that are no version of it`);
  }
  const version = buffer.readUInt32LE(4);
  if (!buffer.equals(slotContent(slot, version, buffer.length))) {
    throw new Error(`slot ${slot}: bytes of version ${version} are damaged`);
  }
  return version;
}
