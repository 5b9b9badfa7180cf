/**
 * The frame header: golden bytes, round trips, and that no damaged header is taken for a good one.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { crc32 } from "../../src/base/checksum.ts";
import { DaosError } from "../../src/base/errors.ts";
import { MAX_FRAME_ARGUMENTS_BYTES, MAX_FRAME_BODY_BYTES } from "../../src/base/limits.ts";
import {
  decodeFrameHeader,
  emptyFrameHeader,
  encodeFrameHeader,
  FRAME_HEADER_BYTES,
  type FrameHeader,
} from "../../src/format/frame.ts";

const SAMPLE: FrameHeader = {
  flags: 3,
  opcode: 0x0112,
  requestId: 0xfedc_ba98,
  argumentsLength: 0x0102,
  payloadLength: 0x03_0405,
  mapVersion: 0x0607_0809,
  epoch: 0x1a_2b3c_4d5e_6f,
  bodyChecksum: 0x8bad_f00d,
};
const GOLDEN = "44414f460103120198badcfe0201000005040300090807066f5e4d3c2b1a00000df0ad8b9a624d48";

function encoded(header: FrameHeader): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES);
  encodeFrameHeader(bytes, 0, header);
  return bytes;
}

/** Writes the checksum anew after a change. */
function sealed(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 36)), 36);
  return bytes;
}

function refusal(bytes: Buffer): string {
  try {
    decodeFrameHeader(bytes, 0, emptyFrameHeader());
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
  return "accepted";
}

describe("frame header", () => {
  test("has the bytes of version 1", () => {
    expect(encoded(SAMPLE).toString("hex")).toBe(GOLDEN);
    const header = emptyFrameHeader();
    decodeFrameHeader(Buffer.from(`ff${GOLDEN}`, "hex"), 1, header);
    expect(header).toEqual(SAMPLE);
  });

  test("decodes to what was encoded, at any offset", () => {
    const word = fc.nat(0xffff_ffff);
    const arbitrary = fc.record({
      flags: fc.nat(3),
      opcode: fc.nat(0xffff),
      requestId: word,
      argumentsLength: fc.nat(MAX_FRAME_ARGUMENTS_BYTES),
      payloadLength: fc.nat(MAX_FRAME_BODY_BYTES - MAX_FRAME_ARGUMENTS_BYTES),
      mapVersion: word,
      epoch: fc.nat(Number.MAX_SAFE_INTEGER),
      bodyChecksum: word,
    });
    fc.assert(
      fc.property(arbitrary, fc.nat(20), (header, offset) => {
        const bytes = Buffer.alloc(offset + FRAME_HEADER_BYTES);
        encodeFrameHeader(bytes, offset, header);
        const decoded = emptyFrameHeader();
        decodeFrameHeader(bytes, offset, decoded);
        expect(decoded).toEqual(header);
      }),
    );
  });

  test("with any one byte changed is refused", () => {
    const bytes = Buffer.from(GOLDEN, "hex");
    for (let at = 0; at < FRAME_HEADER_BYTES; at += 1) {
      for (let flip = 1; flip < 256; flip += 1) {
        bytes[at]! ^= flip;
        expect(refusal(bytes)).toBe("DAMAGED");
        bytes[at]! ^= flip;
      }
    }
  });

  test("of another version is refused with VERSION, even when that version keeps its checksum elsewhere", () => {
    const bytes = Buffer.from(GOLDEN, "hex");
    bytes[4] = 2;
    // Its checksum is that of version 1: the byte was damaged.
    expect(refusal(bytes)).toBe("DAMAGED");
    expect(refusal(sealed(bytes))).toBe("VERSION");
    bytes.fill(0xee, 36, 40);
    expect(refusal(bytes)).toBe("VERSION");
  });

  test("with a good checksum and impossible fields is refused", () => {
    for (const flags of [4, 8, 128, 255]) expect(refusal(encoded({ ...SAMPLE, flags }))).toBe("PROTOCOL");
    const bytes = encoded(SAMPLE);
    bytes.writeUInt32LE(0x0020_0000, 28);
    expect(refusal(sealed(bytes))).toBe("PROTOCOL");
  });

  test("of the largest body passes, of one byte more is TOO_LARGE with the header filled in", () => {
    const largest = {
      argumentsLength: MAX_FRAME_ARGUMENTS_BYTES,
      payloadLength: MAX_FRAME_BODY_BYTES - MAX_FRAME_ARGUMENTS_BYTES,
    };
    expect(refusal(encoded({ ...SAMPLE, ...largest }))).toBe("accepted");
    for (const over of [
      { argumentsLength: MAX_FRAME_ARGUMENTS_BYTES + 1, payloadLength: 0 },
      { argumentsLength: 1, payloadLength: MAX_FRAME_BODY_BYTES },
      { argumentsLength: 0xffff_ffff, payloadLength: 0xffff_ffff },
    ]) {
      const bytes = encoded({ ...SAMPLE, ...over });
      const header = emptyFrameHeader();
      expect(() => decodeFrameHeader(bytes, 0, header)).toThrow("body over");
      expect(header).toEqual({ ...SAMPLE, ...over });
    }
  });
});
