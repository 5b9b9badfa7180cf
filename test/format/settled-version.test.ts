import { expect, test } from "bun:test";
import fc from "fast-check";
import { crc32 } from "../../src/base/checksum.ts";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import {
  decodeSettledVersion,
  encodeSettledVersion,
  encodeSettledWrite,
  historyKey,
  type SettledContent,
} from "../../src/format/settled-version.ts";
import { expectCode } from "../store/expect-code.ts";

const KEY = "\x00\x00\x00\x01k" as ByteString;
const INLINE: SettledContent = {
  epoch: 5 as Epoch,
  kind: 1,
  meta: Buffer.from([9, 8]),
  inline: Buffer.from("hi"),
  checksum: crc32(Buffer.from("hi")),
  extent: undefined,
};
const EXTENT: SettledContent = {
  epoch: 0x1_0000_0000 as Epoch,
  kind: 2,
  meta: Buffer.alloc(0),
  inline: undefined,
  checksum: 0,
  extent: { offset: 8192, length: 5000, checksums: Uint32Array.of(1, 2) },
};

function content(version: SettledContent): SettledContent {
  const { epoch, kind, meta, inline, checksum, extent } = version;
  return {
    epoch,
    kind,
    meta: Buffer.from(meta),
    inline: inline === undefined ? undefined : Buffer.from(inline),
    checksum,
    extent,
  };
}

test("settled version: golden bytes of version 1", () => {
  const inline = encodeSettledVersion(KEY, INLINE, true);
  expect(inline.toString("hex")).toBe("b88a4a6601050200050000000000000009086869");
  const extent = encodeSettledVersion("\x00\x00\x00\x01x" as ByteString, EXTENT, false);
  expect(extent.toString("hex")).toBe("131383b90202000000000000010000000020000000000000881300000100000002000000");
  const decoded = decodeSettledVersion(KEY, inline);
  expect(content(decoded)).toEqual(INLINE);
  expect(decoded.hasOlder).toBe(true);
});

test("settled version: found under another key it is CORRUPT", () => {
  const row = encodeSettledVersion(KEY, INLINE, false);
  expectCode("CORRUPT", () => decodeSettledVersion("\x00\x00\x00\x01j" as ByteString, row));
});

test("settled version: any flipped bit and any cut is CORRUPT", () => {
  const row = encodeSettledVersion(KEY, EXTENT, false);
  for (let bit = 0; bit < row.length * 8; bit += 1) {
    const flipped = Buffer.from(row);
    flipped[bit >>> 3]! ^= 1 << (bit & 7);
    expectCode("CORRUPT", () => decodeSettledVersion(KEY, flipped));
  }
  for (let end = 0; end < row.length; end += 1) {
    expectCode("CORRUPT", () => decodeSettledVersion(KEY, row.subarray(0, end)));
  }
});

test("settled version: what is encoded is decoded", () => {
  const bytes = fc.uint8Array({ maxLength: 255 }).map((array) => Buffer.from(array));
  const contents = fc.record({
    epoch: fc.nat({ max: Number.MAX_SAFE_INTEGER }).map((epoch) => epoch as Epoch),
    kind: fc.constantFrom(1 as const, 2 as const, 3 as const),
    meta: bytes,
    inline: fc.option(bytes, { nil: undefined }),
    extent: fc.constant(undefined),
  });
  fc.assert(
    fc.property(contents, fc.boolean(), (drawn, hasOlder) => {
      const given = { ...drawn, checksum: drawn.inline === undefined ? 0 : crc32(drawn.inline) };
      const decoded = decodeSettledVersion(KEY, encodeSettledVersion(KEY, given, hasOlder));
      expect(content(decoded)).toEqual(given);
      expect(decoded.hasOlder).toBe(hasOlder);
    }),
  );
});

test("settled version: inline bytes that are not what their checksum says become no row", () => {
  const damaged = { ...INLINE, inline: Buffer.from("ho") };
  expectCode("CORRUPT", () => encodeSettledVersion(KEY, damaged, false));
  const write = { ...INLINE, key: KEY, metaOffset: 0, metaLength: 0, inlineLength: 2 };
  expectCode("CORRUPT", () => encodeSettledWrite(KEY, Buffer.from("ho"), write));
  expect(decodeSettledVersion(KEY, encodeSettledWrite(KEY, Buffer.from("hi"), write)).checksum).toBe(INLINE.checksum);
});

test("settled version: arbitrary bytes are CORRUPT, never a crash", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      expect(() => decodeSettledVersion(KEY, bytes)).toThrow(DaosError);
    }),
  );
});

test("history key: golden, and newer versions sort first", () => {
  expect(Buffer.from(historyKey(KEY, 5 as Epoch), "latin1").toString("hex")).toBe("000000016b001ffffffffffffa");
  const epochs = fc.tuple(fc.nat({ max: 2 ** 53 - 1 }), fc.nat({ max: 2 ** 53 - 1 }));
  fc.assert(
    fc.property(epochs, ([left, right]) => {
      const isBefore = historyKey(KEY, left as Epoch) < historyKey(KEY, right as Epoch);
      expect(isBefore).toBe(left > right);
    }),
  );
});
