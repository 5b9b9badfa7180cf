/**
 * Replies that travel as CBOR, checked before anything relies on them: an answer is bytes from the network, not a promise.
 * A check names the members an operation's reply has (src/format/operations.ts) and their kinds; members beyond those
 * are let through, so that a newer engine may say more.
 */
import { DaosError } from "../base/errors.ts";
import { decodeCbor } from "../format/cbor.ts";

/** Kind of a member. `count`: a whole number from 0. A question mark: it may be absent. */
export type MemberKind = "text" | "number" | "count" | "boolean" | "bytes" | "map" | "list";
export type ReplyShape = Readonly<Record<string, MemberKind | `${MemberKind}?`>>;

/** The map that `args` hold, of this shape. Throws PROTOCOL. `T` is what the caller says the shape means. */
export function decodeReply<T>(args: Uint8Array, what: string, shape: ReplyShape): T {
  return checkReply<T>(decodeCbor(args), what, shape);
}

/** A decoded value, of this shape. Throws PROTOCOL. */
export function checkReply<T>(value: unknown, what: string, shape: ReplyShape): T {
  if (!isMap(value)) throw wrongReply(what, "it is no map");
  for (const [name, kind] of Object.entries(shape)) {
    const member = value[name];
    const isOptional = kind.endsWith("?");
    if (isOptional && (member === undefined || member === null)) continue;
    if (!isOfKind(member, (isOptional ? kind.slice(0, -1) : kind) as MemberKind)) {
      throw wrongReply(what, `member ${name} is no ${kind}`);
    }
  }
  return value as T;
}

/** Every item of a list, of this shape. Throws PROTOCOL. */
export function checkList<T>(values: readonly unknown[], what: string, shape: ReplyShape): readonly T[] {
  for (const value of values) checkReply(value, what, shape);
  return values as readonly T[];
}

/** A list of byte strings. Throws PROTOCOL. */
export function checkBytesList(values: readonly unknown[], what: string): readonly Uint8Array[] {
  if (!values.every((value) => value instanceof Uint8Array)) throw wrongReply(what, "an item is no byte string");
  return values;
}

export function wrongReply(what: string, state: string): DaosError {
  return new DaosError("PROTOCOL", `Cannot use the answer to "${what}": ${state}. Check the engine's version.`);
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

function isOfKind(value: unknown, kind: MemberKind): boolean {
  switch (kind) {
    case "text":
      return typeof value === "string";
    case "number":
      return typeof value === "number";
    case "count":
      return Number.isSafeInteger(value) && (value as number) >= 0;
    case "boolean":
      return typeof value === "boolean";
    case "bytes":
      return value instanceof Uint8Array;
    case "list":
      return Array.isArray(value);
    case "map":
      return isMap(value);
    default:
      return kind satisfies never;
  }
}
