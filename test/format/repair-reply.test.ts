import { expect, test } from "bun:test";
import { decodeRepairReply, encodeRepairReply } from "../../src/format/repair-reply.ts";

test("a repair's reply has golden bytes, and is read back", () => {
  const counts = { damaged: 3, repaired: 2, lost: 1 };
  expect(encodeRepairReply(counts).toString("hex")).toBe("030000000200000001000000");
  expect(decodeRepairReply(encodeRepairReply(counts))).toEqual(counts);
});

test("a reply of another length is refused", () => {
  expect(() => decodeRepairReply(Buffer.alloc(11))).toThrow("it has 11 bytes");
});
