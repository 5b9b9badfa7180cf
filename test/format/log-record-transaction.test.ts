import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/checksum.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { decodeLogRecord, encodeLogRecord, logRecordBytes, type RecordWrite } from "../../src/format/log-record.ts";
import type { RecordTransaction } from "../../src/format/log-record-transaction.ts";
import { expectCode } from "../store/expect-code.ts";

const SEED = 1234;
const KEY = "\x00\x00\x00\x01t" as ByteString;
const WRITES: RecordWrite[] = [{ key: KEY, epoch: 6 as Epoch, kind: 3, meta: new Uint8Array(0) }];

const TRANSACTION: RecordTransaction = {
  origin: { client: 0x1_0000_0007, sequence: 9, firstIncomplete: 5 },
  prepared: true,
  moved: true,
  lastMoved: true,
  decisions: [
    { client: 7, sequence: 0x10_0000_0000_0001, kind: 1, closed: false },
    { client: 8, sequence: 3, kind: 2, closed: true },
  ],
};
const GOLDEN_TRANSACTION =
  "d4ae6c136d0000002a0000000000000029000000000000000100000000002f000700000001000000090000000000000004000000030005000000000006000000000000000000000000000001740700000000000000010000000000100108000000000000000300000000000006";

function encodedTransaction(transaction: RecordTransaction, given: readonly RecordWrite[] = WRITES): Buffer {
  const length = logRecordBytes(given, [], [], transaction);
  const bytes = Buffer.alloc(length);
  encodeLogRecord(bytes, 0, length, SEED, 42, 41, given, [], [], transaction);
  return bytes;
}

test("log record: golden bytes of version 2, an origin, flags and decisions", () => {
  const bytes = encodedTransaction(TRANSACTION);
  expect(bytes.toString("hex")).toBe(GOLDEN_TRANSACTION);
  const record = decodeLogRecord(bytes, 0, bytes.length, SEED)!;
  expect(record.writes.map(({ key, epoch, kind }) => ({ key, epoch, kind }))).toEqual([
    { key: KEY, epoch: 6 as Epoch, kind: 3 },
  ]);
  const { origin, prepared, moved, lastMoved, decisions } = record;
  expect({ origin, prepared, moved, lastMoved, decisions }).toEqual(TRANSACTION as never);
});

test("log record: a prepared record without origin and a moved one that is not prepared are CORRUPT", () => {
  for (const flags of [2, 4, 5, 6, 8, 9, 11, 12, 14]) {
    const bytes = encodedTransaction({});
    bytes.writeUInt16LE(flags, 30);
    bytes.writeUInt32LE(crc32(bytes.subarray(4), SEED), 0);
    expectCode("CORRUPT", () => decodeLogRecord(bytes, 0, bytes.length, SEED));
  }
});

test("log record: what is encoded of transactions is decoded", () => {
  const numbers = fc.integer({ min: 1, max: 2 ** 53 - 1 });
  const origins = fc
    .record({ client: numbers, sequence: numbers, lag: fc.nat(5000) })
    .map(({ client, sequence, lag }) => ({ client, sequence, firstIncomplete: Math.max(0, sequence - lag) }));
  const decided = fc.record({
    client: numbers,
    sequence: numbers,
    kind: fc.constantFrom(1 as const, 2 as const),
    closed: fc.boolean(),
  });
  const transactions = fc.record({
    origin: fc.option(origins, { nil: undefined }),
    prepared: fc.boolean(),
    moved: fc.boolean(),
    decisions: fc.array(decided, { maxLength: 40 }),
  });
  fc.assert(
    fc.property(transactions, ({ origin, prepared, moved, decisions }) => {
      const given = { origin, prepared: prepared && origin !== undefined, decisions };
      const all = { ...given, moved: moved && given.prepared };
      const bytes = encodedTransaction(all);
      const found = decodeLogRecord(bytes, 0, bytes.length, SEED)!;
      expect({ origin: found.origin, prepared: found.prepared, decisions: found.decisions }).toEqual(given);
      expect(found.moved).toBe(all.moved);
      expect(found.writes.length).toBe(1);
    }),
  );
});
