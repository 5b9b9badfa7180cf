/**
 * The label of a device: whose it is. One target's part of a device begins and ends with LABEL_AREA_BYTES for it; the
 * same block stands at byte 0 and LABEL_BYTES before the end, so that one damaged copy costs nothing. Little-endian.
 *
 *      0  8 bytes magic "DAOSNVME"     8  u16 version           10  u16 zero
 *     12  u32 CRC-32 of the 4096 bytes with this field zero
 *     16  16 bytes system id          32  16 bytes engine id    48  16 bytes device id
 *     64  u64 generation              72  u64 bytes of the part, labels included
 *     80  u64 first byte of the data  88  u64 bytes of data
 *     96  u64 time of the format, milliseconds since 1970
 *    104  u32 block size, bytes      108  u32 rank             112  u32 target of this part
 *    116  u16 count of targets       118  u16 length of the system's name
 *    120  64 x u32 targets of the device; unused ones zero
 *    376  127 bytes name of the system, UTF-8; then zeros to 4096
 *
 * Magic, version and the place and reach of the checksum are the same in every version.
 */
import { assert } from "../base/assert.ts";
import { crc32 } from "../base/checksum.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_ENGINE_TARGETS, MAX_LABEL_BYTES, MIB } from "../base/limits.ts";
import { type Uuid, uuidFromBytes, writeUuid } from "../base/uuid.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

export const DEVICE_LABEL_VERSION = 1;
/** A label, bytes: one block of every device. */
export const LABEL_BYTES = 4096;
/** Kept at each end of a part for its label: data stay aligned to what devices erase. */
export const LABEL_AREA_BYTES = 1 * MIB;

const MAGIC = "DAOSNVME";
const CHECKSUM_OFFSET = 12;
const TARGETS_OFFSET = 120;
const NAME_OFFSET = TARGETS_OFFSET + 4 * MAX_ENGINE_TARGETS;
const END_OFFSET = NAME_OFFSET + MAX_LABEL_BYTES;

export interface DeviceLabel {
  /** Of the system's storage. */
  readonly system: Uuid;
  readonly systemName: string;
  readonly engine: Uuid;
  readonly rank: number;
  /** The same in all parts of one device. */
  readonly device: Uuid;
  /** All that the device serves, ascending. */
  readonly targets: readonly number[];
  /** The one that this part belongs to. */
  readonly target: number;
  /** The copy of the higher generation counts. */
  readonly generation: number;
  /** Of the part, labels included. */
  readonly sizeBytes: number;
  readonly dataOffset: number;
  readonly dataBytes: number;
  readonly blockBytes: number;
  readonly createdAtMs: number;
}

/** What a block holds: a label, nothing of ours, or a label that is damaged. */
export type DecodedLabel =
  { readonly kind: "label"; readonly label: DeviceLabel } | { readonly kind: "none" | "damaged" };

/** Data bytes of a part of so many bytes. */
export function labelledDataBytes(sizeBytes: number): number {
  return sizeBytes - 2 * LABEL_AREA_BYTES;
}

/** Writes the label's block into `into`, LABEL_BYTES long. */
export function encodeDeviceLabel(into: Uint8Array, label: DeviceLabel): void {
  assert(into.length === LABEL_BYTES, "a label is one block");
  assert(label.targets.length > 0 && label.targets.length <= MAX_ENGINE_TARGETS, "a device serves some targets");
  const buffer = Buffer.from(into.buffer, into.byteOffset, into.length).fill(0);
  buffer.latin1Write(MAGIC, 0);
  buffer.writeUInt16LE(DEVICE_LABEL_VERSION, 8);
  writeUuid(buffer, 16, label.system);
  writeUuid(buffer, 32, label.engine);
  writeUuid(buffer, 48, label.device);
  writeUint64(buffer, label.generation, 64);
  writeUint64(buffer, label.sizeBytes, 72);
  writeUint64(buffer, label.dataOffset, 80);
  writeUint64(buffer, label.dataBytes, 88);
  writeUint64(buffer, Math.floor(label.createdAtMs), 96);
  buffer.writeUInt32LE(label.blockBytes, 104);
  buffer.writeUInt32LE(label.rank, 108);
  buffer.writeUInt32LE(label.target, 112);
  buffer.writeUInt16LE(label.targets.length, 116);
  for (const [index, target] of label.targets.entries()) buffer.writeUInt32LE(target, TARGETS_OFFSET + 4 * index);
  const nameBytes = Buffer.from(label.systemName, "utf8");
  assert(nameBytes.length <= MAX_LABEL_BYTES, "a system's name is short");
  buffer.writeUInt16LE(nameBytes.length, 118);
  buffer.set(nameBytes, NAME_OFFSET);
  buffer.writeUInt32LE(crc32(buffer), CHECKSUM_OFFSET);
}

/** What the block holds. Throws VERSION for a label of another version: it may only be read by the program that wrote it. */
export function decodeDeviceLabel(block: Uint8Array, what: string): DecodedLabel {
  assert(block.length === LABEL_BYTES, "a label is one block");
  const buffer = Buffer.from(block);
  if (buffer.latin1Slice(0, MAGIC.length) !== MAGIC) return { kind: "none" };
  const checksum = buffer.readUInt32LE(CHECKSUM_OFFSET);
  buffer.writeUInt32LE(0, CHECKSUM_OFFSET);
  if (crc32(buffer) !== checksum) return { kind: "damaged" };
  const version = buffer.readUInt16LE(8);
  if (version !== DEVICE_LABEL_VERSION) {
    throw new DaosError(
      "VERSION",
      `Cannot open device "${what}": its label has version ${version}, this program knows ${DEVICE_LABEL_VERSION}. ` +
        "Use the program that wrote it.",
    );
  }
  const label = decodeFields(buffer);
  return label === undefined ? { kind: "damaged" } : { kind: "label", label };
}

/** Undefined when the fields break the rules, which a right checksum does not exclude. */
function decodeFields(buffer: Buffer): DeviceLabel | undefined {
  const targetCount = buffer.readUInt16LE(116);
  const nameBytes = buffer.readUInt16LE(118);
  if (targetCount === 0 || targetCount > MAX_ENGINE_TARGETS || nameBytes > MAX_LABEL_BYTES) return undefined;
  const targets = Array.from({ length: targetCount }, (_value, index) =>
    buffer.readUInt32LE(TARGETS_OFFSET + 4 * index),
  );
  const label: DeviceLabel = {
    system: uuidFromBytes(buffer, 16),
    systemName: buffer.toString("utf8", NAME_OFFSET, NAME_OFFSET + nameBytes),
    engine: uuidFromBytes(buffer, 32),
    rank: buffer.readUInt32LE(108),
    device: uuidFromBytes(buffer, 48),
    targets,
    target: buffer.readUInt32LE(112),
    generation: readUint64(buffer, 64),
    sizeBytes: readUint64(buffer, 72),
    dataOffset: readUint64(buffer, 80),
    dataBytes: readUint64(buffer, 88),
    blockBytes: buffer.readUInt32LE(104),
    createdAtMs: readUint64(buffer, 96),
  };
  const { sizeBytes, dataOffset, dataBytes, generation, createdAtMs } = label;
  const exact = [sizeBytes, dataOffset, dataBytes, generation, createdAtMs].every(Number.isSafeInteger);
  const inside = dataOffset >= LABEL_BYTES && dataOffset + dataBytes + LABEL_BYTES <= sizeBytes;
  const zeros =
    buffer.readUInt16LE(10) === 0 &&
    isZero(buffer.subarray(TARGETS_OFFSET + 4 * targetCount, NAME_OFFSET)) &&
    isZero(buffer.subarray(NAME_OFFSET + nameBytes, END_OFFSET)) &&
    isZero(buffer.subarray(END_OFFSET));
  return exact && inside && zeros && targets.includes(label.target) ? label : undefined;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
