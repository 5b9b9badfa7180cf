/**
 * Messages among engines as frames carry them: the body is CBOR in the payload, the arguments are its signature under the
 * system's key. What is signed is the opcode and the body, which holds the sender's time.
 */
import { tagsEqual } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { ENGINE_MESSAGE_LIFETIME_MS } from "../base/limits.ts";
import type { Hmac } from "../control/capability-authority.ts";
import { decodeCbor, encodeCbor } from "../format/cbor.ts";

export interface SealedMessage {
  readonly args: Uint8Array;
  readonly payload: Uint8Array;
}

/** Without a key the tag is empty. */
export function sealMessage(opcode: number, body: object, hmac: Hmac, key: Uint8Array | undefined): SealedMessage {
  const payload = encodeCbor(body);
  const tag = key === undefined ? new Uint8Array(0) : hmac(key, signedBytes(opcode, payload));
  return { args: encodeCbor({ tag }), payload };
}

/** The body, and whether it was signed with our key. Throws PERMISSION for a signature that is wrong, or too old. */
export function openMessage(
  opcode: number,
  { args, payload }: SealedMessage,
  hmac: Hmac,
  key: Uint8Array,
  nowMs: number,
): { body: unknown; isSigned: boolean } {
  const tag = memberOf(decodeCbor(args), "tag");
  const body = decodeCbor(payload);
  if (!(tag instanceof Uint8Array)) throw notGenuine("it has no signature");
  if (tag.length === 0) return { body, isSigned: false };
  if (!tagsEqual(tag, hmac(key, signedBytes(opcode, payload))))
    throw notGenuine("it is signed with another system's key");
  const sentAtMs = memberOf(body, "sentAtMs");
  if (typeof sentAtMs !== "number" || Math.abs(nowMs - sentAtMs) > ENGINE_MESSAGE_LIFETIME_MS) {
    throw notGenuine("its time is not ours. Synchronise the clocks of the engines");
  }
  return { body, isSigned: true };
}

/** Undefined when the value is no map, or has no such member. */
function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function signedBytes(opcode: number, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([opcode & 0xff, opcode >>> 8]), payload]);
}

function notGenuine(state: string): DaosError {
  return new DaosError("PERMISSION", `Cannot take the message of an engine: ${state}.`);
}
