/**
 * Error replies: golden bytes, every code there and back, and replies that are none.
 */
import { expect, test } from "bun:test";
import { DaosError, ERROR_CODES, type ErrorCode } from "../../src/base/errors.ts";
import { MAX_ERROR_MESSAGE_BYTES } from "../../src/base/limits.ts";
import { decodeCbor, encodeCbor } from "../../src/format/cbor.ts";
import { decodeErrorReply, encodeErrorReply } from "../../src/format/error-reply.ts";

const GOLDEN = "a264636f646505676d6573736167657343616e6e6f742077726974653a2066756c6c2e";

test("has the bytes of version 1", () => {
  const bytes = encodeErrorReply(new DaosError("NO_SPACE", "Cannot write: full."));
  expect(Buffer.from(bytes).toString("hex")).toBe(GOLDEN);
});

test("every code comes back as itself, with its message", () => {
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    const error = decodeErrorReply(encodeErrorReply(new DaosError(code, `Cannot ${code}: ü.`)));
    expect([error.code, error.message]).toEqual([code, `Cannot ${code}: ü.`]);
  }
});

test("a code of a newer server becomes PROTOCOL and keeps the message", () => {
  const error = decodeErrorReply(encodeCbor({ code: 999, message: "Cannot: new." }));
  expect(error.code).toBe("PROTOCOL");
  expect(error.message).toContain("Cannot: new.");
});

test("a message over the limit is cut to it, never in the middle of a character", () => {
  for (const message of ["x".repeat(10_000), "ü".repeat(5_000), `x${"€".repeat(5_000)}`, `xx${"€".repeat(5_000)}`]) {
    const reply = decodeCbor(encodeErrorReply(new DaosError("IO", message))) as { message: string };
    expect(Buffer.byteLength(reply.message)).toBeLessThanOrEqual(MAX_ERROR_MESSAGE_BYTES);
    expect(Buffer.byteLength(reply.message)).toBeGreaterThan(MAX_ERROR_MESSAGE_BYTES - 12);
    expect(reply.message.endsWith("...")).toBe(true);
    expect(message.startsWith(reply.message.slice(0, -4))).toBe(true);
  }
  const fitting = "y".repeat(MAX_ERROR_MESSAGE_BYTES);
  expect(decodeErrorReply(encodeErrorReply(new DaosError("IO", fitting))).message).toBe(fitting);
});

test("bytes that are no error reply become PROTOCOL", () => {
  for (const bytes of [
    new Uint8Array(0),
    new Uint8Array([0xff]),
    encodeCbor(null),
    encodeCbor({ code: "5", message: "" }),
    encodeCbor([]),
  ]) {
    expect(decodeErrorReply(bytes).code).toBe("PROTOCOL");
  }
});
