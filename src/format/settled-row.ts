/**
 * The other rows of the settled index: counters, bitmaps and reclaim progress. Every row starts with a CRC-32 of the rest,
 * seeded with the CRC-32 of its key, so that a row found under a wrong key is seen. Little-endian; numbers are u64.
 *
 *   table    key                             row after the checksum
 *   meta     "store"                         format version, then the store id (16 bytes)
 *   meta     "settled"                       last settled sequence, ordinal of the first segment not settled
 *   meta     "aggregated" + container u32 BE highest settled epoch of the container
 *   meta     "snapshots" + container u32 BE  the container's snapshot epochs, ascending
 *   meta     "gate" + container u32 BE       highest gate that versions were dropped by; the gate at which all that is
 *                                            kept for gates now can go
 *   meta     "request" + client u64 BE       first request not acknowledged, then pairs: request, epoch; requests ascending
 *   meta     "forgotten"                     epoch that no request is completed after whose client has no row any more
 *   meta     "decided" + id, 2 x u64 BE      1 commit, 2 abort: of a prepared record that is settled and not forgotten
 *   usage    container u32 BE                SCM bytes, NVMe bytes, versions
 *   space    chunk u32 BE                    1024 bytes: bit n is block chunk * 8192 + n, least significant first
 *   reclaim  state u8, container u32 BE, epoch u64 BE, sequence u64 BE, index u16 BE: reclaim row, see below;
 *            state 0 is working, 1 parked: its pass ended with something kept for a snapshot, or waits for the gate
 *
 *   reclaim row   0 u32 CRC   4 u8 flags (1 kept something for a snapshot)   5 3 zeros   8 u64 epoch
 *                16 u16 from length   18 u16 to length   20 u16 cursor length   22 u16 zero   24 from, to, cursor
 */
import { asBuffer, byteString, bytesOf, type ByteString } from "../base/bytes.ts";
import { crc32 } from "../base/checksum.ts";
import type { DtxId } from "../base/dtx-id.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

export const STORE_ROW = "store" as ByteString;
export const SETTLED_ROW = "settled" as ByteString;
export const AGGREGATED_ROWS = "aggregated" as ByteString;
export const SNAPSHOT_ROWS = "snapshots" as ByteString;
export const GATE_ROWS = "gate" as ByteString;
export const DECISION_ROWS = "decided" as ByteString;
export const REQUEST_ROWS = "request" as ByteString;
export const FORGOTTEN_ROW = "forgotten" as ByteString;
/** Bytes of bitmap in one row of table `space`. */
export const SPACE_CHUNK_BYTES = 1024;
export const SPACE_CHUNK_BLOCKS = SPACE_CHUNK_BYTES * 8;

const RECLAIM_HEADER_BYTES = 24;
const FLAG_KEPT = 1;

/** A u32 as 4 bytes, big-endian: its order is the number's. */
export function uint32Key(value: number): ByteString {
  return String.fromCharCode(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff) as ByteString;
}

/** The u32 in 4 bytes at `offset` of a key. */
export function uint32OfKey(key: ByteString, offset = 0): number {
  return (
    ((key.charCodeAt(offset) << 24) |
      (key.charCodeAt(offset + 1) << 16) |
      (key.charCodeAt(offset + 2) << 8) |
      key.charCodeAt(offset + 3)) >>>
    0
  );
}

function uint64Key(value: number): string {
  return uint32Key(Math.floor(value / 0x1_0000_0000)) + uint32Key(value >>> 0);
}

/** The key of a client's row. */
export function requestsKey(client: number): ByteString {
  return (REQUEST_ROWS + uint64Key(client)) as ByteString;
}

/** The client of such a key. */
export function clientOfKey(key: ByteString): number {
  return uint64OfKey(key, REQUEST_ROWS.length);
}

function uint64OfKey(key: ByteString, offset: number): number {
  return uint32OfKey(key, offset) * 0x1_0000_0000 + uint32OfKey(key, offset + 4);
}

/** The key of a decision's row. */
export function decisionKey({ client, sequence }: DtxId): ByteString {
  return (DECISION_ROWS + uint64Key(client) + uint64Key(sequence)) as ByteString;
}

/** The id and the decision in such a row. Throws CORRUPT. */
export function decodeDecision(key: ByteString, row: Uint8Array): { id: DtxId; kind: 1 | 2 } {
  const [kind] = decodeNumbers(key, row, 1);
  if (kind !== 1 && kind !== 2) throw damaged(key, "its fields are impossible");
  const start = DECISION_ROWS.length;
  return { id: { client: uint64OfKey(key, start), sequence: uint64OfKey(key, start + 8) }, kind };
}

/** A client's completed requests. */
export interface RequestRow {
  /** Requests below it are acknowledged. */
  readonly firstIncomplete: number;
  /** Ascending. */
  readonly completed: readonly (readonly [sequence: number, epoch: Epoch])[];
}

export function encodeRequests(key: ByteString, row: RequestRow): Buffer {
  return encodeNumbers(key, [row.firstIncomplete, ...row.completed.flat()]);
}

/** Throws CORRUPT. */
export function decodeRequests(key: ByteString, row: Uint8Array): RequestRow {
  const numbers = decodeNumbers(key, row);
  if (numbers.length % 2 !== 1) throw damaged(key, "it has a wrong length");
  const completed: [number, Epoch][] = [];
  for (let place = 1; place < numbers.length; place += 2)
    completed.push([numbers[place]!, numbers[place + 1] as Epoch]);
  return { firstIncomplete: numbers[0]!, completed };
}

/** Where the reclaims of a container begin in the table; of one epoch, when given. */
export function reclaimPrefix(parked: boolean, container: number, epoch?: Epoch): ByteString {
  const state = parked ? "\x01" : "\x00";
  return (state + uint32Key(container) + (epoch === undefined ? "" : uint64Key(epoch))) as ByteString;
}

/** What follows the prefix: the sequence of the record that carried the reclaim, and its place there. */
export function reclaimSuffix(sequence: number, index: number): string {
  return uint64Key(sequence) + String.fromCharCode(index >>> 8, index & 0xff);
}

/** A row of `body`, in memory of its own. */
export function encodeRow(key: ByteString, body: Uint8Array): Buffer {
  const row = Buffer.allocUnsafe(4 + body.length);
  row.set(body, 4);
  row.writeUInt32LE(crc32(body, crc32(bytesOf(key))), 0);
  return row;
}

/** The body of a row, a view of it. Throws CORRUPT. */
export function decodeRow(key: ByteString, row: Uint8Array): Buffer {
  const bytes = asBuffer(row);
  if (bytes.length < 4) throw damaged(key, "it is too short");
  const body = bytes.subarray(4);
  if (bytes.readUInt32LE(0) !== crc32(body, crc32(bytesOf(key)))) throw damaged(key, "its checksum does not match");
  return body;
}

export function encodeNumbers(key: ByteString, numbers: readonly number[]): Buffer {
  const body = Buffer.allocUnsafe(8 * numbers.length);
  for (let index = 0; index < numbers.length; index += 1) writeUint64(body, numbers[index]!, 8 * index);
  return encodeRow(key, body);
}

/** The numbers of a row; `count` of them unless it is undefined. Throws CORRUPT. */
export function decodeNumbers(key: ByteString, row: Uint8Array, count?: number): number[] {
  const body = decodeRow(key, row);
  const numbers: number[] = [];
  if (body.length % 8 !== 0 || (count !== undefined && body.length !== 8 * count))
    throw damaged(key, "it has a wrong length");
  for (let offset = 0; offset < body.length; offset += 8) numbers.push(readUint64(body, offset));
  if (!numbers.every(Number.isSafeInteger)) throw damaged(key, "a number is over 2^53");
  return numbers;
}

export function encodeStoreRow(storeId: ByteString, version: number): Buffer {
  const body = Buffer.alloc(8 + storeId.length);
  writeUint64(body, version, 0);
  body.latin1Write(storeId, 8, storeId.length);
  return encodeRow(STORE_ROW, body);
}

/** Throws CORRUPT. */
export function decodeStoreRow(row: Uint8Array): { storeId: ByteString; version: number } {
  const body = decodeRow(STORE_ROW, row);
  if (body.length < 8) throw damaged(STORE_ROW, "it is too short");
  return { version: readUint64(body, 0), storeId: byteString(body, 8) };
}

export interface ReclaimProgress {
  readonly from: ByteString;
  readonly to: ByteString;
  readonly epoch: Epoch;
  /** Cells before it are done. */
  readonly cursor: ByteString;
  /** Something in the range stays for a snapshot so far. */
  readonly kept: boolean;
}

export function encodeReclaim(key: ByteString, reclaim: ReclaimProgress): Buffer {
  const { from, to, cursor } = reclaim;
  const body = Buffer.alloc(RECLAIM_HEADER_BYTES - 4 + from.length + to.length + cursor.length);
  body[0] = reclaim.kept ? FLAG_KEPT : 0;
  writeUint64(body, reclaim.epoch, 4);
  body.writeUInt16LE(from.length, 12);
  body.writeUInt16LE(to.length, 14);
  body.writeUInt16LE(cursor.length, 16);
  body.latin1Write(from, 20, from.length);
  body.latin1Write(to, 20 + from.length, to.length);
  body.latin1Write(cursor, 20 + from.length + to.length, cursor.length);
  return encodeRow(key, body);
}

/** Throws CORRUPT. */
export function decodeReclaim(key: ByteString, row: Uint8Array): ReclaimProgress {
  const body = decodeRow(key, row);
  if (body.length < 20 || body[0]! > 1) throw damaged(key, "its fields are impossible");
  const toStart = 20 + body.readUInt16LE(12);
  const cursorStart = toStart + body.readUInt16LE(14);
  if (cursorStart + body.readUInt16LE(16) !== body.length) throw damaged(key, "its lengths do not add up");
  const epoch = readUint64(body, 4);
  if (!Number.isSafeInteger(epoch)) throw damaged(key, "its epoch is impossible");
  return {
    from: byteString(body, 20, toStart),
    to: byteString(body, toStart, cursorStart),
    cursor: byteString(body, cursorStart),
    epoch: epoch as Epoch,
    kept: (body[0]! & FLAG_KEPT) !== 0,
  };
}

function damaged(key: ByteString, what: string): DaosError {
  return new DaosError(
    "CORRUPT",
    `Cannot read index row "${Buffer.from(key, "latin1").toString("hex")}": ${what}. Restore the target from its redundancy or a backup.`,
  );
}
