/** Golden bytes of version 1 of the array attributes, and refusal of everything else. */
import { describe, expect, test } from "bun:test";
import { hasCode } from "../../src/base/errors.ts";
import { crc32 } from "../../src/base/checksum.ts";
import {
  ARRAY_ATTRIBUTES_BYTES,
  decodeArrayAttributes,
  encodeArrayAttributes,
} from "../../src/format/array-attributes.ts";

const GOLDEN = "444141520100000008000000000000000000100000000000dbe2a7e100000000";

function codeOf(bytes: Uint8Array): string {
  try {
    decodeArrayAttributes(bytes);
  } catch (error) {
    for (const code of ["CORRUPT", "VERSION"] as const) if (hasCode(error, code)) return code;
    throw error;
  }
  return "none";
}

/** `edit`ed golden bytes with a checksum that fits. */
function edited(edit: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(GOLDEN, "hex");
  edit(bytes);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 24)), 24);
  return bytes;
}

describe("array attributes", () => {
  test("keep their golden bytes", () => {
    const attributes = { recordBytes: 8, chunkBytes: 1 << 20 };
    expect(Buffer.from(encodeArrayAttributes(attributes)).toString("hex")).toBe(GOLDEN);
    expect(decodeArrayAttributes(Buffer.from(GOLDEN, "hex"))).toEqual(attributes);
  });

  test("any flipped bit is found", () => {
    for (let bit = 0; bit < ARRAY_ATTRIBUTES_BYTES * 8; bit += 1) {
      const bytes = Buffer.from(GOLDEN, "hex");
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(codeOf(bytes)).toBe("CORRUPT");
    }
  });

  test("a newer version, sizes that cannot be, and other lengths are refused", () => {
    expect(codeOf(edited((bytes) => bytes.writeUInt32LE(2, 4)))).toBe("VERSION");
    expect(codeOf(edited((bytes) => bytes.writeUInt32LE(0, 8)))).toBe("CORRUPT");
    expect(codeOf(edited((bytes) => bytes.writeUInt32LE(3, 8)))).toBe("CORRUPT");
    expect(codeOf(edited((bytes) => bytes.writeUInt32LE(0xffffffff, 20)))).toBe("CORRUPT");
    expect(codeOf(Buffer.from(GOLDEN, "hex").subarray(0, 31))).toBe("CORRUPT");
    expect(codeOf(new Uint8Array(33))).toBe("CORRUPT");
  });
});
