/**
 * The label of a range of a device: one block that says which target's data follow, so that no other device is taken for it
 * and none that holds something is overwritten unasked. The same bytes are kept in the target's folder.
 *
 *     offset  size  field (little-endian)
 *          0     8  magic "DAOSVHU1"
 *          8     4  version, 1
 *         12     4  CRC-32 of the 4096 bytes with this field zero
 *         16    16  id of the range, random at format
 *         32     8  byte of the device at which the label lies
 *         40     8  bytes of data behind the label's area
 *         48     4  block size the device had, bytes
 *         52  4044  zeros
 */
import { assert } from "../../../src/base/assert.ts";
import { asBuffer } from "../../../src/base/bytes.ts";
import { crc32 } from "../../../src/base/checksum.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { MIB } from "../../../src/base/limits.ts";
import { type Uuid, UUID_BYTES, uuidFromBytes, writeUuid } from "../../../src/base/uuid.ts";

export const LABEL_BYTES = 4096;
/** From the label to the data: keeps them aligned to what devices erase and pages they are mapped by. */
export const LABEL_AREA_BYTES = 1 * MIB;
const MAGIC = "DAOSVHU1";
const VERSION = 1;
const USED_BYTES = 52;

export interface DeviceLabel {
  readonly id: Uuid;
  readonly startByte: number;
  readonly sizeBytes: number;
  readonly blockBytes: number;
}

export function encodeDeviceLabel(label: DeviceLabel): Uint8Array {
  assert(Number.isSafeInteger(label.startByte) && Number.isSafeInteger(label.sizeBytes), "sizes are exact");
  const buffer = Buffer.alloc(LABEL_BYTES);
  buffer.write(MAGIC, 0, "latin1");
  buffer.writeUInt32LE(VERSION, 8);
  writeUuid(buffer, 16, label.id);
  buffer.writeBigUInt64LE(BigInt(label.startByte), 32);
  buffer.writeBigUInt64LE(BigInt(label.sizeBytes), 40);
  buffer.writeUInt32LE(label.blockBytes, 48);
  buffer.writeUInt32LE(crc32(buffer), 12);
  return buffer;
}

/** The label in the block; undefined when it holds none. Throws VERSION for one of a newer release, CORRUPT for a damaged one. */
export function decodeDeviceLabel(bytes: Uint8Array, what: string): DeviceLabel | undefined {
  assert(bytes.length === LABEL_BYTES, "a label is one block");
  const buffer = Buffer.from(bytes);
  if (buffer.toString("latin1", 0, MAGIC.length) !== MAGIC) return undefined;
  const version = buffer.readUInt32LE(8);
  if (version !== VERSION) {
    const state = `its label has version ${version}, this release knows ${VERSION}`;
    throw new DaosError("VERSION", `Cannot open "${what}": ${state}. Use the release that wrote it.`);
  }
  const checksum = buffer.readUInt32LE(12);
  buffer.writeUInt32LE(0, 12);
  const startByte = Number(buffer.readBigUInt64LE(32));
  const sizeBytes = Number(buffer.readBigUInt64LE(40));
  const blockBytes = buffer.readUInt32LE(48);
  const exact = Number.isSafeInteger(startByte) && Number.isSafeInteger(sizeBytes) && sizeBytes > 0;
  const zeros = buffer.subarray(USED_BYTES).every((byte) => byte === 0);
  if (crc32(buffer) !== checksum || !exact || !zeros) {
    throw new DaosError("CORRUPT", `Cannot open "${what}": its label is damaged. Restore the device.`);
  }
  return { id: uuidFromBytes(asBuffer(buffer), 16), startByte, sizeBytes, blockBytes };
}

export function sameLabel(one: DeviceLabel, other: DeviceLabel): boolean {
  return (
    one.id === other.id &&
    one.startByte === other.startByte &&
    one.sizeBytes === other.sizeBytes &&
    one.blockBytes === other.blockBytes
  );
}

/** Random bytes that an id takes. */
export const LABEL_ID_BYTES = UUID_BYTES;
