/** Whether keys of an object hold something visible, by listings of at most one key. */
import type { AkeyPlace } from "../base/key-place.ts";
import type { ByteString } from "../base/bytes.ts";
import type { ReadMoment } from "./extent-page.ts";
import { keyPages, type KeyListSubject } from "./key-pages.ts";
import { Opcode } from "../format/operations.ts";
import type { ListOptions, ObjectOperations } from "./object-operations.ts";

export async function holdsAkey(operations: ObjectOperations, place: AkeyPlace, terms: ReadMoment): Promise<boolean> {
  const { oid, dkey, akey } = place;
  // Of all keys that begin with it, it is the first.
  const options = { ...terms, prefix: akey };
  return (await firstKey(operations, { opcode: Opcode.akeyList, oid, dkey }, options)) === akey;
}

export async function holdsAny(
  operations: ObjectOperations,
  subject: KeyListSubject,
  terms: ReadMoment,
): Promise<boolean> {
  return (await firstKey(operations, subject, terms)) !== undefined;
}

async function firstKey(
  operations: ObjectOperations,
  subject: KeyListSubject,
  options: ListOptions,
): Promise<ByteString | undefined> {
  for await (const [first] of keyPages(operations, subject, { ...options, limit: 1 })) return first;
  return undefined;
}
