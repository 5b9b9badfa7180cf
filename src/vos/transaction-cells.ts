/**
 * Keys of the cells that transactions keep for a dkey until they are resolved. They lie under a container number of their
 * own, so that no walk of objects and no snapshot has anything to do with them. C, O, e(), T as in cell-key.ts:
 *
 *     FF FF FF FE  C O 01 e(dkey) T 00                      part: the dkey is locked, by whom
 *     FF FF FF FE  C O 01 e(dkey) T 01 client sequence      decision: the transaction happened (u64 each, big-endian)
 *     FF FF FF FE  C O 01 e(dkey) T 02                      writes of the part
 */
import type { ByteString } from "../base/bytes.ts";
import type { DtxId } from "../base/dtx-id.ts";
import { containerPrefix, OBJECT_PREFIX_BYTES } from "./cell-key.ts";

const REGION = "\xff\xff\xff\xfe";

/** `dkey`: its prefix, with container and object. */
export function partKey(dkey: string): ByteString {
  return `${REGION}${dkey}\x00` as ByteString;
}

export function isPartKey(key: string, dkey: string): boolean {
  return key.length === REGION.length + dkey.length + 1 && key.charCodeAt(key.length - 1) === 0;
}

export function writesKey(dkey: string): ByteString {
  return `${REGION}${dkey}\x02` as ByteString;
}

export function decisionKey(dkey: string, { client, sequence }: DtxId): ByteString {
  return `${REGION}${dkey}\x01${uint64(client)}${uint64(sequence)}` as ByteString;
}

export function isTransactionKey(key: string): boolean {
  return key.startsWith(REGION) && key.length > REGION.length + OBJECT_PREFIX_BYTES;
}

/** Where the transactions of what lies at `key` are, or behind it. */
export function regionKey(key: ByteString): ByteString {
  return (REGION + key) as ByteString;
}

/** The key as it would be beneath the dkey: what names container, object and dkey of a cell can name those of this one. */
export function withoutRegion(key: string): ByteString {
  return key.slice(REGION.length) as ByteString;
}

/** Where the cells of a dkey's transactions are. */
export function dkeyTransactions(dkey: string): { from: ByteString; to: ByteString } {
  return { from: `${REGION}${dkey}\x00` as ByteString, to: `${REGION}${dkey}\x03` as ByteString };
}

/** The key under which the cell would lie beneath its dkey, behind all others there; and back. */
export function keyInDkey(key: ByteString, dkey: string): ByteString {
  return isTransactionKey(key) ? (`${dkey}\x03${key.slice(REGION.length + dkey.length)}` as ByteString) : key;
}

export function keyFromDkey(key: ByteString, dkey: string): ByteString {
  const isTransaction = key.charCodeAt(dkey.length) === 3;
  return isTransaction ? (`${REGION}${dkey}${key.slice(dkey.length + 1)}` as ByteString) : key;
}

/** Where the cells of a container's transactions are. */
export function transactionRange(container: number): { from: ByteString; to: ByteString } {
  const from = REGION + containerPrefix(container);
  const to = container === 0xffff_ffff ? `${from}\xff` : REGION + containerPrefix(container + 1);
  return { from: from as ByteString, to: to as ByteString };
}

function uint64(value: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes.latin1Slice();
}
