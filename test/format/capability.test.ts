import { expect, test } from "bun:test";
import fc from "fast-check";
import { DaosError } from "../../src/base/errors.ts";
import { type Uuid, uuidFromRandom } from "../../src/base/uuid.ts";
import {
  type Capability,
  CAPABILITY_BYTES,
  decodeCapability,
  encodeCapability,
  Right,
} from "../../src/format/capability.ts";

const CAPABILITY: Capability = {
  rights: Right.read | Right.write,
  containerNumber: 0x01020304,
  mapVersion: 5,
  expiresAtMs: 1767326645000,
  pool: "11111111-2222-4333-8444-555555555555" as Uuid,
  container: "99999999-2222-4333-8444-555555555555" as Uuid,
};
const NONCE = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const GOLDEN =
  "4443415001000300" +
  "0403020105000000" +
  "087be07c9b010000" +
  "11111111222243338444555555555555" +
  "99999999222243338444555555555555" +
  "0102030405060708" +
  "00".repeat(32);

function codeOf(bytes: Uint8Array): string {
  try {
    decodeCapability(bytes);
    return "ok";
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

test("golden bytes, both ways", () => {
  expect(encodeCapability(CAPABILITY, NONCE).toString("hex")).toBe(GOLDEN);
  expect(decodeCapability(Buffer.from(GOLDEN, "hex"))).toEqual(CAPABILITY);
});

test("what is encoded is decoded", () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const uuid = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(uuidFromRandom);
  fc.assert(
    fc.property(
      u32,
      u32,
      fc.maxSafeNat(),
      fc.integer({ min: 0, max: 3 }),
      uuid,
      uuid,
      (number, map, time, rights, a, b) => {
        const one = { rights, containerNumber: number, mapVersion: map, expiresAtMs: time, pool: a, container: b };
        expect(decodeCapability(encodeCapability(one, NONCE))).toEqual(one);
      },
    ),
  );
});

test("another version is VERSION, all else PERMISSION", () => {
  const bytes = Buffer.from(GOLDEN, "hex");
  const changed = (offset: number, value: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy[offset] = value;
    return copy;
  };
  expect(codeOf(changed(4, 2))).toBe("VERSION");
  expect(codeOf(changed(4, 0))).toBe("VERSION");
  expect(codeOf(changed(0, 0))).toBe("PERMISSION");
  expect(codeOf(changed(6, 8))).toBe("PERMISSION");
  expect(codeOf(changed(23, 0xff))).toBe("PERMISSION");
  for (let length = 0; length < CAPABILITY_BYTES; length += 1)
    expect(codeOf(bytes.subarray(0, length))).toBe("PERMISSION");
  expect(codeOf(Buffer.concat([bytes, bytes]))).toBe("PERMISSION");
  fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), (random) => expect(codeOf(random)).toBe("PERMISSION")));
});
