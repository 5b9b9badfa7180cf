/**
 * UUIDs (RFC 9562, version 4): the ids of systems, pools and containers. Text is lower case with dashes; records carry
 * the 16 bytes.
 */
import { assert } from "./assert.ts";
import { asBuffer } from "./bytes.ts";

declare const uuidBrand: unique symbol;
export type Uuid = string & { readonly [uuidBrand]: true };

export const UUID_BYTES = 16;
const PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The id in what people or records wrote, any case; undefined when it is none. */
export function parseUuid(text: string): Uuid | undefined {
  const lower = text.toLowerCase();
  return PATTERN.test(lower) ? (lower as Uuid) : undefined;
}

/** A version 4 id from 16 random bytes. */
export function uuidFromRandom(random: Uint8Array): Uuid {
  const bytes = new Uint8Array(random);
  assert(bytes.length === UUID_BYTES, "a UUID is made of 16 bytes");
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return uuidFromBytes(bytes, 0);
}

/** The id in bytes [offset, offset + 16). */
export function uuidFromBytes(bytes: Uint8Array, offset: number): Uuid {
  assert(offset + UUID_BYTES <= bytes.length, "a UUID has 16 bytes");
  const hex = asBuffer(bytes).toString("hex", offset, offset + UUID_BYTES);
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
  return parts.join("-") as Uuid;
}

/** Writes the id's 16 bytes at `offset`. */
export function writeUuid(into: Buffer, offset: number, id: Uuid): void {
  into.write(id.replaceAll("-", ""), offset, UUID_BYTES, "hex");
}
