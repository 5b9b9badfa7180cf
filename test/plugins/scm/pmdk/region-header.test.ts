import { expect, test } from "bun:test";
import {
  decodeRegionHeader,
  encodeRegionHeader,
  HEADER_COPY_BYTES,
  headerOffset,
  REGION_HEADER_BYTES,
  REGION_OFFSET_BYTES,
  type RegionHeader,
} from "../../../../plugins/scm/pmdk/region-header.ts";
import type { ByteString } from "../../../../src/base/bytes.ts";
import { crc32 } from "../../../../src/base/checksum.ts";
import { expectCode } from "../../../conformance/support.ts";

const HEADER: RegionHeader = {
  sequence: 7,
  id: "0123456789abcdef" as ByteString,
  regionBytes: 2 ** 27,
  granularityBytes: 64,
  inUse: true,
  health: { unsafeShutdowns: 3, device: 0xdeadbeef },
  owner: "/var/lib/daos/target-0",
};

function copies(...headers: RegionHeader[]): Uint8Array {
  const bytes = new Uint8Array(REGION_OFFSET_BYTES);
  for (const header of headers) encodeRegionHeader(bytes, headerOffset(header.sequence), header);
  return bytes;
}

test("region header: golden bytes of version 1", () => {
  const bytes = Buffer.from(copies(HEADER)).subarray(HEADER_COPY_BYTES, HEADER_COPY_BYTES + REGION_HEADER_BYTES);
  expect(bytes.subarray(0, 96).toString("hex")).toBe(
    "44504d5201000000" +
      "0700000000000000" +
      "30313233343536373839616263646566" +
      "0000000800000000" +
      "4000000003000000" +
      "0300000000000000" +
      "efbeadde16000000" +
      "2f7661722f6c69622f64616f732f7461726765742d3000000000000000000000",
  );
  expect(bytes.subarray(96, 508).every((byte) => byte === 0)).toBe(true);
  expect(bytes.readUInt32LE(508)).toBe(crc32(bytes.subarray(0, 508)));
});

test("region header: what is encoded comes back, with and without health and owner", () => {
  const variants: RegionHeader[] = [
    HEADER,
    { ...HEADER, health: undefined, inUse: false },
    { ...HEADER, owner: "", sequence: 0 },
    { ...HEADER, owner: "ü".repeat(220), regionBytes: 2 ** 40 },
  ];
  for (const header of variants) expect(decodeRegionHeader(copies(header))).toEqual(header);
});

test("region header: the copy of the higher sequence counts, the other one when that is torn", () => {
  const older = { ...HEADER, sequence: 8, inUse: false };
  const newer = { ...HEADER, sequence: 9 };
  const bytes = copies(older, newer);
  expect(decodeRegionHeader(bytes)).toEqual(newer);
  const place = headerOffset(9);
  for (let at = place; at < place + REGION_HEADER_BYTES; at += 37) {
    const torn = bytes.slice();
    torn[at]! ^= 0x40;
    expect(decodeRegionHeader(torn)).toEqual(older);
  }
});

test("region header: zeros, noise and short input are none; another version is refused", async () => {
  expect(decodeRegionHeader(new Uint8Array(REGION_OFFSET_BYTES))).toBeUndefined();
  expect(decodeRegionHeader(new Uint8Array(REGION_OFFSET_BYTES).fill(0xaa))).toBeUndefined();
  expect(decodeRegionHeader(new Uint8Array(100))).toBeUndefined();
  const newer = Buffer.from(copies(HEADER));
  newer.writeUInt16LE(2, HEADER_COPY_BYTES + 4);
  newer.writeUInt32LE(crc32(newer.subarray(HEADER_COPY_BYTES, HEADER_COPY_BYTES + 508)), HEADER_COPY_BYTES + 508);
  await expectCode("VERSION", () => decodeRegionHeader(newer));
});
