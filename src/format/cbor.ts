/**
 * CBOR (RFC 8949) as this protocol uses it: null, booleans, numbers, text, byte strings, arrays, and maps with text
 * keys; definite lengths, no tags, at most MAX_CBOR_DEPTH deep. Every other encoding is refused before a decoder sees
 * it, so arguments from the network cannot name types, nest until the stack ends, or claim more than they bring.
 *
 * Whole numbers over 2^32 are written as 64 bit floats, which are exact up to 2^53, and read in either form.
 * The meaning of a map's members is left to its operation.
 */
import { Encoder } from "cbor-x";
import { asBuffer } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_CBOR_DEPTH } from "../base/limits.ts";

/**
 * Plain maps instead of records; shortest headers; byte strings untagged and copied out of the source; whole numbers as
 * numbers, never as bigint. (The package's types do not know all of its options.)
 */
const CODEC_OPTIONS = {
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  tagUint8Array: false,
  copyBuffers: true,
  int64AsNumber: true,
};
const codec = new Encoder(CODEC_OPTIONS);

const Major = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 } as const;
/** First of the simple values false, true, null, undefined. */
const SIMPLE_FALSE = 20;

/** The encoding of a value, in a buffer of its own. Members that are undefined are left out of maps at any depth. */
export function encodeCbor(value: unknown): Uint8Array {
  return new Uint8Array(codec.encode(withoutUndefined(value)));
}

/**
 * The one value that `bytes` hold. Byte strings come as Uint8Array with memory of their own, maps as plain objects.
 * Throws PROTOCOL when the bytes are not exactly one such value, or a number is a whole one over 2^53.
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  const source = asBuffer(bytes);
  checkCbor(source);
  try {
    return codec.decode(new Uint8Array(source.buffer, source.byteOffset, source.length));
  } catch (error) {
    throw new DaosError("PROTOCOL", "Cannot read CBOR: it does not decode.", { cause: error });
  }
}

function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.map(([name, member]) => [name, withoutUndefined(member)]));
}

/** Levels that are open: how many items each still wants, and which are maps. */
interface CborWalk {
  readonly left: number[];
  readonly isMap: boolean[];
}

/**
 * Walks the items without recursion. In a map every other item is a key. An item takes at least one byte, so the walk
 * ends with the bytes, whatever counts they claim.
 */
function checkCbor(bytes: Buffer): void {
  const walk: CborWalk = { left: [1], isMap: [false] };
  let at = 0;
  while (walk.left.length > 0) {
    const level = walk.left.length - 1;
    const remaining = walk.left[level]!;
    if (remaining === 0) {
      walk.left.pop();
      walk.isMap.pop();
      continue;
    }
    walk.left[level] = remaining - 1;
    if (walk.isMap[level] === true && remaining % 2 === 0 && bytes[at]! >>> 5 !== Major.text) {
      throw malformed("a map has a key that is not text");
    }
    at = checkItem(bytes, at, walk);
  }
  if (at !== bytes.length) throw malformed("more bytes follow its end");
}

/** Checks the item at `at`, opening a level for an array or map; returns where the next item begins. */
function checkItem(bytes: Buffer, at: number, walk: CborWalk): number {
  if (at >= bytes.length) throw malformed("it ends early");
  const major = bytes[at]! >>> 5;
  const short = bytes[at]! & 31;
  const argumentBytes = short < 24 ? 0 : 1 << (short - 24);
  if (short > 27) throw malformed("it has an indefinite or reserved length");
  const next = at + 1 + argumentBytes;
  if (next > bytes.length) throw malformed("it ends early");
  const argument = readArgument(bytes, at + 1, short);
  switch (major) {
    case Major.unsigned:
    case Major.negative:
      if (argument >= Number.MAX_SAFE_INTEGER) throw malformed("it has a number over 2^53");
      return next;
    case Major.bytes:
    case Major.text:
      if (argument > bytes.length - next) throw malformed("it ends early");
      if (major === Major.text) checkText(bytes, next, next + argument);
      return next + argument;
    case Major.array:
    case Major.map:
      openLevel(walk, major === Major.map, argument);
      return next;
    case Major.tag:
      throw malformed("it has a tag");
    default:
      if (short < SIMPLE_FALSE || short === 24) throw malformed("it has an unknown simple value");
      return next;
  }
}

function readArgument(bytes: Buffer, at: number, short: number): number {
  if (short < 24) return short;
  if (short === 24) return bytes[at]!;
  if (short === 25) return bytes.readUInt16BE(at);
  if (short === 26) return bytes.readUInt32BE(at);
  return bytes.readUInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
}

function openLevel(walk: CborWalk, isMap: boolean, count: number): void {
  const items = isMap ? count * 2 : count;
  if (walk.left.length > MAX_CBOR_DEPTH) throw malformed(`it is nested deeper than ${MAX_CBOR_DEPTH}`);
  walk.left.push(items);
  walk.isMap.push(isMap);
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function checkText(bytes: Buffer, start: number, end: number): void {
  for (let at = start; at < end; at += 1) {
    if (bytes[at]! < 0x80) continue;
    try {
      utf8.decode(bytes.subarray(at, end));
    } catch {
      throw malformed("it has text that is not UTF-8");
    }
    return;
  }
}

function malformed(what: string): DaosError {
  return new DaosError("PROTOCOL", `Cannot read CBOR: ${what}.`);
}
