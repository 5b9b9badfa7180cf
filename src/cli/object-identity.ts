/**
 * Object ids between text and meaning: what an id says by itself, and the checks that catch a mistyped one before it is
 * sent anywhere.
 */
import { bytesOf } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { formatObjectId, type ObjectId, OBJECT_TYPES, objectClassOf } from "../base/object-id.ts";
import { checkedArgument, objectIdArgument } from "./arguments.ts";

export const OBJECT_ARGUMENT = { type: "positional", required: true, description: "The object's id, hi.lo" } as const;

const ARRAY_TYPES: readonly number[] = [OBJECT_TYPES.ARRAY, OBJECT_TYPES.ARRAY_BYTE];
export const TYPE_WIDTH = Math.max(...Object.keys(OBJECT_TYPES).map((name) => name.length));

export function isArray(oid: ObjectId): boolean {
  return ARRAY_TYPES.includes(oid.charCodeAt(0));
}

/** An object id whose class this build knows; a mistyped one is caught before it is sent. */
export function classedIdArgument(text: string): ObjectId {
  const oid = objectIdArgument(text);
  checkedArgument(() => objectClassOf(oid));
  return oid;
}

export function arrayIdArgument(text: string): ObjectId {
  const oid = classedIdArgument(text);
  if (isArray(oid)) return oid;
  throw new DaosError(
    "CONFIGURATION",
    `Cannot use object id "${text}" as a file: its type is ${typeName(oid)}. Use one that \`daos object put\` gave.`,
  );
}

function typeName(oid: ObjectId): string {
  const number = oid.charCodeAt(0);
  return Object.entries(OBJECT_TYPES).find(([, value]) => value === number)?.[0] ?? String(number);
}

/** What an id says by itself. An id of a class that this build does not know is listed all the same. */
export function identityOf(oid: ObjectId): { objectId: string; type: string; class: string } {
  const bytes = bytesOf(oid);
  let className = `${bytes[1]!}/${Buffer.from(bytes).readUInt16BE(2)}`;
  try {
    className = objectClassOf(oid).name;
  } catch {
    // The numbers have to do.
  }
  return { objectId: formatObjectId(oid), type: typeName(oid), class: className };
}

export function noSuchObject(action: string, oid: ObjectId): DaosError {
  const advice = "See the objects with `daos object list`.";
  return new DaosError("NOT_FOUND", `Cannot ${action} object ${formatObjectId(oid)}: it is not there. ${advice}`);
}
