import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import {
  clientOfKey,
  decodeRequests,
  encodeRequests,
  requestsKey,
  decodeNumbers,
  decodeReclaim,
  decodeStoreRow,
  encodeNumbers,
  encodeReclaim,
  encodeStoreRow,
  reclaimPrefix,
  reclaimSuffix,
  SETTLED_ROW,
  uint32Key,
  uint32OfKey,
} from "../../src/format/settled-row.ts";
import { expectCode } from "../store/expect-code.ts";

const ID = "ABCDEFGHIJKLMNOP" as ByteString;
const RECLAIM_KEY = (reclaimPrefix(true, 1, 5 as Epoch) + reclaimSuffix(7, 2)) as ByteString;
const RECLAIM = {
  from: "\x00\x00\x00\x01a" as ByteString,
  to: "\x00\x00\x00\x01b" as ByteString,
  cursor: "\x00\x00\x00\x01aa" as ByteString,
  epoch: 5 as Epoch,
  kept: true,
};

test("settled rows: golden bytes of version 1", () => {
  expect(encodeNumbers(SETTLED_ROW, [1, 0x1_0000_0000]).toString("hex")).toBe(
    "9fa3162e01000000000000000000000001000000",
  );
  expect(encodeStoreRow(ID, 1).toString("hex")).toBe("4eb4c4ec01000000000000004142434445464748494a4b4c4d4e4f50");
  expect(Buffer.from(RECLAIM_KEY, "latin1").toString("hex")).toBe("0100000001000000000000000500000000000000070002");
  expect(encodeReclaim(RECLAIM_KEY, RECLAIM).toString("hex")).toBe(
    "4778e3b9010000000500000000000000050005000600000000000001610000000162000000016161",
  );
});

test("settled rows: what is encoded is decoded", () => {
  expect(decodeNumbers(SETTLED_ROW, encodeNumbers(SETTLED_ROW, [1, 2 ** 53 - 1]), 2)).toEqual([1, 2 ** 53 - 1]);
  expect(decodeStoreRow(encodeStoreRow(ID, 1))).toEqual({ storeId: ID, version: 1 });
  expect(decodeReclaim(RECLAIM_KEY, encodeReclaim(RECLAIM_KEY, RECLAIM))).toEqual(RECLAIM);
});

test("settled rows: any flipped bit, any cut and a wrong key are CORRUPT", () => {
  const row = encodeReclaim(RECLAIM_KEY, RECLAIM);
  for (let bit = 0; bit < row.length * 8; bit += 1) {
    const flipped = Buffer.from(row);
    flipped[bit >>> 3]! ^= 1 << (bit & 7);
    expectCode("CORRUPT", () => decodeReclaim(RECLAIM_KEY, flipped));
  }
  for (let end = 0; end < row.length; end += 1) {
    expectCode("CORRUPT", () => decodeReclaim(RECLAIM_KEY, row.subarray(0, end)));
  }
  expectCode("CORRUPT", () => decodeReclaim(SETTLED_ROW, row));
  expectCode("CORRUPT", () => decodeNumbers(SETTLED_ROW, encodeNumbers(SETTLED_ROW, [1]), 2));
});

test("settled rows: arbitrary bytes are CORRUPT, never a crash", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      for (const decode of [decodeStoreRow, (row: Uint8Array) => decodeReclaim(RECLAIM_KEY, row)]) {
        expect(() => decode(bytes)).toThrow(DaosError);
      }
    }),
  );
});

test("uint32 keys sort as their numbers and give them back", () => {
  const numbers = fc.tuple(fc.nat(0xffff_ffff), fc.nat(0xffff_ffff));
  fc.assert(
    fc.property(numbers, ([left, right]) => {
      expect(uint32OfKey(uint32Key(left))).toBe(left);
      expect(uint32Key(left) < uint32Key(right)).toBe(left < right);
    }),
  );
});

test("settled row: golden bytes of a client's requests", () => {
  const key = requestsKey(0x1_0000_0007);
  expect(key as string).toBe("request\x00\x00\x00\x01\x00\x00\x00\x07");
  expect(clientOfKey(key)).toBe(0x1_0000_0007);
  const requests = { firstIncomplete: 4, completed: [[5, 50 as Epoch] as const, [7, 70 as Epoch] as const] };
  const row = encodeRequests(key, requests);
  expect(row.toString("hex")).toBe(
    "63f42f6b04000000000000000500000000000000320000000000000007000000000000004600000000000000",
  );
  expect(decodeRequests(key, row)).toEqual(requests as never);
  expectCode("CORRUPT", () => decodeRequests(key, encodeNumbers(key, [1, 2])));
});
