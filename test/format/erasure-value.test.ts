import { expect, test } from "bun:test";
import { MAX_SINGLE_VALUE_BYTES } from "../../src/base/limits.ts";
import { decodeErasureValue, encodeErasureValueHeader, erasureValueCellBytes } from "../../src/format/erasure-value.ts";
import { expectCode } from "../conformance/support.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test("golden bytes of version 1", () => {
  expect(hex(encodeErasureValueHeader({ form: "whole", length: 3 }))).toBe("4556010103000000");
  expect(hex(encodeErasureValueHeader({ form: "cell", length: 0x12345 }))).toBe("4556010245230100");
});

test("what is encoded is decoded: whole values, and cells of the size that follows from the length", () => {
  const body = Uint8Array.of(9, 8, 7);
  const whole = Buffer.concat([encodeErasureValueHeader({ form: "whole", length: 3 }), body]);
  expect(decodeErasureValue(whole, 4)).toMatchObject({ form: "whole", length: 3 });
  expect(hex(decodeErasureValue(whole, 4).body)).toBe("090807");
  expect(erasureValueCellBytes(10, 4)).toBe(3);
  const cell = Buffer.concat([encodeErasureValueHeader({ form: "cell", length: 10 }), body]);
  expect(decodeErasureValue(cell, 4)).toMatchObject({ form: "cell", length: 10 });
});

test("every other byte string: CORRUPT or VERSION", async () => {
  const good = Buffer.concat([encodeErasureValueHeader({ form: "whole", length: 3 }), Uint8Array.of(1, 2, 3)]);
  const changed = (offset: number, byte: number) => Buffer.from(good).fill(byte, offset, offset + 1);
  const wrong = [good.subarray(0, 7), good.subarray(0, 10), changed(0, 0), changed(3, 0), changed(3, 3), changed(4, 4)];
  for (const bytes of wrong) await expectCode("CORRUPT", () => decodeErasureValue(bytes, 4));
  await expectCode("CORRUPT", () => decodeErasureValue(changed(7, 0xff), 4));
  await expectCode("VERSION", () => decodeErasureValue(changed(2, 2), 4));
  expect(() => encodeErasureValueHeader({ form: "whole", length: MAX_SINGLE_VALUE_BYTES + 1 })).toThrow();
});
