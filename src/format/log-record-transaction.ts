/**
 * The part of a log record that says where it comes from, whether it counts, and what was decided on others. All of it
 * came with format version 2. Little-endian.
 *
 *    30  u16 flags (1 origin, 2 prepared, 4 moved, 8 last moved) and, from bit 4 on, the count of decisions
 *    32  origin, if any; then what log-record.ts describes; the decisions are last
 *
 *   origin           0  u64 client  8  u64 sequence  16  u32 sequence minus first incomplete one, all ones for unknown
 *   decision         0  u64 client  8  7 bytes sequence  15  u8 1 commit, 2 abort; plus 4: closed
 *
 * A prepared record counts only when a decision says so; its id is its origin. A moved one takes the place of the record
 * of the same id that was written before; those that are moved at once follow each other, and none of them counts unless
 * the last one is there. A closed decision is one that nobody asks for any more.
 */
import { DaosError } from "../base/errors.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

export const LOG_ORIGIN_BYTES = 20;
export const LOG_DECISION_BYTES = 16;
const FLAGS_OFFSET = 30;
const FLAG_ORIGIN = 1;
const FLAG_PREPARED = 2;
const FLAG_MOVED = 4;
const FLAG_LAST_MOVED = 8;
const DECISIONS_SHIFT = 4;
const UNKNOWN_LAG = 0xffff_ffff;
/** A decision's sequence has 7 bytes: all of a safe integer. */
const DECISION_OFFSET = 15;
const MAX_DECISION_HIGH = 0x20_0000;

const NO_DECISIONS: readonly RecordDecision[] = [];

/** The request that a record comes from. */
export interface RecordOrigin {
  readonly client: number;
  readonly sequence: number;
  /** All requests of the client below it are answered and acknowledged; 0 for unknown. Not above `sequence`. */
  readonly firstIncomplete: number;
}

export const RecordDecisionKind = { commit: 1, abort: 2 } as const;

export interface RecordDecision {
  readonly client: number;
  readonly sequence: number;
  readonly kind: 1 | 2;
  /** Nobody will ask for it again. */
  readonly closed: boolean;
}

/** What a record has besides its changes. */
export interface RecordTransaction {
  readonly origin?: RecordOrigin | undefined;
  /** Only with an origin. */
  readonly prepared?: boolean;
  /** Only when prepared. */
  readonly moved?: boolean;
  /** Only when moved. */
  readonly lastMoved?: boolean;
  readonly decisions?: readonly RecordDecision[];
}

/** Bytes that it takes of a record. */
export function transactionBytes({ origin, decisions }: RecordTransaction): number {
  return (origin === undefined ? 0 : LOG_ORIGIN_BYTES) + LOG_DECISION_BYTES * (decisions?.length ?? 0);
}

/** Writes flags, origin and, at its end, the decisions of the record at `offset`; returns where the writes begin. */
export function encodeTransaction(
  into: Buffer,
  offset: number,
  headerBytes: number,
  lengthBytes: number,
  transaction: RecordTransaction,
): number {
  const { origin, prepared, moved, lastMoved } = transaction;
  const decisions = transaction.decisions ?? NO_DECISIONS;
  const flags =
    (origin === undefined ? 0 : FLAG_ORIGIN) |
    (prepared === true ? FLAG_PREPARED : 0) |
    (moved === true ? FLAG_MOVED : 0) |
    (lastMoved === true ? FLAG_LAST_MOVED : 0);
  into.writeUInt16LE(flags | (decisions.length << DECISIONS_SHIFT), offset + FLAGS_OFFSET);
  let position = offset + lengthBytes - LOG_DECISION_BYTES * decisions.length;
  for (let index = 0; index < decisions.length; index += 1, position += LOG_DECISION_BYTES) {
    const { client, sequence, kind, closed } = decisions[index]!;
    writeUint64(into, client, position);
    writeUint64(into, sequence, position + 8);
    into[position + DECISION_OFFSET] = kind | (closed ? 4 : 0);
  }
  const start = offset + headerBytes;
  if (origin === undefined) return start;
  writeUint64(into, origin.client, start);
  writeUint64(into, origin.sequence, start + 8);
  const lag = origin.firstIncomplete === 0 ? UNKNOWN_LAG : origin.sequence - origin.firstIncomplete;
  into.writeUInt32LE(Math.min(lag, UNKNOWN_LAG), start + 16);
  return start + LOG_ORIGIN_BYTES;
}

export interface DecodedTransaction {
  readonly origin: RecordOrigin | undefined;
  readonly prepared: boolean;
  readonly moved: boolean;
  readonly lastMoved: boolean;
  readonly decisions: readonly RecordDecision[];
  /** Where the rest lies: after so many bytes from the header on, and before so many at the end. */
  readonly originBytes: number;
  readonly decisionBytes: number;
}

const NO_TRANSACTION: DecodedTransaction = {
  origin: undefined,
  prepared: false,
  moved: false,
  lastMoved: false,
  decisions: NO_DECISIONS,
  originBytes: 0,
  decisionBytes: 0,
};

/** Of the record at `offset`, whose header ends at `bodyStart`. Throws CORRUPT. */
export function decodeTransaction(from: Buffer, offset: number, bodyStart: number, end: number): DecodedTransaction {
  const flags = from.readUInt16LE(offset + FLAGS_OFFSET);
  if (flags === 0) return NO_TRANSACTION;
  if (!isFlags(flags)) throw malformed("its flags are impossible");
  const count = flags >>> DECISIONS_SHIFT;
  const originBytes = (flags & FLAG_ORIGIN) === 0 ? 0 : LOG_ORIGIN_BYTES;
  const decisionBytes = count * LOG_DECISION_BYTES;
  if (bodyStart + originBytes + decisionBytes > end) throw malformed("its parts exceed its length");
  const decisions: RecordDecision[] = [];
  for (let place = end - decisionBytes; place < end; place += LOG_DECISION_BYTES) {
    decisions.push(decodeDecision(from, place));
  }
  return {
    origin: originBytes === 0 ? undefined : decodeOrigin(from, bodyStart),
    prepared: (flags & FLAG_PREPARED) !== 0,
    moved: (flags & FLAG_MOVED) !== 0,
    lastMoved: (flags & FLAG_LAST_MOVED) !== 0,
    decisions,
    originBytes,
    decisionBytes,
  };
}

function decodeOrigin(from: Buffer, start: number): RecordOrigin {
  const client = readUint64(from, start);
  const sequence = readUint64(from, start + 8);
  const lag = from.readUInt32LE(start + 16);
  const isWhole = Number.isSafeInteger(client) && Number.isSafeInteger(sequence);
  if (!isWhole || (lag !== UNKNOWN_LAG && lag >= sequence)) throw malformed("an origin has impossible fields");
  return { client, sequence, firstIncomplete: lag === UNKNOWN_LAG ? 0 : sequence - lag };
}

function decodeDecision(from: Buffer, start: number): RecordDecision {
  const client = readUint64(from, start);
  const high = from.readUInt32LE(start + 12);
  const code = high >>> 24;
  const kind = code & 3;
  const isDecision = code <= 7 && kind >= 1 && kind <= 2 && (high & 0xff_ffff) < MAX_DECISION_HIGH;
  if (!isDecision || !Number.isSafeInteger(client)) throw malformed("a decision has impossible fields");
  const sequence = from.readUInt32LE(start + 8) + (high & 0xff_ffff) * 0x1_0000_0000;
  return { client, sequence, kind: kind as 1 | 2, closed: (code & 4) !== 0 };
}

/** Prepared needs an origin, moved needs prepared, last needs moved. */
function isFlags(flags: number): boolean {
  const lowest = flags & 0xf;
  return lowest === 0 || lowest === FLAG_ORIGIN || lowest === 3 || lowest === 7 || lowest === 15;
}

/** Whether the flags of what is at `offset`, record or not, can be a record's. */
export function hasRecordFlags(from: Buffer, offset: number): boolean {
  return isFlags(from.readUInt16LE(offset + 30));
}

export function malformed(what: string): DaosError {
  return new DaosError(
    "CORRUPT",
    `Cannot read log record: ${what}. Restore the target from its redundancy or a backup.`,
  );
}
