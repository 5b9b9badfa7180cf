import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/checksum.ts";
import {
  decodeSuperblock,
  encodeSuperblock,
  STORE_FORMAT_VERSION,
  SUPERBLOCK_BYTES,
  type Superblock,
} from "../../src/format/superblock.ts";
import { expectCode } from "../store/expect-code.ts";

const SUPERBLOCK: Superblock = {
  storeId: "ABCDEFGHIJKLMNOP" as ByteString,
  generation: 7,
  regionBytes: 0x1_2345_6789,
  segmentBytes: 65_536,
  segmentCount: 15,
  deviceBytes: 0x2_0000_0000,
};
const GOLDEN_1 =
  "44414f53010000004142434445464748494a4b4c4d4e4f500700000000000000" +
  "8967452301000000000001000f0000000000000002000000000000000de7aa24";

const GOLDEN =
  "44414f53020000004142434445464748494a4b4c4d4e4f500700000000000000" +
  "8967452301000000000001000f00000000000000020000000000000074d31502";

function encoded(): Buffer {
  const bytes = Buffer.alloc(SUPERBLOCK_BYTES, 0xee);
  encodeSuperblock(bytes, 0, SUPERBLOCK);
  return bytes;
}

test("superblock: golden bytes of version 2; those of version 1 are read", () => {
  expect(encoded().toString("hex")).toBe(GOLDEN);
  expect(decodeSuperblock(Buffer.from(GOLDEN, "hex"), 0)).toEqual(SUPERBLOCK);
  expect(decodeSuperblock(Buffer.from(GOLDEN_1, "hex"), 0)).toEqual(SUPERBLOCK);
});

test("superblock: a damaged copy is none, whichever bit flipped", () => {
  for (let bit = 0; bit < SUPERBLOCK_BYTES * 8; bit += 1) {
    const bytes = encoded();
    bytes[bit >>> 3]! ^= 1 << (bit & 7);
    expect(decodeSuperblock(bytes, 0)).toBeUndefined();
  }
});

test("superblock: one of a newer version is refused with advice, not taken for damage", () => {
  const bytes = encoded();
  bytes.writeUInt16LE(STORE_FORMAT_VERSION + 1, 4);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
  const error = expectCode("VERSION", () => decodeSuperblock(bytes, 0));
  expect(error.message).toContain("Upgrade this program");
});

test("superblock: arbitrary bytes never do more than being none", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      expect(decodeSuperblock(bytes, 0)).toBeUndefined();
    }),
  );
});
