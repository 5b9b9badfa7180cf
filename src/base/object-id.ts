/**
 * Object ids: 128 bits, laid out as DAOS's (src/include/daos_obj.h).
 *
 *     hi 63..56 object type | 55..48 redundancy | 47..32 group count | 31..0 user      lo 63..0 user
 *
 * In memory and on the wire an id is its 16 bytes, hi first, big-endian, as a byte string; people see `hi.lo` in hex.
 */
import { type ByteString, byteString } from "./bytes.ts";
import { DaosError } from "./errors.ts";
import { FIRST_ERASURE_NUMBER, type ObjectClass, objectClassByNumbers, REDUNDANCIES } from "./object-class.ts";

declare const objectIdBrand: unique symbol;
export type ObjectId = ByteString & { readonly [objectIdBrand]: true };

export const OBJECT_ID_BYTES = 16;
/** Bits 55..48 of an id whose class keeps one copy. */
const NO_REDUNDANCY = REDUNDANCIES[0]!.number;

/** DAOS's object types (enum daos_otype_t); the ones this store gives a meaning to. */
export const OBJECT_TYPES = {
  MULTI_HASHED: 0,
  DKEY_UINT64: 2,
  MULTI_LEXICAL: 7,
  KV_LEXICAL: 10,
  ARRAY: 11,
  ARRAY_BYTE: 13,
} as const;
export type ObjectType = keyof typeof OBJECT_TYPES;

/** The id of `user` (96 bits: 32 high, 64 low) with its type and class. */
export function objectId(type: ObjectType, objectClass: ObjectClass, userHigh: number, userLow: bigint): ObjectId {
  const bytes = Buffer.alloc(OBJECT_ID_BYTES);
  bytes[0] = OBJECT_TYPES[type];
  bytes[1] = objectClass.redundancy.number;
  bytes.writeUInt16BE(objectClass.groupCount, 2);
  bytes.writeUInt32BE(userHigh >>> 0, 4);
  bytes.writeBigUInt64BE(userLow, 8);
  return byteString(bytes) as ObjectId;
}

/** An id from its 16 bytes. Throws INVALID_ARGUMENT when they are not 16. */
export function objectIdFromBytes(bytes: Uint8Array): ObjectId {
  if (bytes.length !== OBJECT_ID_BYTES) {
    throw new DaosError("INVALID_ARGUMENT", `Cannot use an object id of ${bytes.length} bytes: it has 16.`);
  }
  return byteString(bytes) as ObjectId;
}

/** `hi.lo`, 16 hex digits each. */
export function formatObjectId(id: ObjectId): string {
  const hex = Buffer.from(id, "latin1").toString("hex");
  return `${hex.slice(0, 16)}.${hex.slice(16)}`;
}

/** The id people wrote. Throws INVALID_ARGUMENT. */
export function parseObjectId(text: string): ObjectId {
  const match = /^([0-9a-f]{1,16})\.([0-9a-f]{1,16})$/i.exec(text);
  if (match === null) {
    throw new DaosError("INVALID_ARGUMENT", `Cannot use object id "${text}": write it as hi.lo in hexadecimal.`);
  }
  const hex = match[1]!.padStart(16, "0") + match[2]!.padStart(16, "0");
  return byteString(Buffer.from(hex, "hex")) as ObjectId;
}

/** The class in an id. Throws INVALID_ARGUMENT when the bits name none. */
export function objectClassOf(id: ObjectId): ObjectClass {
  return objectClassByNumbers(id.charCodeAt(1), (id.charCodeAt(2) << 8) | id.charCodeAt(3));
}

/** Whether the class in an id keeps more than one copy: from one byte, for the data path asks for every operation. */
export function isRedundant(id: ObjectId): boolean {
  return id.charCodeAt(1) !== NO_REDUNDANCY;
}

/** Whether the class in an id is one of erasure code. */
export function isErasureCoded(id: ObjectId): boolean {
  return id.charCodeAt(1) >= FIRST_ERASURE_NUMBER;
}
