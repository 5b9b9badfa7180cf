import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { ENGINE_MESSAGE_LIFETIME_MS } from "../../src/base/limits.ts";
import { openMessage, type SealedMessage, sealMessage } from "../../src/engine/engine-messages.ts";
import { encodeCbor } from "../../src/format/cbor.ts";
import { hmac } from "../control/harness.ts";

const KEY = new Uint8Array(32).fill(7);
const NOW_MS = 1_767_323_045_000;
const body = { sentAtMs: NOW_MS, rank: 3 };

function codeOf(message: SealedMessage, opcode = 26, key = KEY, nowMs = NOW_MS): string {
  try {
    return openMessage(opcode, message, hmac, key, nowMs).isSigned ? "signed" : "unsigned";
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

test("a message opens with the key it was sealed with, as the operation it was sealed for, in its time", () => {
  const message = sealMessage(26, body, hmac, KEY);
  expect(openMessage(26, message, hmac, KEY, NOW_MS)).toEqual({ body, isSigned: true });
  expect(codeOf(message, 27)).toBe("PERMISSION");
  expect(codeOf(message, 26, new Uint8Array(32))).toBe("PERMISSION");
  expect(codeOf(message, 26, KEY, NOW_MS + ENGINE_MESSAGE_LIFETIME_MS + 1)).toBe("PERMISSION");
  expect(codeOf(message, 26, KEY, NOW_MS - ENGINE_MESSAGE_LIFETIME_MS - 1)).toBe("PERMISSION");
});

test("every flipped bit of the body or the tag is refused", () => {
  const message = sealMessage(26, body, hmac, KEY);
  for (const part of ["args", "payload"] as const) {
    for (let bit = 0; bit < message[part].length * 8; bit += 1) {
      const damaged = Uint8Array.from(message[part]);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(["PERMISSION", "PROTOCOL"]).toContain(codeOf({ ...message, [part]: damaged }));
    }
  }
});

test("without a key it is not signed; what is no message is refused", () => {
  expect(codeOf(sealMessage(24, body, hmac, undefined))).toBe("unsigned");
  for (const value of [undefined, null, 5, "tag", [], {}, { tag: 5 }, { tag: "x" }]) {
    expect(codeOf({ args: encodeCbor(value), payload: encodeCbor(body) })).toBe("PERMISSION");
  }
  for (const value of [null, 5, [], {}, { sentAtMs: "x" }]) {
    expect(codeOf(sealMessage(26, value as object, hmac, KEY))).toBe("PERMISSION");
  }
});
