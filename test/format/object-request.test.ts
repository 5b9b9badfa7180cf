/**
 * Arguments and replies of the hot operations: golden bytes, round trips, and bytes that are none.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { MAX_AKEY_BYTES, MAX_DKEY_BYTES } from "../../src/base/limits.ts";
import type { ObjectId } from "../../src/base/object-id.ts";
import {
  decodeObjectReply,
  decodeObjectRequest,
  ObjectFlag,
  encodeObjectReply,
  encodeObjectRequest,
  NO_REQUEST_ID,
  OBJECT_REPLY_BYTES,
  type ObjectReply,
  type ObjectRequest,
  objectRequestBytes,
} from "../../src/format/object-request.ts";

const REQUEST: ObjectRequest = {
  handle: 0x0102_0304,
  flags: 31,
  oid: "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff" as ObjectId,
  epoch: 0x1a_2b3c_4d5e_6f as Epoch,
  recordIndex: 0x11_2233_4455,
  recordCount: 0x0a0b_0c0d,
  recordBytes: 4096,
  dkey: "dk\xfe" as ByteString,
  akey: "a" as ByteString,
  ...NO_REQUEST_ID,
  issued: undefined,
};
const NAMED: ObjectRequest = {
  ...REQUEST,
  flags: 3,
  client: 0x0102_0304_0506,
  sequence: 0x22,
  firstIncomplete: 0x11,
  issued: 0x33 as Epoch,
};
const GOLDEN_NAMED =
  "0403020123000000000102030405060708090a0b0c0d0eff6f5e4d3c2b1a0000" +
  "55443322110000000d0c0b0a000000000010000003000100" +
  "0605040302010000" +
  "2200000000000000" +
  "1100000000000000" +
  "3300000000000000" +
  "646bfe61";
const GOLDEN_REQUEST =
  "040302011f000000000102030405060708090a0b0c0d0eff6f5e4d3c2b1a0000" +
  "55443322110000000d0c0b0a000000000010000003000100646bfe61";
const REPLY: ObjectReply = { epoch: REQUEST.epoch, lengthBytes: 0x1_0000_0002, recordBytes: 7, flags: 1 };
const GOLDEN_REPLY = "6f5e4d3c2b1a000002000000010000000700000001000000";

function encoded(request: ObjectRequest): Buffer {
  const bytes = Buffer.alloc(objectRequestBytes(request));
  expect(encodeObjectRequest(bytes, 0, request)).toBe(bytes.length);
  return bytes;
}

function refusal(decode: () => unknown): string {
  try {
    decode();
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
  return "accepted";
}

function key(maxLength: number): fc.Arbitrary<ByteString> {
  return fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes).toString("latin1") as ByteString);
}

const request: fc.Arbitrary<ObjectRequest> = fc.record({
  handle: fc.nat(0xffff_ffff),
  flags: fc.nat(31),
  oid: fc
    .uint8Array({ minLength: 16, maxLength: 16 })
    .map((bytes) => Buffer.from(bytes).toString("latin1") as ObjectId),
  epoch: fc.nat(Number.MAX_SAFE_INTEGER).map((value) => value as Epoch),
  recordIndex: fc.nat(Number.MAX_SAFE_INTEGER),
  recordCount: fc.nat(Number.MAX_SAFE_INTEGER),
  recordBytes: fc.nat(0xffff_ffff),
  dkey: key(MAX_DKEY_BYTES),
  akey: key(MAX_AKEY_BYTES),
  client: fc.constant(0),
  sequence: fc.constant(0),
  firstIncomplete: fc.constant(0),
  issued: fc.constant(undefined),
});

const named: fc.Arbitrary<ObjectRequest> = fc
  .tuple(request, fc.nat(Number.MAX_SAFE_INTEGER), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), fc.nat())
  .map(([value, client, sequence, open]) => ({
    ...value,
    client,
    sequence,
    firstIncomplete: Math.max(0, sequence - open),
    issued: open as Epoch,
  }));

describe("object request", () => {
  test("has the bytes of version 1", () => {
    expect(encoded(REQUEST).toString("hex")).toBe(GOLDEN_REQUEST);
    expect(decodeObjectRequest(Buffer.from(GOLDEN_REQUEST, "hex"))).toEqual(REQUEST);
  });

  test("has the bytes of version 1 with a request id", () => {
    expect(encoded(NAMED).toString("hex")).toBe(GOLDEN_NAMED);
    expect(decodeObjectRequest(Buffer.from(GOLDEN_NAMED, "hex"))).toEqual(NAMED);
  });

  test("decodes to what was encoded", () => {
    const any = fc.oneof(request, named);
    fc.assert(fc.property(any, (value) => expect(decodeObjectRequest(encoded(value))).toEqual(value)));
  });

  test("cut short or with bytes behind it is refused", () => {
    const bytes = encoded(REQUEST);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(refusal(() => decodeObjectRequest(bytes.subarray(0, length)))).toBe("INVALID_ARGUMENT");
    }
    expect(refusal(() => decodeObjectRequest(Buffer.concat([bytes, Buffer.alloc(1)])))).toBe("INVALID_ARGUMENT");
  });

  test("takes keys up to their limits and none longer", () => {
    const longest = { dkey: "d".repeat(MAX_DKEY_BYTES) as ByteString, akey: "a".repeat(MAX_AKEY_BYTES) as ByteString };
    expect(refusal(() => decodeObjectRequest(encoded({ ...REQUEST, ...longest })))).toBe("accepted");
    for (const over of [{ dkey: `${longest.dkey}x` as ByteString }, { akey: `${longest.akey}x` as ByteString }]) {
      expect(() => decodeObjectRequest(encoded({ ...REQUEST, ...longest, ...over }))).toThrow("are allowed");
    }
  });

  test("with unknown flags or numbers over 2^53 is refused", () => {
    const { orNextReadable, epochIsSeen, staged, asStored } = ObjectFlag;
    const known: readonly number[] = [orNextReadable, epochIsSeen, staged, asStored];
    for (let bit = 5; bit < 32; bit += 1) {
      if (known.includes(2 ** bit)) continue;
      expect(refusal(() => decodeObjectRequest(encoded({ ...REQUEST, flags: 2 ** bit })))).toBe("INVALID_ARGUMENT");
    }
    for (const offset of [24, 32, 40]) {
      const bytes = encoded(REQUEST);
      bytes.writeUInt32LE(0x0020_0000, offset + 4);
      expect(refusal(() => decodeObjectRequest(bytes))).toBe("INVALID_ARGUMENT");
    }
  });

  test("random bytes are refused or decode to something that encodes to the same bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.nat(60), fc.nat(60), (random, dkeyLength, akeyLength) => {
        const bytes = Buffer.from(random);
        if (bytes.length >= 56) {
          bytes.writeUInt16LE(dkeyLength, 52);
          bytes.writeUInt16LE(akeyLength, 54);
        }
        if (refusal(() => decodeObjectRequest(bytes)) === "INVALID_ARGUMENT") return;
        expect(encoded(decodeObjectRequest(bytes)).equals(bytes)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("object reply", () => {
  test("has the bytes of version 1", () => {
    const bytes = Buffer.alloc(OBJECT_REPLY_BYTES + 1);
    encodeObjectReply(bytes, 1, REPLY);
    expect(bytes.toString("hex")).toBe(`00${GOLDEN_REPLY}`);
    expect(decodeObjectReply(bytes.subarray(1))).toEqual(REPLY);
  });

  test("of any other length, or with numbers over 2^53, is refused", () => {
    for (const length of [0, 23, 25]) expect(refusal(() => decodeObjectReply(Buffer.alloc(length)))).toBe("PROTOCOL");
    for (const offset of [4, 12]) {
      const bytes = Buffer.from(GOLDEN_REPLY, "hex");
      bytes.writeUInt32LE(0xffff_ffff, offset);
      expect(refusal(() => decodeObjectReply(bytes))).toBe("PROTOCOL");
    }
  });
});
