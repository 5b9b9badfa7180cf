/**
 * The frame: header of every message, both directions. Little-endian.
 *
 *     0  u32 magic "DAOF"        4  u8 version      5  u8 flags       6  u16 opcode
 *     8  u32 request id         12  u32 arguments length             16  u32 payload length
 *    20  u32 pool map version   24  u64 sender's epoch (HLC)         32  u32 CRC-32 of arguments and payload
 *    36  u32 CRC-32 of bytes 0..35
 *    40  arguments, then payload
 */
import { asBuffer } from "../base/bytes.ts";
import { crc32Range } from "../base/checksum.ts";
import { DaosError } from "../base/errors.ts";
import type { VersionRange } from "../base/version-range.ts";
import { MAX_FRAME_ARGUMENTS_BYTES, MAX_FRAME_BODY_BYTES } from "../base/limits.ts";

export const FRAME_HEADER_BYTES = 40;
export const FRAME_MAGIC = 0x464f4144;
export const PROTOCOL_VERSION = 1;
/** Those that this program can be asked to speak; frames of all of them have the header of version 1. */
export const PROTOCOL_VERSIONS: VersionRange = { oldest: PROTOCOL_VERSION, newest: PROTOCOL_VERSION };

export const FrameFlag = {
  response: 1,
  /** A response whose arguments are the CBOR of { code, message }. */
  error: 2,
} as const;
const KNOWN_FLAGS = FrameFlag.response | FrameFlag.error;

/** Mutable, so that a connection decodes every header into the same object. */
export interface FrameHeader {
  flags: number;
  opcode: number;
  requestId: number;
  argumentsLength: number;
  payloadLength: number;
  mapVersion: number;
  epoch: number;
  bodyChecksum: number;
}

export function emptyFrameHeader(): FrameHeader {
  return {
    flags: 0,
    opcode: 0,
    requestId: 0,
    argumentsLength: 0,
    payloadLength: 0,
    mapVersion: 0,
    epoch: 0,
    bodyChecksum: 0,
  };
}

/** Writes the header at `offset` of `into`. */
export function encodeFrameHeader(into: Buffer, offset: number, header: Readonly<FrameHeader>): void {
  into.writeUInt32LE(FRAME_MAGIC, offset);
  into.writeUInt32LE((PROTOCOL_VERSION | (header.flags << 8) | (header.opcode << 16)) >>> 0, offset + 4);
  into.writeUInt32LE(header.requestId, offset + 8);
  into.writeUInt32LE(header.argumentsLength, offset + 12);
  into.writeUInt32LE(header.payloadLength, offset + 16);
  into.writeUInt32LE(header.mapVersion, offset + 20);
  into.writeUInt32LE(header.epoch >>> 0, offset + 24);
  into.writeUInt32LE(Math.floor(header.epoch / 0x1_0000_0000), offset + 28);
  into.writeUInt32LE(header.bodyChecksum, offset + 32);
  into.writeUInt32LE(crc32Range(into, offset, offset + 36), offset + 36);
}

/**
 * Reads the header at `offset` of `bytes` into `header`. Throws DAMAGED (checksum), PROTOCOL (magic, flags), VERSION, TOO_LARGE.
 * After DAMAGED, PROTOCOL or VERSION the stream cannot be trusted any further; after TOO_LARGE `header` is filled and the
 * body can be skipped. The version is looked at before the checksum, whose place another version may have moved. The body is not
 * looked at.
 */
export function decodeFrameHeader(bytes: Uint8Array, offset: number, header: FrameHeader): void {
  const view = asBuffer(bytes);
  const isOurs = view.readUInt32LE(offset) === FRAME_MAGIC;
  const word = view.readUInt32LE(offset + 4);
  if (!isOurs || (word & 0xff) !== PROTOCOL_VERSION) {
    if (isDamagedStart(view, offset)) throw damagedHeader();
    if (!isOurs) throw new DaosError("PROTOCOL", "Cannot read frame: bad magic.");
    throw new DaosError(
      "VERSION",
      `Cannot read frame: protocol version ${word & 0xff}, this side speaks ${PROTOCOL_VERSION}.`,
    );
  }
  if (view.readUInt32LE(offset + 36) !== crc32Range(view, offset, offset + 36)) {
    throw damagedHeader();
  }
  header.flags = (word >>> 8) & 0xff;
  header.opcode = word >>> 16;
  header.requestId = view.readUInt32LE(offset + 8);
  header.argumentsLength = view.readUInt32LE(offset + 12);
  header.payloadLength = view.readUInt32LE(offset + 16);
  header.mapVersion = view.readUInt32LE(offset + 20);
  header.epoch = view.readUInt32LE(offset + 24) + view.readUInt32LE(offset + 28) * 0x1_0000_0000;
  header.bodyChecksum = view.readUInt32LE(offset + 32);
  if ((header.flags & ~KNOWN_FLAGS) !== 0 || !Number.isSafeInteger(header.epoch)) {
    throw new DaosError("PROTOCOL", "Cannot read frame: unknown flags or impossible epoch.");
  }
  if (
    header.argumentsLength > MAX_FRAME_ARGUMENTS_BYTES ||
    header.argumentsLength + header.payloadLength > MAX_FRAME_BODY_BYTES
  ) {
    throw new DaosError("TOO_LARGE", `Cannot read frame: body over ${MAX_FRAME_BODY_BYTES} bytes. Split the request.`);
  }
}

/** Whether the header would be good if it began as ours do: it is one, damaged there. */
function isDamagedStart(view: Buffer, offset: number): boolean {
  const mended = Buffer.from(view.subarray(offset, offset + FRAME_HEADER_BYTES));
  mended.writeUInt32LE(FRAME_MAGIC, 0);
  mended[4] = PROTOCOL_VERSION;
  return mended.readUInt32LE(36) === crc32Range(mended, 0, 36);
}

function damagedHeader(): DaosError {
  return new DaosError("DAMAGED", "Cannot read frame: the checksum of its header does not match. Connect again.");
}
