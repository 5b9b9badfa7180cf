/** The parts of an update of an erasure-coded akey, by shard, in the form in which they are sent and stored. */
import type { ByteString } from "../base/bytes.ts";
import type { ShardPart } from "../contracts/redundancy.ts";
import type { PartBytes, PreparedPart } from "../format/prepare-request.ts";

/** By number of the shard, in the order of the plan. */
export type ShardParts = ReadonlyMap<number, readonly PartBytes[]>;

/** What of an array this target does in an update. */
export interface ArrayShare {
  readonly akey: ByteString;
  readonly parts: readonly PreparedPart[];
}

export const NO_PARTS: readonly PartBytes[] = [];
const NO_BYTES = new Uint8Array(0);

export function shardParts(parts: readonly ShardPart[]): ShardParts {
  const byShard = new Map<number, PartBytes[]>();
  for (const part of parts) {
    const stored = { kind: storedKind(part), address: part.address, length: part.length, bytes: joined(part.views) };
    const others = byShard.get(part.shard);
    if (others === undefined) byShard.set(part.shard, [stored]);
    else others.push(stored);
  }
  return byShard;
}

/** Nothing else lies in the MiB of a stripe's parity. */
function storedKind({ kind, holds }: ShardPart): PreparedPart["kind"] {
  return kind === "write" && holds === "parity" ? "block" : kind;
}

/** The bytes of all of them, one after the other. */
export function payloadOf(parts: readonly PartBytes[]): Uint8Array | undefined {
  const views = parts.flatMap(({ bytes }) => (bytes.length === 0 ? [] : [bytes]));
  return views.length === 0 ? undefined : joined(views);
}

/** Bytes that come with parts: all but those of punches. */
export function storedBytes(parts: readonly PreparedPart[]): number {
  return parts.reduce((bytes, { kind, length }) => (kind === "punch" ? bytes : bytes + length), 0);
}

/** The parts of a prepare request and its payload. */
export function receivedParts(parts: readonly PreparedPart[], payload: Uint8Array): PartBytes[] {
  let at = 0;
  return parts.map((part) => {
    const start = at;
    if (part.kind !== "punch") at += part.length;
    return { ...part, bytes: payload.subarray(start, at) };
  });
}

function joined(views: readonly Uint8Array[]): Uint8Array {
  if (views.length <= 1) return views[0] ?? NO_BYTES;
  const bytes = Buffer.allocUnsafeSlow(views.reduce((length, view) => length + view.length, 0));
  let at = 0;
  for (const view of views) {
    bytes.set(view, at);
    at += view.length;
  }
  return bytes;
}
