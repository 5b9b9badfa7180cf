/**
 * Transactions over several dkeys, as they travel and as they lie on the medium: CBOR, checked after decoding.
 *
 *   step      payload of `transactionStep`, sent to the leader of a dkey; the request's epoch is the snapshot that was
 *             read (prepare), or the epoch of the transaction (commit, resolve; 0: it is undone)
 *   part      what a dkey keeps from prepare to resolve: whose it is, and where to ask what became of that; and beside it
 *             the writes. A part that punches an object stands for all dkeys of the object with the same leader
 *   sweep     payload of `transactionStep` that a leader gives itself: the punch of one of those dkeys
 *   decision  what the first dkey keeps from commit to forget: that the transaction happened, and where it is to be told
 *   query     payload of `transactionState` among targets; its reply has a number for each: 0 for nothing known, 1 for
 *             prepared, else the epoch at which the transaction was committed
 */
import type { DkeyPlace } from "../base/key-place.ts";
import { z } from "zod";
import { byteString, bytesOf, type ByteString } from "../base/bytes.ts";
import type { DtxId } from "../base/dtx-id.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { ArrayRun } from "../base/extent-runs.ts";
import { MAX_AKEY_BYTES, MAX_DKEY_BYTES, MAX_TRANSACTION_OPERATIONS, MAX_TRANSACTION_PARTS } from "../base/limits.ts";
import { OBJECT_ID_BYTES, type ObjectId } from "../base/object-id.ts";
import { decodeCbor, encodeCbor } from "./cbor.ts";

/** Version of what lies on the medium. */
const PART_VERSION = 1;
/** Queries of one message. */
export const MAX_STATE_QUERIES = 256;
/** Two stripes at the ends of a punch, of each what is before and after it. */
const MAX_PUNCH_REST_RUNS = 4;
/** Answers of `transactionState` that are no epochs. */
export const UNKNOWN_STATE = 0;
export const PREPARED_STATE = 1;

/** What the transaction saw of a dkey at its snapshot, and must still be so. `epoch` 0: there was no value. */
export type PartRead =
  | { readonly kind: "value"; readonly akey: ByteString; readonly epoch: Epoch }
  | {
      readonly kind: "records";
      readonly akey: ByteString;
      readonly recordIndex: number;
      readonly recordCount: number;
      readonly recordBytes: number;
    }
  /** Which akeys there are. */
  | { readonly kind: "akeys" };

/** At most one for each akey of the dkey, or one punchDkey alone. */
export type PartWrite =
  /** `replaces`: the akey may hold an array. */
  | { readonly kind: "update"; readonly akey: ByteString; readonly value: Uint8Array; readonly replaces: boolean }
  | {
      readonly kind: "write" | "punchRecords";
      readonly akey: ByteString;
      readonly recordIndex: number;
      readonly recordCount: number;
      readonly recordBytes: number;
      /** Empty for punchRecords. */
      readonly value: Uint8Array;
      /** Of a punch of an erasure-coded array, as its leader keeps it: see RedundancyScheme.planPunchRest. */
      readonly rest?: readonly ArrayRun[] | undefined;
    }
  | { readonly kind: "punchAkey"; readonly akey: ByteString }
  | { readonly kind: "punchDkey" };

export interface TransactionPart {
  readonly id: DtxId;
  /** The dkey where it is decided; undefined: this one. */
  readonly primary: DkeyPlace | undefined;
  /** Number of the client's under which the part is resolved. */
  readonly resolveSequence: number;
  /**
   * The part is the punch of the object, of all its dkeys that have this one's leader: the version of the pool map by which
   * the client chose a dkey for each leader.
   */
  readonly punchesUnder?: number | undefined;
  /** From the client, at the primary: bytes of the decision. Where it is kept: of the record that ends it, at most. */
  readonly endBytes?: number | undefined;
}

export interface TransactionDecision {
  readonly id: DtxId;
  readonly epoch: Epoch;
  /** Number of the client's under which it is forgotten. */
  readonly forgetSequence: number;
  /** The other dkeys. */
  readonly participants: readonly DkeyPlace[];
}

export type TransactionStep =
  | {
      readonly kind: "prepare";
      readonly part: TransactionPart;
      readonly reads: readonly PartRead[];
      readonly writes: readonly PartWrite[];
    }
  /** At the primary: from now on it happened, at the request's epoch. */
  | { readonly kind: "commit"; readonly decision: TransactionDecision }
  | { readonly kind: "resolve"; readonly id: DtxId }
  /** Among targets: the dkey is punched with its object, at the request's epoch. */
  | { readonly kind: "sweep"; readonly id: DtxId }
  | { readonly kind: "forget"; readonly id: DtxId };

export interface StateQuery extends DkeyPlace {
  readonly container: number;
  readonly id: DtxId;
}

const count = z.int().nonnegative();
const positive = z.int().positive();
const epoch = z.custom<Epoch>((value) => Number.isSafeInteger(value) && (value as number) >= 0, "expected an epoch");
const data = z.custom<Uint8Array>((value) => value instanceof Uint8Array, "expected bytes");

function key(maxBytes: number, leastBytes = 0) {
  const fits = (value: unknown): boolean =>
    value instanceof Uint8Array && value.length <= maxBytes && value.length >= leastBytes;
  return z.custom<Uint8Array>(fits, "expected a key").transform((bytes) => byteString(bytes));
}

const id = z.object({ client: positive, sequence: positive });
const place = z.object({
  oid: key(OBJECT_ID_BYTES, OBJECT_ID_BYTES).transform((oid) => oid as string as ObjectId),
  dkey: key(MAX_DKEY_BYTES),
});
const akey = key(MAX_AKEY_BYTES);
const records = { akey, recordIndex: count, recordCount: positive, recordBytes: positive };
const read = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("value"), akey, epoch }),
  z.object({ kind: z.literal("records"), ...records }),
  z.object({ kind: z.literal("akeys") }),
]);
const rest = z
  .array(z.object({ address: count, bytes: data }))
  .max(MAX_PUNCH_REST_RUNS)
  .optional();
const write = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("update"), akey, value: data, replaces: z.boolean() }),
  z.object({ kind: z.enum(["write", "punchRecords"]), ...records, value: data, rest }),
  z.object({ kind: z.literal("punchAkey"), akey }),
  z.object({ kind: z.literal("punchDkey") }),
]);
const part = z
  .object({
    version: z.literal(PART_VERSION),
    id,
    primary: place.optional(),
    resolveSequence: positive,
    punchesUnder: positive.optional(),
    endBytes: positive.optional(),
  })
  .transform(({ id: name, primary, resolveSequence, punchesUnder, endBytes }): TransactionPart => {
    return { id: name, primary, resolveSequence, ...optional({ punchesUnder, endBytes }) };
  });
const writes = z.array(write).max(MAX_TRANSACTION_OPERATIONS);
const decision = z
  .object({
    version: z.literal(PART_VERSION),
    id,
    epoch,
    forgetSequence: positive,
    participants: z.array(place).max(MAX_TRANSACTION_PARTS),
  })
  .transform(({ version: _version, ...rest }) => rest);
const step = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("prepare"), part, writes, reads: z.array(read).max(MAX_TRANSACTION_OPERATIONS) }),
  z.object({ kind: z.literal("commit"), decision }),
  z.object({ kind: z.literal("resolve"), id }),
  z.object({ kind: z.literal("sweep"), id }),
  z.object({ kind: z.literal("forget"), id }),
]);
const queries = z.array(place.extend({ container: count, id })).max(MAX_STATE_QUERIES);

export function encodeTransactionStep(value: TransactionStep): Uint8Array {
  switch (value.kind) {
    case "prepare":
      return encodeCbor({
        kind: value.kind,
        part: partFields(value.part),
        reads: value.reads.map(withBytes),
        writes: value.writes.map(withBytes),
      });
    case "commit":
      return encodeCbor({ kind: value.kind, decision: decisionFields(value.decision) });
    case "resolve":
    case "sweep":
    case "forget":
      return encodeCbor(value);
    default:
      return value satisfies never;
  }
}

/** Throws INVALID_ARGUMENT. */
export function decodeTransactionStep(bytes: Uint8Array): TransactionStep {
  return received(step, bytes);
}

export function encodeTransactionPart(value: TransactionPart): Uint8Array {
  return encodeCbor(partFields(value));
}

/** Throws CORRUPT. */
export function decodeTransactionPart(bytes: Uint8Array): TransactionPart {
  return stored(part, bytes);
}

export function encodePartWrites(value: readonly PartWrite[]): Uint8Array {
  return encodeCbor(value.map(withBytes));
}

/** Throws CORRUPT. */
export function decodePartWrites(bytes: Uint8Array): PartWrite[] {
  return stored(writes, bytes);
}

export function encodeTransactionDecision(value: TransactionDecision): Uint8Array {
  return encodeCbor(decisionFields(value));
}

/** Throws CORRUPT. */
export function decodeTransactionDecision(bytes: Uint8Array): TransactionDecision {
  return stored(decision, bytes);
}

export function encodeStateQueries(asked: readonly StateQuery[]): Uint8Array {
  return encodeCbor(asked.map((query) => ({ ...placeFields(query), container: query.container, id: query.id })));
}

/** Throws INVALID_ARGUMENT. */
export function decodeStateQueries(bytes: Uint8Array): StateQuery[] {
  return received(queries, bytes);
}

export function encodeStates(states: readonly number[]): Uint8Array {
  return encodeCbor(states);
}

/** Throws INVALID_ARGUMENT when they are not so many. */
export function decodeStates(bytes: Uint8Array, expected: number): number[] {
  return received(z.array(count).length(expected), bytes);
}

function partFields({ id: name, primary, resolveSequence, punchesUnder, endBytes }: TransactionPart): object {
  const at = primary === undefined ? undefined : placeFields(primary);
  const { client, sequence } = name;
  const fields = { version: PART_VERSION, id: { client, sequence }, primary: at, resolveSequence };
  return { ...fields, ...optional({ punchesUnder, endBytes }) };
}

/** The fields that there are. */
function optional(fields: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(fields).filter((field): field is [string, number] => field[1] !== undefined),
  );
}

function decisionFields({ id: name, epoch: at, forgetSequence, participants }: TransactionDecision): object {
  const { client, sequence } = name;
  const places = participants.map(placeFields);
  return { version: PART_VERSION, id: { client, sequence }, epoch: at, forgetSequence, participants: places };
}

function placeFields({ oid, dkey }: DkeyPlace): object {
  return { oid: bytesOf(oid as string as ByteString), dkey: bytesOf(dkey) };
}

function withBytes(operation: PartRead | PartWrite): object {
  return "akey" in operation ? { ...operation, akey: bytesOf(operation.akey) } : operation;
}

function received<T>(schema: z.ZodType<T>, bytes: Uint8Array): T {
  const parsed = schema.safeParse(decodeCbor(bytes));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const state = `"${issue?.path.map(String).join(".") ?? ""}": ${issue?.message ?? "it does not fit"}`;
  throw new DaosError("INVALID_ARGUMENT", `Cannot read a message of a transaction: ${state}. Correct it.`);
}

function stored<T>(schema: z.ZodType<T>, bytes: Uint8Array): T {
  let raw: unknown;
  try {
    raw = decodeCbor(bytes);
  } catch {
    throw damaged();
  }
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  throw damaged();
}

function damaged(): DaosError {
  return new DaosError("CORRUPT", "Cannot read a transaction's part: it is damaged. Run a scrub; restore from a copy.");
}
