import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/checksum.ts";
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentSeed,
} from "../../src/format/segment-header.ts";
import { STORE_FORMAT_VERSION } from "../../src/format/superblock.ts";
import { expectCode } from "../store/expect-code.ts";

const ID = "ABCDEFGHIJKLMNOP" as ByteString;
const HEADER: SegmentHeader = { storeId: ID, ordinal: 0x1_0000_0002, firstSequence: 99, generation: 7 };
const GOLDEN_1 =
  "44534547010000004142434445464748494a4b4c4d4e4f500200000001000000" +
  "63000000000000000700000000000000000000000000000000000000825ce699";

const GOLDEN =
  "44534547020000004142434445464748494a4b4c4d4e4f500200000001000000" +
  "63000000000000000700000000000000000000000000000000000000fb6859bf";

test("segment header: golden bytes of version 2; those of version 1 are read", () => {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES, 0xee);
  encodeSegmentHeader(bytes, 0, HEADER);
  expect(bytes.toString("hex")).toBe(GOLDEN);
  expect(decodeSegmentHeader(bytes, 0)).toEqual(HEADER);
  expect(decodeSegmentHeader(Buffer.from(GOLDEN_1, "hex"), 0)).toEqual(HEADER);
});

test("segment header: any flipped bit makes it none", () => {
  for (let bit = 0; bit < SEGMENT_HEADER_BYTES * 8; bit += 1) {
    const bytes = Buffer.from(GOLDEN, "hex");
    bytes[bit >>> 3]! ^= 1 << (bit & 7);
    expect(decodeSegmentHeader(bytes, 0)).toBeUndefined();
  }
});

test("segment header: a newer version is refused", () => {
  const bytes = Buffer.from(GOLDEN, "hex");
  bytes.writeUInt16LE(STORE_FORMAT_VERSION + 1, 4);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
  expectCode("VERSION", () => decodeSegmentHeader(bytes, 0));
});

test("segment seed: golden, and different for each store, ordinal and generation", () => {
  expect(segmentSeed(ID, 0x1_0000_0002, 7)).toBe(1_400_043_485);
  const seeds = [
    segmentSeed(ID, 1, 1),
    segmentSeed(ID, 2, 1),
    segmentSeed(ID, 1, 2),
    segmentSeed("ABCDEFGHIJKLMNOQ" as ByteString, 1, 1),
  ];
  expect(new Set(seeds).size).toBe(seeds.length);
});
