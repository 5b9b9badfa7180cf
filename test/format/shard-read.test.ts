import { expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import { decodeShardReadReply, encodeShardReadReply } from "../../src/format/shard-read.ts";

const REPLY = {
  shownAt: 7 as Epoch,
  newest: (2 ** 50) as Epoch,
  completeTo: 9 as Epoch,
  recordBytes: 4096,
  extents: [
    { address: 0, length: 5, epoch: 3 as Epoch },
    { address: 2 ** 52, length: 4096, epoch: 4 as Epoch },
  ],
};

const GOLDEN =
  "0700000000000000" +
  "0000000000000400" +
  "0900000000000000" +
  "00100000" +
  "02000000" +
  "0000000000000000" +
  "0500000000000000" +
  "0300000000000000" +
  "0000000000001000" +
  "0010000000000000" +
  "0400000000000000";

test("a shard read reply has golden bytes", () => {
  expect(encodeShardReadReply(REPLY).toString("hex")).toBe(GOLDEN);
});

test("a shard read reply is read back as it was written, also without extents", () => {
  for (const reply of [REPLY, { ...REPLY, extents: [] }]) {
    expect(decodeShardReadReply(encodeShardReadReply(reply))).toEqual(reply);
  }
});

test("one that is cut off, or whose extents are out of order or empty, is refused", () => {
  const bytes = encodeShardReadReply(REPLY);
  expect(() => decodeShardReadReply(bytes, 0, bytes.length - 1)).toThrow("do not add up");
  expect(() => decodeShardReadReply(bytes, 0, 8)).toThrow("do not add up");
  const [first, second] = REPLY.extents;
  for (const extents of [[second!, first!], [{ ...first!, length: 0 }]]) {
    expect(() => decodeShardReadReply(encodeShardReadReply({ ...REPLY, extents }))).toThrow("not in order");
  }
  const large = encodeShardReadReply(REPLY);
  large[7] = 0xff;
  expect(() => decodeShardReadReply(large)).toThrow("over 2^53");
});
