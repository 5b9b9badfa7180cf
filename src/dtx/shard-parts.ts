/** The parts of an update of an erasure-coded akey, by shard, in the form in which they are sent and stored. */
import { crc32 } from "../base/checksum.ts";
import { joinChecksums } from "../base/checksum-join.ts";
import { splitChecksum } from "../base/damage.ts";
import type { ByteString } from "../base/bytes.ts";
import type { ShardPart } from "../contracts/redundancy.ts";
import type { PartBytes, PreparedPart } from "../format/prepare-request.ts";
import type { SummedPayload } from "../rpc/pending-call.ts";

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
    const bytes = joined(part.views);
    const { address, length } = part;
    const stored = { kind: storedKind(part), address, length, bytes, checksum: crc32(bytes) };
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

/** The bytes of all of them, one after the other, with the checksum that follows from theirs. */
export function payloadOf(parts: readonly PartBytes[]): SummedPayload | undefined {
  const views: Uint8Array[] = [];
  let length = 0;
  let checksum = 0;
  for (const { bytes, checksum: own } of parts) {
    if (bytes.length === 0) continue;
    views.push(bytes);
    length += bytes.length;
    checksum = joinChecksums(checksum, own ?? crc32(bytes), bytes.length);
  }
  return views.length === 0 ? undefined : { length, views, checksum };
}

/** The bytes of a part alone. */
export function bytesOfPart(part: ShardPart): Uint8Array {
  return joined(part.views);
}

/** Bytes that come with parts: all but those of punches. */
export function storedBytes(parts: readonly PreparedPart[]): number {
  return parts.reduce((bytes, { kind, length }) => (kind === "punch" ? bytes : bytes + length), 0);
}

/**
 * The parts of a prepare request and its payload, whose CRC-32 is `checksum` as its sender made it. Throws DAMAGED when the bytes
 * of the parts are not what that says.
 */
export function receivedParts(parts: readonly PreparedPart[], payload: Uint8Array, checksum: number): PartBytes[] {
  let at = 0;
  const runs = parts.map(({ kind, length }) => {
    const start = at;
    if (kind !== "punch") at += length;
    return { start, end: at };
  });
  const checksums = splitChecksum(payload, checksum, runs);
  return parts.map((part, index) => {
    const { start, end } = runs[index]!;
    return { ...part, bytes: payload.subarray(start, end), checksum: checksums[index]! };
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
