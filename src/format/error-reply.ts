/**
 * Arguments of a reply whose frame has the error flag: the CBOR map { code, message }. `code` is the number from the
 * table in src/base/errors.ts, `message` one line for people. Whoever acts on a failure looks at the code alone.
 */
import { DaosError, errorFromWire } from "../base/errors.ts";
import { MAX_ERROR_MESSAGE_BYTES } from "../base/limits.ts";
import { decodeCbor, encodeCbor } from "./cbor.ts";

/** The record of `error`; a message over MAX_ERROR_MESSAGE_BYTES is cut short. */
export function encodeErrorReply(error: DaosError): Uint8Array {
  return encodeCbor({ code: error.wireCode, message: shortened(error.message) });
}

/** The error the record stands for; PROTOCOL when the bytes are no such record or the code is unknown here. */
export function decodeErrorReply(bytes: Uint8Array): DaosError {
  let reply: unknown;
  try {
    reply = decodeCbor(bytes);
  } catch (error) {
    return new DaosError("PROTOCOL", "Cannot read error reply: it is not CBOR.", { cause: error });
  }
  if (typeof reply === "object" && reply !== null && "code" in reply && "message" in reply) {
    if (typeof reply.code === "number" && typeof reply.message === "string") {
      return errorFromWire(reply.code, reply.message);
    }
  }
  return new DaosError("PROTOCOL", "Cannot read error reply: it is not a map of code and message.");
}

function shortened(message: string): string {
  if (message.length * 3 <= MAX_ERROR_MESSAGE_BYTES) return message;
  const bytes = Buffer.from(message, "utf8");
  if (bytes.length <= MAX_ERROR_MESSAGE_BYTES) return message;
  // A character cut in two decodes to U+FFFD, three bytes: leave room for it and the dots.
  return `${bytes.toString("utf8", 0, MAX_ERROR_MESSAGE_BYTES - 6)}...`;
}
