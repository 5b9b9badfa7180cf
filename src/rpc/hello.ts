/**
 * The first exchange on a connection: which protocol versions the client speaks, which one the server chose, and what
 * the server is. Hello itself is always a frame of version 1.
 */
import { DaosError } from "../base/errors.ts";
import { decodeCbor, encodeCbor } from "../format/cbor.ts";
import { agreedVersion, formatVersions, type VersionRange } from "../base/version-range.ts";
import { PROTOCOL_VERSIONS } from "../format/frame.ts";
import type { HelloArguments, HelloReply } from "../format/operations.ts";

/** Arguments of a client's hello; `peer` names its software for the server's messages. */
export function encodeHello(peer: string, ours: VersionRange = PROTOCOL_VERSIONS): Uint8Array {
  const hello: HelloArguments = { protocol: { min: ours.oldest, max: ours.newest }, peer };
  return encodeCbor(hello);
}

/** The server's answer. Throws PROTOCOL or INVALID_ARGUMENT for malformed arguments, VERSION for no common version. */
export function answerHello(
  args: Uint8Array,
  role: HelloReply["role"],
  software: string,
  ours: VersionRange = PROTOCOL_VERSIONS,
): Uint8Array {
  const { min, max } = protocolRange(decodeCbor(args));
  const protocol = agreedVersion(ours, { oldest: min, newest: max });
  if (protocol === undefined) {
    throw new DaosError(
      "VERSION",
      `Cannot greet client: it speaks protocol versions ${min} to ${max}, this server ${formatVersions(ours)}. ` +
        "Use a client of the server's release.",
    );
  }
  const reply: HelloReply = { protocol, software, role };
  return encodeCbor(reply);
}

/** Checks the server's answer. Throws PROTOCOL or VERSION. */
export function decodeHelloReply(args: Uint8Array, ours: VersionRange = PROTOCOL_VERSIONS): HelloReply {
  const reply = decodeCbor(args);
  if (isMap(reply) && typeof reply.software === "string" && (reply.role === "management" || reply.role === "target")) {
    const { protocol, software, role } = reply;
    if (typeof protocol === "number" && protocol >= ours.oldest && protocol <= ours.newest) {
      return { protocol, software, role };
    }
    const state = `it chose protocol version ${String(protocol)}, this client speaks ${formatVersions(ours)}`;
    throw new DaosError("VERSION", `Cannot talk to server: ${state}. Use a client of the server's release.`);
  }
  throw new DaosError(
    "PROTOCOL",
    "Cannot talk to server: its greeting is malformed. Check that the port is a daos server's.",
  );
}

function protocolRange(hello: unknown): { min: number; max: number } {
  if (isMap(hello) && typeof hello.peer === "string" && isMap(hello.protocol)) {
    const { min, max } = hello.protocol;
    if (typeof min === "number" && typeof max === "number" && min <= max) return { min, max };
  }
  throw new DaosError("INVALID_ARGUMENT", "Cannot greet client: hello needs { protocol: { min, max }, peer }.");
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
