/**
 * Arguments of `prepare`: what the leader of a redundancy group asks another shard to do, at the epoch it gave. The
 * update's bytes are the payload. Little-endian:
 *
 *      0  u64 client        8  u64 sequence: with it the transaction's id        16  u64 first incomplete of the client
 *     24  u64 epoch        32  u32 container number    36  u16 opcode    38  u16 parts + 1, or 0
 *     40  of each part: u8 kind, 7 zero bytes, u64 address, u64 length
 *         then an object-request record, its handle 0 and no conditions: the leader has checked them
 *
 * With parts (erasure code) the update is these and not what the object record says: the shard's own, or none. The payload
 * has the bytes of those that write, in their order; with the record's flag `staged` it names instead what the client has
 * staged at the shard (staged-payload.ts).
 */
import { DaosError } from "../base/errors.ts";
import type { Epoch } from "../base/epoch.ts";
import { decodeObjectRequest, encodeObjectRequest, objectRequestBytes, type ObjectRequest } from "./object-request.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

const NO_PARTS: readonly PreparedPart[] = [];
const PREPARE_HEADER_BYTES = 40;
const PART_BYTES = 24;
const PART_KINDS = { write: 1, punch: 2, value: 3, block: 4 } as const;
const KIND_NAMES: readonly (keyof typeof PART_KINDS | undefined)[] = [undefined, "write", "punch", "value", "block"];
/** Parts of one update on one shard. */
export const MAX_PREPARED_PARTS = 4096;

/** What a shard of an erasure-coded akey is to do: see ShardPart in src/contracts/redundancy.ts. */
export interface PreparedPart {
  /** `block`: a write after which its MiB holds nothing else. */
  readonly kind: keyof typeof PART_KINDS;
  readonly address: number;
  readonly length: number;
}

/** A part with its bytes, `length` of them; empty for a punch. */
export interface PartBytes extends PreparedPart {
  readonly bytes: Uint8Array;
  /** CRC-32 of the bytes, from where they were verified last or made. */
  readonly checksum?: number | undefined;
}

export interface PrepareRequest {
  readonly client: number;
  readonly sequence: number;
  readonly firstIncomplete: number;
  readonly epoch: Epoch;
  readonly container: number;
  readonly opcode: number;
  readonly object: Readonly<ObjectRequest>;
  /** Undefined: the update is what `object` says. */
  readonly parts: readonly PreparedPart[] | undefined;
}

export function prepareRequestBytes(request: PrepareRequest): number {
  return PREPARE_HEADER_BYTES + PART_BYTES * (request.parts?.length ?? 0) + objectRequestBytes(request.object);
}

/** Writes the record at `offset`, prepareRequestBytes of it. */
export function encodePrepareRequest(into: Buffer, offset: number, request: PrepareRequest): void {
  writeUint64(into, request.client, offset);
  writeUint64(into, request.sequence, offset + 8);
  writeUint64(into, request.firstIncomplete, offset + 16);
  writeUint64(into, request.epoch, offset + 24);
  into.writeUInt32LE(request.container, offset + 32);
  into.writeUInt16LE(request.opcode, offset + 36);
  const { parts } = request;
  into.writeUInt16LE(parts === undefined ? 0 : parts.length + 1, offset + 38);
  let at = offset + PREPARE_HEADER_BYTES;
  for (const part of parts ?? NO_PARTS) {
    writeUint64(into, PART_KINDS[part.kind], at);
    writeUint64(into, part.address, at + 8);
    writeUint64(into, part.length, at + 16);
    at += PART_BYTES;
  }
  encodeObjectRequest(into, at, request.object);
}

/** Reads the record of `length` bytes at `start`. Throws INVALID_ARGUMENT: lengths or numbers that cannot be. */
export function decodePrepareRequest(view: Buffer, start: number, length: number): PrepareRequest {
  if (length < PREPARE_HEADER_BYTES) throw malformed("it is too short");
  const count = view.readUInt16LE(start + 38);
  const objectAt = PREPARE_HEADER_BYTES + PART_BYTES * Math.max(0, count - 1);
  if (count > MAX_PREPARED_PARTS + 1 || length < objectAt) throw malformed("its parts do not fit");
  const request: PrepareRequest = {
    client: readUint64(view, start),
    sequence: readUint64(view, start + 8),
    firstIncomplete: readUint64(view, start + 16),
    epoch: readUint64(view, start + 24) as Epoch,
    container: view.readUInt32LE(start + 32),
    opcode: view.readUInt16LE(start + 36),
    object: decodeObjectRequest(view, start + objectAt, length - objectAt),
    parts: count === 0 ? undefined : decodeParts(view, start + PREPARE_HEADER_BYTES, count - 1),
  };
  const { client, sequence, firstIncomplete, epoch } = request;
  const isSafe = [client, sequence, firstIncomplete, epoch].every((number) => Number.isSafeInteger(number));
  if (!isSafe || epoch === 0) throw malformed("a number is out of range");
  return request;
}

function decodeParts(view: Buffer, start: number, count: number): PreparedPart[] {
  const parts: PreparedPart[] = [];
  for (let at = start; parts.length < count; at += PART_BYTES) {
    const kind = KIND_NAMES[readUint64(view, at)];
    const address = readUint64(view, at + 8);
    const length = readUint64(view, at + 16);
    if (kind === undefined || !Number.isSafeInteger(address + length)) throw malformed("a part of it is none");
    parts.push({ kind, address, length });
  }
  return parts;
}

function malformed(what: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot read prepare request: ${what}.`);
}
