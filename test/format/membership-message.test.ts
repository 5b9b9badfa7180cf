import { createHmac } from "node:crypto";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseUuid } from "../../src/base/uuid.ts";
import {
  decodeMembershipMessage,
  encodeMembershipMessage,
  MAX_ACCUSERS,
  MAX_MEMBER_UPDATES,
  MAX_MEMBERSHIP_BYTES,
  type MembershipMessage,
  membershipMessageBytes,
  type MemberUpdate,
} from "../../src/format/membership-message.ts";

const SYSTEM = parseUuid("00112233-4455-4677-8899-aabbccddeeff")!;
const OTHER_SYSTEM = parseUuid("10112233-4455-4677-8899-aabbccddeeff")!;
const signer = (key: string) => (bytes: Uint8Array) => createHmac("sha256", key).update(bytes).digest();
const SIGN = signer("key");

const MESSAGE: MembershipMessage = {
  kind: 3,
  from: 0x0102,
  to: 0x0304,
  start: 1_700_000_000_123,
  refutation: 9,
  sequence: 0xa1b2c3d4,
  subject: 0x0506,
  updates: [
    { rank: 7, start: 5, refutation: 2, state: 1, accusers: [0x0102, 3] },
    { rank: 0xffff, start: 1_700_000_000_000, refutation: 0, state: 3, accusers: [] },
  ],
};
const GOLDEN =
  "4453574d01030200" +
  "02010403d4c3b2a1" +
  "7b68e5cf8b010000" +
  "0900000006050000" +
  "00112233445546778899aabbccddeeff" +
  "07000102020000000500000000000000" +
  "0201030000000000" +
  "ffff0300000000000068e5cf8b010000" +
  "0000000000000000";

const encode = (message: MembershipMessage): Buffer => encodeMembershipMessage(message, SYSTEM, SIGN);
const decode = (bytes: Uint8Array): MembershipMessage | undefined => decodeMembershipMessage(bytes, SYSTEM, SIGN);
/** With a right tag behind what was changed. */
function signed(bytes: Buffer): Buffer {
  const body = bytes.subarray(0, bytes.length - 16);
  return Buffer.concat([body, SIGN(body).subarray(0, 16)]);
}

const short = fc.nat(0xffff);
const word = fc.nat(0xffff_ffff);
const start = fc.maxSafeNat();
const anyUpdate: fc.Arbitrary<MemberUpdate> = fc.record({
  rank: short,
  start,
  refutation: word,
  state: fc.constantFrom(0, 1, 2, 3),
  accusers: fc.uniqueArray(short, { maxLength: MAX_ACCUSERS }),
});
const anyMessage: fc.Arbitrary<MembershipMessage> = fc.record({
  kind: fc.constantFrom(1, 2, 3, 4, 5, 6, 7),
  from: short,
  to: short,
  start,
  refutation: word,
  sequence: word,
  subject: short,
  updates: fc.array(anyUpdate, { maxLength: MAX_MEMBER_UPDATES }),
});

describe("membership message", () => {
  test("has golden bytes and a tag behind them", () => {
    const bytes = encode(MESSAGE);
    expect(bytes.subarray(0, bytes.length - 16).toString("hex")).toBe(GOLDEN);
    expect(decode(bytes)).toEqual(MESSAGE);
    expect(membershipMessageBytes(MAX_MEMBER_UPDATES)).toBeLessThanOrEqual(MAX_MEMBERSHIP_BYTES);
    expect(membershipMessageBytes(MAX_MEMBER_UPDATES + 1)).toBeGreaterThan(MAX_MEMBERSHIP_BYTES);
  });

  test("any message is read back as it was written", () => {
    fc.assert(fc.property(anyMessage, (message) => expect(decode(encode(message))).toEqual(message)));
  });

  test("of another system, under another key, or with any byte changed, cut or added it is dropped", () => {
    const bytes = encode(MESSAGE);
    expect(decodeMembershipMessage(bytes, OTHER_SYSTEM, SIGN)).toBeUndefined();
    expect(decodeMembershipMessage(bytes, SYSTEM, signer("other"))).toBeUndefined();
    for (let index = 0; index < bytes.length; index += 1) {
      const damaged = Buffer.from(bytes);
      damaged[index] = damaged[index]! ^ 0x40;
      expect(decode(damaged)).toBeUndefined();
      expect(decode(bytes.subarray(0, index))).toBeUndefined();
    }
    expect(decode(Buffer.concat([bytes, Buffer.alloc(1)]))).toBeUndefined();
    expect(decode(Buffer.concat([bytes, Buffer.alloc(24)]))).toBeUndefined();
  });

  test("well signed but with what is not allowed in it it is dropped", () => {
    const changes: readonly (readonly [name: string, at: number, byte: number])[] = [
      ["another version", 4, 2],
      ["no kind", 5, 0],
      ["an unknown kind", 5, 8],
      ["fewer updates than there are", 6, 1],
      ["more updates than there are", 6, 3],
      ["a start that is no safe integer", 22, 0x20],
      ["a zero that is none", 30, 1],
      ["an unknown state", 50, 4],
      ["too many accusers", 51, 5],
      ["an accuser behind the last", 48 + 20, 1],
      ["an accuser twice", 48 + 16, 3],
    ];
    for (const [name, at, byte] of changes) {
      const bytes = encode(MESSAGE);
      bytes[at] = byte;
      if (name === "an accuser twice") bytes[at + 1] = 0;
      expect([name, decode(signed(bytes))]).toEqual([name, undefined]);
    }
    expect(decode(signed(encode(MESSAGE)))).toEqual(MESSAGE);
  });

  test("any bytes at all are dropped or are a message, signed ones too", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: MAX_MEMBERSHIP_BYTES + 8 }), (bytes) => {
        expect(decode(bytes)).toBeUndefined();
      }),
    );
    fc.assert(
      fc.property(
        anyMessage,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (message, edits) => {
          const bytes = encode(message);
          for (const [at, byte] of edits) bytes[at % (bytes.length - 16)] = byte;
          const resigned = signed(bytes);
          const decoded = decode(resigned);
          if (decoded !== undefined) expect(encode(decoded)).toEqual(resigned);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
