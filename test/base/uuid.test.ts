import { expect, test } from "bun:test";
import { parseUuid, uuidFromBytes, uuidFromRandom, writeUuid } from "../../src/base/uuid.ts";

test("uuidFromRandom sets version 4 and its variant, whatever the bytes", () => {
  expect<string>(uuidFromRandom(new Uint8Array(16))).toBe("00000000-0000-4000-8000-000000000000");
  expect<string>(uuidFromRandom(new Uint8Array(16).fill(255))).toBe("ffffffff-ffff-4fff-bfff-ffffffffffff");
  expect(() => uuidFromRandom(new Uint8Array(15))).toThrow();
});

test("writeUuid and uuidFromBytes are inverse", () => {
  const id = parseUuid("01234567-89AB-4cde-8f01-23456789abcd")!;
  const bytes = Buffer.alloc(20);
  writeUuid(bytes, 3, id);
  expect(bytes.toString("hex")).toBe("0000000123456789ab4cde8f0123456789abcd00");
  expect(uuidFromBytes(bytes, 3)).toBe(id);
  expect<string>(id).toBe("01234567-89ab-4cde-8f01-23456789abcd");
});

test("parseUuid gives undefined for all else", () => {
  for (const text of ["", "tank", "0123456789ab4cde8f0123456789abcd", "01234567-89ab-4cde-8f01-23456789abcg"]) {
    expect(parseUuid(text)).toBeUndefined();
  }
});
