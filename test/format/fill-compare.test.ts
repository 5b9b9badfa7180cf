import { expect, test } from "bun:test";
import {
  type CompareAnswer,
  type CompareRequest,
  decodeCompareAnswer,
  decodeCompareRequest,
  encodeCompareAnswer,
  encodeCompareRequest,
  SAME,
  summaryOf,
} from "../../src/format/fill-compare.ts";

const DIGEST = Buffer.alloc(16, 0xab);
const SUMMARY: CompareRequest = { after: "", upTo: "ab", dkeys: DIGEST };
const LIST: CompareRequest = {
  after: "a",
  upTo: "\xff",
  dkeys: [
    { prefix: "b\0", digest: DIGEST },
    { prefix: "c", digest: undefined },
  ],
};
const ANSWER: CompareAnswer = { isSame: false, upTo: "c", same: [true, false], others: ["bb"] };

function codeOf(work: () => unknown): string {
  try {
    work();
    return "ok";
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test("questions and answers have golden bytes", () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  const digest = "ab".repeat(16);
  expect(hex(encodeCompareRequest(SUMMARY))).toBe(`01${"0000"}${"0200"}6162${digest}`);
  expect(hex(encodeCompareRequest(LIST))).toBe(
    `00${"0100"}61${"0100"}ff${"02000000"}${"0200"}620001${digest}${"0100"}6300`,
  );
  expect(hex(encodeCompareAnswer(SAME))).toBe("01");
  expect(hex(encodeCompareAnswer(ANSWER))).toBe(`00${"0100"}63${"02000000"}0100${"01000000"}${"0200"}6262`);
});

test("questions and answers decode to what was encoded; cut off, or longer, they are refused", () => {
  for (const request of [SUMMARY, LIST]) {
    const bytes = encodeCompareRequest(request);
    expect(decodeCompareRequest(bytes)).toEqual(request);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(codeOf(() => decodeCompareRequest(bytes.subarray(0, length)))).toBe("INVALID_ARGUMENT");
    }
    expect(codeOf(() => decodeCompareRequest(Buffer.concat([bytes, Uint8Array.of(0)])))).toBe("INVALID_ARGUMENT");
  }
  for (const answer of [SAME, ANSWER]) {
    const bytes = encodeCompareAnswer(answer);
    expect(decodeCompareAnswer(bytes)).toEqual(answer);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(codeOf(() => decodeCompareAnswer(bytes.subarray(0, length)))).toBe("INVALID_ARGUMENT");
    }
  }
});

test("a summary tells prefixes and digests apart, and there is none without all digests", () => {
  const other = Buffer.alloc(16, 0xac);
  const of = (...dkeys: [string, Uint8Array][]): string =>
    Buffer.from(summaryOf(dkeys.map(([prefix, digest]) => ({ prefix, digest })))!).toString("hex");
  const all = [
    of(),
    of(["a", DIGEST]),
    of(["b", DIGEST]),
    of(["a", other]),
    of(["a", DIGEST], ["b", DIGEST]),
    of(["b", DIGEST], ["a", DIGEST]),
  ];
  expect(new Set(all).size).toBe(all.length);
  expect(summaryOf([{ prefix: "a", digest: undefined }])).toBeUndefined();
});
