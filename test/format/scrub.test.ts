import { expect, test } from "bun:test";
import { decodeScrubMark, encodeScrubMark, type ScrubMark } from "../../src/format/scrub.ts";

const MARK: ScrubMark = {
  startedAtMs: 0x1_0000_0001,
  container: 2,
  now: { bytes: 3, damaged: 4, repaired: 5, lost: 6 },
  finishedAtMs: 7,
  last: { bytes: 8, damaged: 9, repaired: 10, lost: 11 },
  passes: 12,
  sinceMs: 13,
  isStopped: true,
};

test("a mark has golden bytes, and is read back", () => {
  const numbers = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 1];
  const golden = `0100000001000000${numbers.map((number) => number.toString(16).padStart(2, "0").padEnd(16, "0")).join("")}`;
  expect(encodeScrubMark(MARK).toString("hex")).toBe(golden);
  expect(decodeScrubMark(encodeScrubMark(MARK))).toEqual(MARK);
});

test("a mark of another length, or with impossible numbers, is damage", () => {
  expect(() => decodeScrubMark(encodeScrubMark(MARK).subarray(8))).toThrow("it is damaged");
  expect(() => decodeScrubMark(Buffer.alloc(14 * 8, 0xff))).toThrow("it is damaged");
});
