import { expect, test } from "bun:test";
import { decodeStagedPayload, encodeStagedPayload } from "../../src/format/staged-payload.ts";

test("what the shards have staged is read as it was written; golden bytes", () => {
  const payload = {
    lengthBytes: 65_539,
    shards: [
      { lengthBytes: 98_304, checksum: 0xf4cb3926 },
      { lengthBytes: 0, checksum: 0 },
    ],
  };
  const record = encodeStagedPayload(payload);
  expect(Buffer.from(record).toString("hex")).toBe("0300010002000000008001002639cbf40000000000000000");
  expect(decodeStagedPayload(Buffer.from(record))).toEqual(payload);
});

test("records whose lengths do not add up are refused", () => {
  const record = Buffer.from(encodeStagedPayload({ lengthBytes: 1, shards: [{ lengthBytes: 1, checksum: 7 }] }));
  const none = Buffer.from(record);
  none.writeUInt32LE(0, 4);
  const many = Buffer.alloc(8 + 8 * 65);
  many.writeUInt32LE(65, 4);
  for (const wrong of [record.subarray(0, 15), Buffer.alloc(0), Buffer.concat([record, Buffer.alloc(1)]), none, many]) {
    expect(() => decodeStagedPayload(wrong)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  }
});
