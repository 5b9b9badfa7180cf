/**
 * docs/protocol.md says what the program does: opcodes, offsets, limits, and example bytes.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ByteString } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/checksum.ts";
import { EPOCH_NONE } from "../../src/base/epoch.ts";
import { ERROR_CODES } from "../../src/base/errors.ts";
import * as limits from "../../src/base/limits.ts";
import { objectIdFromBytes } from "../../src/base/object-id.ts";
import { NO_REQUEST_ID, decodeObjectRequest } from "../../src/format/object-request.ts";
import { Opcode } from "../../src/format/operations.ts";
import { encodeHello } from "../../src/rpc/hello.ts";
import { frameBytes } from "./harness.ts";

const document = readFileSync(join(import.meta.dir, "../../docs/protocol.md"), "utf8");

/** The bytes of the example of this name. */
function example(name: string): Buffer {
  const block = new RegExp(`<!-- example: ${name} -->\\n\`\`\`\\n([^\`]*)\`\`\``).exec(document);
  return Buffer.from((block?.[1] ?? "").replaceAll(/\s/g, ""), "hex");
}

test("names every operation with its opcode, and no other", () => {
  const rows = [...document.matchAll(/^\| (\d+) \| `(\w+)` \|/gm)].map(([, opcode, name]) => [name!, Number(opcode)]);
  expect(rows).toEqual(Object.entries(Opcode));
});

test("shows a hello frame as it is sent", () => {
  expect(example("hello").toString("hex")).toBe(
    frameBytes({ opcode: Opcode.hello }, encodeHello("daos")).toString("hex"),
  );
});

test("shows an update's arguments as they are read", () => {
  expect(decodeObjectRequest(example("update"))).toEqual({
    handle: 1,
    flags: 0,
    oid: objectIdFromBytes(Uint8Array.from({ length: 16 }, (_, index) => index)),
    epoch: EPOCH_NONE,
    recordIndex: 0,
    recordCount: 0,
    recordBytes: 0,
    ...NO_REQUEST_ID,
    dkey: "key" as ByteString,
    akey: "" as ByteString,
  });
});

test("states the limits and numbers that hold", () => {
  const stated: [string, unknown][] = [
    ["arguments length | at most 262,144", limits.MAX_FRAME_ARGUMENTS_BYTES === 262_144],
    ["together at most 9,437,184", limits.MAX_FRAME_BODY_BYTES === 9_437_184],
    ["4,096 requests under way", limits.MAX_CONNECTION_INFLIGHT_REQUESTS === 4_096],
    ["32 MiB of requests", limits.MAX_CONNECTION_INFLIGHT_BYTES === 32 * limits.MIB],
    ["16 MiB of replies", limits.MAX_CONNECTION_QUEUED_REPLY_BYTES === 16 * limits.MIB],
    ["at most 512 MiB", limits.MAX_LISTENER_HELD_BYTES === 512 * limits.MIB],
    [
      "64 KiB of it arriving in 30 s",
      limits.FRAME_PROGRESS_BYTES === 65_536 && limits.FRAME_STALL_TIMEOUT_MS === 30_000,
    ],
    ["takes nothing for 60 s", limits.CLIENT_STALL_TIMEOUT_MS === 60_000],
    ["one connection more than 8,192", limits.MAX_CONNECTIONS === 8_192],
    ["at most 4,096 bytes", limits.MAX_ERROR_MESSAGE_BYTES === 4_096],
    ["At most 16\nlevels deep", limits.MAX_CBOR_DEPTH === 16],
    ["A dkey has at most 512\nbytes, an akey 320", limits.MAX_DKEY_BYTES === 512 && limits.MAX_AKEY_BYTES === 320],
    ["(`limit`, at most 1,024)", limits.MAX_ENUMERATION_KEYS === 1_024],
    ["moves at most 4 MiB", limits.MAX_ARRAY_IO_BYTES === 4 * limits.MIB],
    ["a single value has at most 8 MiB", limits.MAX_SINGLE_VALUE_BYTES === 8 * limits.MIB],
    ["`123456789` is `cbf43926`", crc32(Buffer.from("123456789")) === 0xcbf4_3926],
    ["`UNAVAILABLE` (13)", ERROR_CODES.UNAVAILABLE === 13],
    ["`STALE` (18)", ERROR_CODES.STALE === 18],
    ["`OVERLOADED` (21)", ERROR_CODES.OVERLOADED === 21],
    ["`CONFLICT` (20)", ERROR_CODES.CONFLICT === 20],
  ];
  for (const [text, holds] of stated) {
    expect(document).toContain(text);
    expect([text, holds]).toEqual([text, true]);
  }
});
