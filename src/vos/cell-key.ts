/**
 * Keys of the cells that hold versioned objects. C = container number (u32, big-endian), O = object id (16 bytes),
 * e() = the key with 00 written as 00 FF, T = 00 01. Byte order of cell keys is the order of objects, dkeys, akeys, windows.
 *
 *     C O 00                          object cell        C O 01 e(dkey) T 00                 dkey cell
 *     C O 01 e(dkey) T 01 e(akey) T 00    akey cell      C O 01 e(dkey) T 01 e(akey) T 01 class window   window cell
 *     C FF*17 epoch                   snapshot cell, after every object; behind those, fill marks (fill-marks.ts)
 *
 * A *prefix* names an object (C O), a dkey (up to its T) or an akey (up to its T); what lies beneath it is in
 * [prefix, prefix + 02). Keys are byte strings, built by concatenation.
 */
import { assert } from "../base/assert.ts";
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { REDUNDANCIES } from "../base/object-class.ts";
import { OBJECT_ID_BYTES, type ObjectId } from "../base/object-id.ts";

const TERMINATOR = "\x00\x01";
/** Bytes of C and O together. */
export const OBJECT_PREFIX_BYTES = 4 + OBJECT_ID_BYTES;
/** Of a key: the second byte of O. */
const REDUNDANCY_BYTE = 5;
/** Before keys of cells that are about the target itself, or a pool on it: no container has this number. */
export const TARGET_REGION = "\xff\xff\xff\xfd";
const SNAPSHOT_TAG = "\xff".repeat(OBJECT_ID_BYTES + 1);

export function escapeKey(key: string): string {
  return key.includes("\x00") ? key.replaceAll("\x00", "\x00\xff") : key;
}

function unescapeKey(text: string): ByteString {
  return (text.includes("\x00") ? text.replaceAll("\x00\xff", "\x00") : text) as ByteString;
}

/** C of a container number, 0..2^32-1. */
export function containerPrefix(container: number): string {
  assert(Number.isInteger(container) && container >= 0 && container <= 0xffff_ffff, "container number is a u32");
  return String.fromCharCode(container >>> 24, (container >>> 16) & 0xff, (container >>> 8) & 0xff, container & 0xff);
}

/** The container number at the start of a cell key. */
export function containerOf(key: string): number {
  return ((key.charCodeAt(0) << 24) | (key.charCodeAt(1) << 16) | (key.charCodeAt(2) << 8) | key.charCodeAt(3)) >>> 0;
}

export function dkeyPrefix(objectPrefix: string, dkey: string): string {
  return objectPrefix + "\x01" + escapeKey(dkey) + TERMINATOR;
}

export function akeyPrefix(dkey: string, akey: string): string {
  return dkey + "\x01" + escapeKey(akey) + TERMINATOR;
}

/** The cell of the thing a prefix names: object, dkey or akey. */
export function ownCellKey(prefix: string): ByteString {
  return (prefix + "\x00") as ByteString;
}

/** The own cell of an akey, in one step: for the hot path. Equal to ownCellKey(akeyPrefix(dkeyPrefix(...), akey)). */
export function akeyCellKey(objectPrefix: string, dkey: string, akey: string): ByteString {
  const escaped = escapeKey(dkey);
  // Key-value pairs have an empty akey: three strings are joined instead of nine.
  if (akey === "") return `${objectPrefix}\x01${escaped}\x00\x01\x01\x00\x01\x00` as ByteString;
  return `${objectPrefix}\x01${escaped}\x00\x01\x01${escapeKey(akey)}\x00\x01\x00` as ByteString;
}

/** First key of what lies beneath the thing a prefix names. */
export function beneathStart(prefix: string): ByteString {
  return (prefix + "\x01") as ByteString;
}

/** First key after everything of the thing a prefix names. */
export function prefixEnd(prefix: string): ByteString {
  return (prefix + "\x02") as ByteString;
}

/** Key of an array window; `window` below 2^53. One past the last window of a class is a valid bound. */
export function windowKey(akey: string, windowClass: number, window: number): ByteString {
  const high = Math.floor(window / 0x1_0000_0000);
  const low = window % 0x1_0000_0000;
  return (akey +
    String.fromCharCode(
      1,
      windowClass,
      (high >>> 16) & 0xff,
      (high >>> 8) & 0xff,
      high & 0xff,
      low >>> 24,
      (low >>> 16) & 0xff,
      (low >>> 8) & 0xff,
      low & 0xff,
    )) as ByteString;
}

/** The window number at the end of a window cell's key. */
export function windowOf(key: string): number {
  const at = key.length - 7;
  const high = (key.charCodeAt(at) << 16) | (key.charCodeAt(at + 1) << 8) | key.charCodeAt(at + 2);
  const low =
    (key.charCodeAt(at + 3) << 24) |
    (key.charCodeAt(at + 4) << 16) |
    (key.charCodeAt(at + 5) << 8) |
    key.charCodeAt(at + 6);
  return high * 0x1_0000_0000 + (low >>> 0);
}

/** The class of a window cell's key. */
export function windowClassOf(key: string): number {
  return key.charCodeAt(key.length - 8);
}

export function snapshotKey(container: string, epoch: Epoch): ByteString {
  const high = Math.floor(epoch / 0x1_0000_0000);
  const low = epoch % 0x1_0000_0000;
  return (snapshotStart(container) +
    String.fromCharCode(
      high >>> 24,
      (high >>> 16) & 0xff,
      (high >>> 8) & 0xff,
      high & 0xff,
      low >>> 24,
      (low >>> 16) & 0xff,
      (low >>> 8) & 0xff,
      low & 0xff,
    )) as ByteString;
}

/** Where the snapshot cells of a container start: after its last object. */
export function snapshotStart(container: string): ByteString {
  return (container + SNAPSHOT_TAG) as ByteString;
}

/** Whether an object of the redundancy number is erasure-coded, by the number. */
const ERASURE_NUMBERS: readonly boolean[] = Array.from({ length: 256 }, (_, number) =>
  REDUNDANCIES.some((redundancy) => redundancy.number === number && redundancy.kind === "erasure"),
);

/** Whether the cell is of an erasure-coded object, whose history an epoch gate keeps; see CellStore.setGate. */
export function isGatedKey(key: ByteString): boolean {
  return ERASURE_NUMBERS[key.charCodeAt(REDUNDANCY_BYTE)] === true;
}

/** The prefix of the dkey of a cell beneath an object. */
export function dkeyPrefixOf(key: string): string {
  return key.slice(0, key.indexOf(TERMINATOR, OBJECT_PREFIX_BYTES + 1) + TERMINATOR.length);
}

/** The prefix of the akey of a cell beneath the dkey with this prefix. */
export function akeyPrefixOf(key: string, dkey: string): string {
  return key.slice(0, key.indexOf(TERMINATOR, dkey.length + 1) + TERMINATOR.length);
}

/** The object id that an object prefix, or any longer key, names. */
export function objectOfPrefix(prefix: string): ObjectId {
  return prefix.slice(4, OBJECT_PREFIX_BYTES) as ObjectId;
}

/** The dkey or akey that `prefix` names beneath its parent's prefix. */
export function nameOfPrefix(prefix: string, parent: string): ByteString {
  return unescapeKey(prefix.slice(parent.length + 1, prefix.length - TERMINATOR.length));
}

/** The range of the prefixes beneath `parent` whose name starts with `start`, after the name `after`. */
export function nameRange(
  parent: string,
  start: string,
  after: string | undefined,
): { from: ByteString; to: ByteString } {
  const base = beneathStart(parent) + escapeKey(start);
  const next = after === undefined ? base : prefixEnd(beneathStart(parent) + escapeKey(after) + TERMINATOR);
  const to = start === "" ? prefixEnd(parent) : successor(base);
  return { from: (next > base ? next : base) as ByteString, to: to as ByteString };
}

/** The least string that is greater than every string starting with `text`; there is a byte below FF in every prefix. */
export function successor(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 0xff) end -= 1;
  assert(end > 0, "a prefix of bytes FF has no successor");
  return text.slice(0, end - 1) + String.fromCharCode(text.charCodeAt(end - 1) + 1);
}
