import { expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import { decodeContainers, decodeFoldedTo, encodeContainers, encodeFoldedTo } from "../../src/format/folded-to.ts";

const CONTAINERS = [1, 0xffff_ffff];
const EPOCHS = [0, 0x11_2233_4455] as Epoch[];

test("question and answer have golden bytes, and are read back", () => {
  expect(encodeContainers(CONTAINERS).toString("hex")).toBe("01000000ffffffff");
  expect(encodeFoldedTo(EPOCHS).toString("hex")).toBe("00000000000000005544332211000000");
  expect(decodeContainers(encodeContainers(CONTAINERS))).toEqual(CONTAINERS);
  expect(decodeFoldedTo(encodeFoldedTo(EPOCHS), 2)).toEqual(EPOCHS);
});

test("lengths and numbers that cannot be are refused", () => {
  expect(() => decodeContainers(Buffer.alloc(5))).toThrow("cannot be");
  expect(() => decodeFoldedTo(Buffer.alloc(8), 2)).toThrow("cannot be");
  expect(() => decodeFoldedTo(Buffer.alloc(8, 0xff), 1)).toThrow("cannot be");
});
