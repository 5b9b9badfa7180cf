import { describe, expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import type { ObjectId } from "../../src/base/object-id.ts";
import { NO_REQUEST_ID } from "../../src/format/object-request.ts";
import {
  decodePrepareRequest,
  encodePrepareRequest,
  type PrepareRequest,
  prepareRequestBytes,
} from "../../src/format/prepare-request.ts";

const REQUEST: PrepareRequest = {
  client: 0x0102_0304,
  sequence: 9,
  firstIncomplete: 8,
  epoch: 0x11_2233_4455 as Epoch,
  container: 7,
  opcode: 113,
  object: {
    handle: 0,
    flags: 0,
    oid: "\x00\x03\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff" as ObjectId,
    epoch: 0 as Epoch,
    recordIndex: 0,
    recordCount: 0,
    recordBytes: 0,
    dkey: "key" as ByteString,
    akey: "" as ByteString,
    ...NO_REQUEST_ID,
  },
  parts: undefined,
};
const GOLDEN =
  "0403020100000000" +
  "0900000000000000" +
  "0800000000000000" +
  "5544332211000000" +
  "0700000071000000" +
  "0000000000000000" +
  "000302030405060708090a0b0c0d0eff" +
  "00".repeat(28) +
  "03000000" +
  "6b6579";

function encoded(request: PrepareRequest): Buffer {
  const bytes = Buffer.alloc(prepareRequestBytes(request));
  encodePrepareRequest(bytes, 0, request);
  return bytes;
}

describe("prepare request", () => {
  test("has golden bytes", () => {
    expect(encoded(REQUEST).toString("hex")).toBe(GOLDEN);
    const bytes = Buffer.from(GOLDEN, "hex");
    expect(decodePrepareRequest(bytes, 0, bytes.length)).toEqual(REQUEST);
  });

  test("with parts is read back as it was written, also with none", () => {
    const parts = [
      { kind: "write" as const, address: 2 ** 52 + 7, length: 4096 },
      { kind: "punch" as const, address: 0, length: 2 ** 40 },
      { kind: "block" as const, address: 1, length: 2 },
      { kind: "value" as const, address: 0, length: 9 },
    ];
    for (const some of [parts, []]) {
      const bytes = encoded({ ...REQUEST, parts: some });
      expect(decodePrepareRequest(bytes, 0, bytes.length)).toEqual({ ...REQUEST, parts: some });
    }
    const wrong = encoded({ ...REQUEST, parts });
    wrong[40] = 9;
    expect(() => decodePrepareRequest(wrong, 0, wrong.length)).toThrow("Cannot read prepare request");
  });

  test("that is cut off, has no epoch, or reserved bytes is refused", () => {
    const change = (offset: number, value: number): Buffer => {
      const bytes = encoded(REQUEST);
      bytes[offset] = value;
      return bytes;
    };
    const cases = [
      encoded(REQUEST).subarray(0, 39),
      encoded(REQUEST).subarray(0, 60),
      encoded({ ...REQUEST, epoch: 0 as Epoch }),
      change(38, 2),
      change(7, 0xff),
    ];
    for (const bytes of cases) {
      expect(() => decodePrepareRequest(bytes, 0, bytes.length)).toThrow(/Cannot read (prepare|object) request/);
    }
  });
});
