import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/checksum.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { decodeFillRequest, encodeFillRequest, FillFlag, type FillRequest } from "../../src/format/fill-message.ts";

const PREFIX = "\0\0\0\x07object";
const OPEN: FillRequest = {
  kind: "open",
  container: 7,
  snapshots: [5 as Epoch, 0x1_0000_0002 as Epoch],
  compares: true,
};
const CELLS: FillRequest & { kind: "cells" } = {
  kind: "cells",
  container: 7,
  flags: FillFlag.first | FillFlag.last,
  prefix: PREFIX,
  versions: [
    {
      key: `${PREFIX}\0` as ByteString,
      epoch: 3 as Epoch,
      kind: 1,
      meta: Uint8Array.of(3),
      bytes: Buffer.from("v"),
      checksum: crc32(Buffer.from("v")),
    },
    { key: `${PREFIX}\0` as ByteString, epoch: 9 as Epoch, kind: 3, meta: new Uint8Array(0), bytes: undefined },
    {
      key: `${PREFIX}ab` as ByteString,
      epoch: 4 as Epoch,
      kind: 2,
      meta: Uint8Array.of(7, 1),
      bytes: Buffer.alloc(0),
      checksum: 0,
    },
  ],
};
const CLOSE: FillRequest = {
  kind: "close",
  container: 7,
  flags: FillFlag.last,
  requests: [{ client: 1, sequence: 2, firstIncomplete: 1, epoch: 8 as Epoch }],
  forgottenTo: 6 as Epoch,
};

const HURRY: FillRequest = { kind: "hurry", container: 7, prefix: PREFIX };

const COMPARE: FillRequest = {
  kind: "compare",
  container: 7,
  compare: { after: "", upTo: "x", dkeys: Buffer.alloc(16, 3) },
};
const HOLDS: FillRequest = { kind: "holds", container: 7 };

function codeOf(work: () => unknown): string {
  try {
    work();
    return "ok";
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test("fill messages have golden bytes", () => {
  const hex = ({ args, payload }: ReturnType<typeof encodeFillRequest>) =>
    [args, payload].map((bytes) => Buffer.from(bytes).toString("hex"));
  expect(hex(encodeFillRequest(OPEN))).toEqual(["010800000700000002000000" + "05000000000000000200000001000000", ""]);
  expect(hex(encodeFillRequest(CELLS))).toEqual([
    "020300000700000003000000" + "000000076f626a656374",
    "0300000000000000" +
      "01" +
      "01" +
      "0100" +
      "01" +
      "000000" +
      "01000000" +
      "00" +
      "03" +
      "76" +
      ("0900000000000000" + "03" + "00" + "0100" + "00" + "000000" + "00000000" + "00") +
      ("0400000000000000" + "02" + "01" + "0200" + "02" + "000000" + "00000000" + "6162" + "0701"),
  ]);
  expect(hex(encodeFillRequest(HURRY))).toEqual(["040000000700000000000000" + "000000076f626a656374", ""]);
  expect(hex(encodeFillRequest(COMPARE))).toEqual([
    "050000000700000000000000",
    `01${"0000"}${"0100"}78${"03".repeat(16)}`,
  ]);
  expect(hex(encodeFillRequest(HOLDS))).toEqual(["060000000700000000000000", ""]);
  expect(hex(encodeFillRequest(CLOSE))).toEqual([
    "030200000700000001000000" + "0600000000000000",
    "0100000000000000" + "0200000000000000" + "0100000000000000" + "0800000000000000",
  ]);
});

test("fill messages decode to what was encoded", () => {
  for (const request of [OPEN, { ...OPEN, compares: false }, CELLS, CLOSE, HURRY, COMPARE, HOLDS]) {
    const { args, payload, checksum } = encodeFillRequest(request);
    expect(decodeFillRequest(args, payload, checksum)).toEqual(request);
    expect(checksum).toBe(crc32(payload));
  }
});

test("bytes that changed where they come from, or on the way, are DAMAGED where they come to", () => {
  const { args, payload, checksum } = encodeFillRequest(CELLS);
  for (let at = 0; at < payload.length; at += 1) {
    const changed = Buffer.from(payload);
    changed[at]! ^= 0x10;
    expect(["DAMAGED", "INVALID_ARGUMENT"]).toContain(codeOf(() => decodeFillRequest(args, changed, checksum)));
  }
  const [version, ...others] = CELLS.versions;
  const message = encodeFillRequest({ ...CELLS, versions: [{ ...version!, bytes: Buffer.from("w") }, ...others] });
  expect(codeOf(() => decodeFillRequest(message.args, message.payload, message.checksum))).toBe("DAMAGED");
});

test("fill messages that cannot be are refused", () => {
  const { args, payload, checksum } = encodeFillRequest(CELLS);
  const changed = (at: number, value: number): Uint8Array => {
    const bytes = Uint8Array.from(args);
    bytes[at] = value;
    return bytes;
  };
  expect(codeOf(() => decodeFillRequest(args.subarray(0, 5), payload, checksum))).toBe("INVALID_ARGUMENT");
  expect(codeOf(() => decodeFillRequest(changed(0, 9), payload, checksum))).toBe("INVALID_ARGUMENT");
  expect(codeOf(() => decodeFillRequest(changed(2, 1), payload, checksum))).toBe("INVALID_ARGUMENT");
  expect(codeOf(() => decodeFillRequest(changed(8, 4), payload, checksum))).toBe("INVALID_ARGUMENT");
  expect(codeOf(() => decodeFillRequest(args, payload.subarray(1), checksum))).toBe("INVALID_ARGUMENT");
  const kind = Uint8Array.from(payload);
  kind[8] = 4;
  expect(codeOf(() => decodeFillRequest(args, kind, checksum))).toBe("INVALID_ARGUMENT");
});
