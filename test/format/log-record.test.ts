import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/checksum.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { BLOCK_BYTES } from "../../src/base/limits.ts";
import {
  decodeLogRecord,
  encodeLogRecord,
  logRecordBytes,
  type LogRecord,
  type RecordReclaim,
  type RecordSnapshots,
  type RecordWrite,
} from "../../src/format/log-record.ts";

const SEED = 1234;
const NO_META = new Uint8Array(0);

function key(text: string): ByteString {
  return `\x00\x00\x00\x01${text}` as ByteString;
}

function encoded(
  writes: readonly RecordWrite[],
  reclaims: readonly RecordReclaim[],
  snapshots: readonly RecordSnapshots[],
): Buffer {
  const length = logRecordBytes(writes, reclaims, snapshots);
  const bytes = Buffer.alloc(length, 0xee);
  encodeLogRecord(bytes, 0, length, SEED, 42, 41, writes, reclaims, snapshots);
  return bytes;
}

/** The decoded writes as they were given. */
function givenWrites(bytes: Buffer, record: LogRecord): RecordWrite[] {
  return record.writes.map(({ key: name, epoch, kind, metaOffset, metaLength, inlineLength, extent }) => {
    const dataOffset = metaOffset + metaLength;
    return {
      key: name,
      epoch,
      kind,
      meta: new Uint8Array(bytes.subarray(metaOffset, dataOffset)),
      ...(inlineLength >= 0 && { inline: new Uint8Array(bytes.subarray(dataOffset, dataOffset + inlineLength)) }),
      ...(extent !== undefined && { extent }),
    };
  });
}

const WRITES: RecordWrite[] = [
  { key: key("k"), epoch: 5 as Epoch, kind: 1, meta: Uint8Array.of(9, 8), inline: new Uint8Array(Buffer.from("hi")) },
  {
    key: key("x"),
    epoch: 0x1_0000_0000 as Epoch,
    kind: 2,
    meta: NO_META,
    extent: { offset: 8192, length: 5000, checksums: Uint32Array.of(1, 2) },
  },
  { key: key("t"), epoch: 6 as Epoch, kind: 3, meta: NO_META },
];
const RECLAIMS: RecordReclaim[] = [{ from: key("a"), to: key("bc"), epoch: 4 as Epoch }];
const SNAPSHOTS: RecordSnapshots[] = [{ container: 1, epochs: [3 as Epoch, 4 as Epoch] }];
const GOLDEN =
  "5a2ec2a3ae0000002a0000000000000029000000000000000300010001000000" +
  "0101050002000000050000000000000002000000000000016b09086869" +
  "0202050000000000000000000100000088130000000000017800200000000000000100000002000000" +
  "030005000000000006000000000000000000000000000001740400000000000000050006000000000161000000016263" +
  "010000000200000003000000000000000400000000000000";

test("log record: golden bytes of version 1", () => {
  const bytes = encoded(WRITES, RECLAIMS, SNAPSHOTS);
  expect(bytes.toString("hex")).toBe(GOLDEN);
  const record = decodeLogRecord(bytes, 0, bytes.length, SEED)!;
  expect({ ...record, writes: [] }).toEqual({
    lengthBytes: 174,
    sequence: 42,
    durableSequence: 41,
    writes: [],
    reclaims: RECLAIMS,
    snapshots: SNAPSHOTS,
    origin: undefined,
    prepared: false,
    moved: false,
    lastMoved: false,
    decisions: [],
  });
  expect(givenWrites(bytes, record)).toEqual(WRITES);
});

test("log record: golden bytes of a durable mark", () => {
  const bytes = Buffer.alloc(32);
  encodeLogRecord(bytes, 0, 32, 0, 1, 0, [], [], []);
  expect(bytes.toString("hex")).toBe("6eb1ea3720000000010000000000000000000000000000000000000000000000");
});

test("log record: under another segment's seed it is none", () => {
  const bytes = Buffer.from(GOLDEN, "hex");
  expect(decodeLogRecord(bytes, 0, bytes.length, SEED + 1)).toBeUndefined();
});

test("log record: any flipped bit makes it none", () => {
  for (let bit = 0; bit < GOLDEN.length * 4; bit += 1) {
    const bytes = Buffer.from(GOLDEN, "hex");
    bytes[bit >>> 3]! ^= 1 << (bit & 7);
    expect(decodeLogRecord(bytes, 0, bytes.length, SEED)).toBeUndefined();
  }
});

test("log record: cut off anywhere it is none", () => {
  const bytes = Buffer.from(GOLDEN, "hex");
  for (let end = 0; end < bytes.length; end += 1) expect(decodeLogRecord(bytes, 0, end, SEED)).toBeUndefined();
});

const epochs = fc.integer({ min: 0, max: 2 ** 53 - 1 }).map((epoch) => epoch as Epoch);
const keys = fc.uint8Array({ minLength: 0, maxLength: 40 }).map((bytes) => key(Buffer.from(bytes).latin1Slice()));
const extents = fc
  .record({ block: fc.nat(1e9), length: fc.integer({ min: 1, max: 5 * BLOCK_BYTES }) })
  .map(({ block, length }) => ({
    offset: block * BLOCK_BYTES,
    length,
    checksums: new Uint32Array(Math.ceil(length / BLOCK_BYTES)).fill(length),
  }));
const writes = fc
  .record({
    key: keys,
    epoch: epochs,
    kind: fc.constantFrom(1 as const, 2 as const, 3 as const),
    meta: fc.uint8Array({ maxLength: 255 }),
    content: fc.oneof(fc.constant(undefined), fc.uint8Array({ maxLength: 300 }), extents),
  })
  .map(({ content, ...write }): RecordWrite => {
    if (content === undefined) return write;
    return content instanceof Uint8Array ? { ...write, inline: content } : { ...write, extent: content };
  });
const reclaims = fc.record({ from: keys, to: keys, epoch: epochs });
const snapshots = fc.record({ container: fc.nat(0xffff_ffff), epochs: fc.array(epochs, { maxLength: 20 }) });

test("log record: what is encoded is decoded", () => {
  fc.assert(
    fc.property(
      fc.array(writes, { maxLength: 5 }),
      fc.array(reclaims, { maxLength: 3 }),
      fc.array(snapshots, { maxLength: 2 }),
      (given, givenReclaims, givenSnapshots) => {
        const bytes = encoded(given, givenReclaims, givenSnapshots);
        const record = decodeLogRecord(bytes, 0, bytes.length, SEED)!;
        const normal = given.map((write) => ({
          ...write,
          meta: new Uint8Array(write.meta),
          ...(write.inline !== undefined && { inline: new Uint8Array(write.inline) }),
        }));
        expect(givenWrites(bytes, record)).toEqual(normal);
        expect(record.reclaims).toEqual(givenReclaims);
        expect(record.snapshots).toEqual(givenSnapshots);
      },
    ),
  );
});

test("log record: a true checksum over arbitrary content gives a record or CORRUPT, never a crash", () => {
  let corrupt = 0;
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 24, maxLength: 200 }), fc.nat(3), fc.nat(2), (body, count, others) => {
      const bytes = Buffer.concat([Buffer.alloc(8), body]);
      bytes.writeUInt32LE(bytes.length, 4);
      bytes.fill(0, 14, 16);
      bytes.fill(0, 22, 30);
      bytes.writeUInt16LE(count === 3 ? 0x10 | 3 : 0, 30);
      bytes.writeUInt16LE(count, 24);
      bytes.writeUInt16LE(others, 26);
      bytes.writeUInt16LE(others, 28);
      bytes.writeUInt32LE(crc32(bytes.subarray(4), SEED), 0);
      try {
        decodeLogRecord(bytes, 0, bytes.length, SEED);
      } catch (error) {
        expect(error).toBeInstanceOf(DaosError);
        expect((error as DaosError).code).toBe("CORRUPT");
        corrupt += 1;
      }
    }),
    { numRuns: 500 },
  );
  expect(corrupt).toBeGreaterThan(100);
});
