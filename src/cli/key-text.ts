/**
 * Keys between bytes and text. Most keys are UTF-8 text and are written so; others are base64 in JSON, and escaped for
 * people. Dkeys of array objects are numbers: 8 bytes, big-endian, shown and taken in decimal. A key that JSON carries
 * always has its encoding beside it.
 */
import type { ObjectId } from "../base/object-id.ts";
import { OBJECT_TYPES } from "../base/object-id.ts";
import { argumentError } from "./arguments.ts";
import { printable } from "./table.ts";

export type KeyEncoding = "utf8" | "base64" | "uint64";

/** What `--encoding` takes. */
export const KEY_ENCODINGS = ["utf8", "hex", "base64"] as const;

/** The flag with which a key that is no text can be given. */
export const ENCODING_ARGUMENT = {
  type: "enum" as const,
  options: [...KEY_ENCODINGS] as string[],
  description: "How keys are written on this command line; default utf8",
};

const UINT64_TYPES: readonly number[] = [OBJECT_TYPES.DKEY_UINT64, OBJECT_TYPES.ARRAY, OBJECT_TYPES.ARRAY_BYTE];
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A key as JSON carries it. */
export interface KeyText {
  readonly text: string;
  readonly encoding: KeyEncoding;
}

/** UTF-8 when the bytes are that, else base64. */
export function keyText(bytes: Uint8Array): KeyText {
  try {
    return { text: strictUtf8.decode(bytes), encoding: "utf8" };
  } catch {
    return { text: Buffer.from(bytes).toString("base64"), encoding: "base64" };
  }
}

/** A dkey of this object: decimal where the object's dkeys are numbers. */
export function dkeyText(oid: ObjectId, dkey: Uint8Array): KeyText {
  if (dkey.length !== 8 || !hasNumberedDkeys(oid)) return keyText(dkey);
  return { text: Buffer.from(dkey).readBigUInt64BE().toString(), encoding: "uint64" };
}

/** For people: text made safe for a terminal, bytes that are none as `\xNN`. */
export function shownKey({ text, encoding }: KeyText): string {
  if (encoding !== "base64") return printable(text);
  const characters = [...Buffer.from(text, "base64")].map((byte) =>
    byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`,
  );
  return characters.join("");
}

/** The bytes of a key given on the command line. Throws CONFIGURATION. */
export function keyArgument(name: string, text: string, encoding: string | undefined): Uint8Array {
  if (encoding === undefined || encoding === "utf8") return Buffer.from(text, "utf8");
  if (encoding === "hex") {
    if (/^([0-9a-f]{2})*$/i.test(text)) return Buffer.from(text, "hex");
    throw argumentError(name, text, "not hexadecimal. Write two digits a byte");
  }
  if (encoding === "base64") {
    const bytes = Buffer.from(text, "base64");
    if (bytes.toString("base64") === text) return bytes;
    throw argumentError(name, text, "not base64 with its padding");
  }
  throw argumentError("--encoding", encoding, `use one of ${KEY_ENCODINGS.join(", ")}`);
}

/** The bytes of a dkey of this object given on the command line. Throws CONFIGURATION. */
export function dkeyArgument(oid: ObjectId, text: string, encoding: string | undefined): Uint8Array {
  if (encoding !== undefined || !hasNumberedDkeys(oid)) return keyArgument("DKEY", text, encoding);
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n;
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
    throw argumentError("DKEY", text, "dkeys of this object are numbers. Write one in decimal");
  }
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

function hasNumberedDkeys(oid: ObjectId): boolean {
  return UINT64_TYPES.includes(oid.charCodeAt(0));
}
