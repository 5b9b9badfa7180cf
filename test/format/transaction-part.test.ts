import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import type { ObjectId } from "../../src/base/object-id.ts";
import { decodeCbor, encodeCbor } from "../../src/format/cbor.ts";
import {
  decodePartWrites,
  decodeStateQueries,
  decodeStates,
  decodeTransactionDecision,
  decodeTransactionPart,
  decodeTransactionStep,
  encodePartWrites,
  encodeStateQueries,
  encodeStates,
  encodeTransactionDecision,
  encodeTransactionPart,
  encodeTransactionStep,
  type PartWrite,
  type TransactionDecision,
  type TransactionPart,
  type TransactionStep,
} from "../../src/format/transaction-part.ts";

const OID = "\x00\x03\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff" as ObjectId;
const KEY = "k\x00\xff" as ByteString;
const ID = { client: 0x1234_5678_9abc, sequence: 3 };
const PLACE = { oid: OID, dkey: KEY };
const PART: TransactionPart = { id: ID, primary: PLACE, resolveSequence: 4 };
const OBJECT_PART: TransactionPart = { ...PART, punchesUnder: 300 };
const DECISION: TransactionDecision = { id: ID, epoch: 99 as Epoch, forgetSequence: 8, participants: [PLACE] };
const RANGE = { recordIndex: 5, recordCount: 1, recordBytes: 2 };
const REST = { address: 2 ** 40, bytes: Uint8Array.of(5) };
const WRITES: PartWrite[] = [
  { kind: "update", akey: KEY, value: Uint8Array.of(1, 2), replaces: true },
  { kind: "write", akey: "a" as ByteString, ...RANGE, value: Uint8Array.of(3, 4) },
  { kind: "punchRecords", akey: "b" as ByteString, ...RANGE, value: new Uint8Array(0) },
  { kind: "punchRecords", akey: "d" as ByteString, ...RANGE, value: new Uint8Array(0), rest: [REST, REST] },
  { kind: "punchAkey", akey: "c" as ByteString },
];
const STEPS: TransactionStep[] = [
  {
    kind: "prepare",
    part: { ...PART, primary: undefined },
    writes: WRITES,
    reads: [
      { kind: "value", akey: KEY, epoch: 0 as Epoch },
      { kind: "records", akey: KEY, ...RANGE },
      { kind: "akeys" },
    ],
  },
  { kind: "prepare", part: { ...PART, punchesUnder: 7, endBytes: 4_000 }, writes: [], reads: [] },
  { kind: "commit", decision: DECISION },
  { kind: "resolve", id: ID },
  { kind: "sweep", id: ID },
  { kind: "forget", id: ID },
];

/** What lies on a medium, of version 1. */
const GOLDEN_PART =
  "a46776657273696f6e01626964a266636c69656e74fb42b23456789abc006873657175656e636503677072696d617279a2636f696450000302" +
  "030405060708090a0b0c0d0eff64646b6579436b00ff6f7265736f6c766553657175656e636504";
const GOLDEN_OBJECT_PART =
  "a56776657273696f6e01626964a266636c69656e74fb42b23456789abc006873657175656e636503677072696d617279a2636f6964500003" +
  "02030405060708090a0b0c0d0eff64646b6579436b00ff6f7265736f6c766553657175656e6365046c70756e63686573556e64657219012c";
const GOLDEN_DECISION =
  "a56776657273696f6e01626964a266636c69656e74fb42b23456789abc006873657175656e6365036565706f636818636e666f726765745365" +
  "7175656e6365086c7061727469636970616e747381a2636f696450000302030405060708090a0b0c0d0eff64646b6579436b00ff";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("the golden bytes of a part and of a decision are written and read", () => {
  expect(hex(encodeTransactionPart(PART))).toBe(GOLDEN_PART);
  expect(decodeTransactionPart(Buffer.from(GOLDEN_PART, "hex"))).toEqual(PART);
  expect(hex(encodeTransactionPart(OBJECT_PART))).toBe(GOLDEN_OBJECT_PART);
  expect(decodeTransactionPart(Buffer.from(GOLDEN_OBJECT_PART, "hex"))).toEqual(OBJECT_PART);
  expect(hex(encodeTransactionDecision(DECISION))).toBe(GOLDEN_DECISION);
  expect(decodeTransactionDecision(Buffer.from(GOLDEN_DECISION, "hex"))).toEqual(DECISION);
});

test("steps, writes, queries and states come back as they were", () => {
  for (const step of STEPS) expect(decodeTransactionStep(encodeTransactionStep(step))).toEqual(step);
  expect(decodePartWrites(encodePartWrites(WRITES))).toEqual(WRITES);
  const queries = [{ ...PLACE, container: 7, id: ID }];
  expect(decodeStateQueries(encodeStateQueries(queries))).toEqual(queries);
  expect(decodeStates(encodeStates([0, 1, 2 ** 52]), 3)).toEqual([0, 1, 2 ** 52]);
});

test("what is damaged on the medium is CORRUPT, what a peer sends wrong INVALID_ARGUMENT", () => {
  const codeOf = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      if (error instanceof DaosError) return error.code;
    }
    return "nothing";
  };
  const newer = encodeCbor({ ...(decodeCbor(encodeTransactionPart(PART)) as object), version: 2 });
  expect(codeOf(() => decodeTransactionPart(newer))).toBe("CORRUPT");
  expect(codeOf(() => decodeTransactionPart(new Uint8Array(3)))).toBe("CORRUPT");
  expect(codeOf(() => decodeTransactionDecision(encodeTransactionPart(PART)))).toBe("CORRUPT");
  expect(codeOf(() => decodeTransactionStep(encodeCbor({ kind: "other" })))).toBe("INVALID_ARGUMENT");
  expect(codeOf(() => decodeTransactionStep(encodeCbor({ kind: "resolve", id: { client: 0, sequence: 1 } })))).toBe(
    "INVALID_ARGUMENT",
  );
  expect(codeOf(() => decodeStates(encodeStates([1]), 2))).toBe("INVALID_ARGUMENT");
});
