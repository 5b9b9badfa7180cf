/**
 * Arguments of `prepare`: what the leader of a redundancy group asks another shard to do, at the epoch it gave. The
 * update's bytes are the payload. Little-endian:
 *
 *      0  u64 client        8  u64 sequence: with it the transaction's id        16  u64 first incomplete of the client
 *     24  u64 epoch        32  u32 container number    36  u16 opcode    38  u16 zero
 *     40  object-request record, its handle and flags 0: the leader has checked the conditions
 */
import { DaosError } from "../base/errors.ts";
import type { Epoch } from "../base/epoch.ts";
import { decodeObjectRequest, encodeObjectRequest, objectRequestBytes, type ObjectRequest } from "./object-request.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

const PREPARE_HEADER_BYTES = 40;

export interface PrepareRequest {
  readonly client: number;
  readonly sequence: number;
  readonly firstIncomplete: number;
  readonly epoch: Epoch;
  readonly container: number;
  readonly opcode: number;
  readonly object: Readonly<ObjectRequest>;
}

export function prepareRequestBytes(request: PrepareRequest): number {
  return PREPARE_HEADER_BYTES + objectRequestBytes(request.object);
}

/** Writes the record at `offset`, prepareRequestBytes of it. */
export function encodePrepareRequest(into: Buffer, offset: number, request: PrepareRequest): void {
  writeUint64(into, request.client, offset);
  writeUint64(into, request.sequence, offset + 8);
  writeUint64(into, request.firstIncomplete, offset + 16);
  writeUint64(into, request.epoch, offset + 24);
  into.writeUInt32LE(request.container, offset + 32);
  into.writeUInt32LE(request.opcode, offset + 36);
  encodeObjectRequest(into, offset + PREPARE_HEADER_BYTES, request.object);
}

/** Reads the record of `length` bytes at `start`. Throws INVALID_ARGUMENT: lengths or numbers that cannot be. */
export function decodePrepareRequest(view: Buffer, start: number, length: number): PrepareRequest {
  if (length < PREPARE_HEADER_BYTES) throw malformed("it is too short");
  const request: PrepareRequest = {
    client: readUint64(view, start),
    sequence: readUint64(view, start + 8),
    firstIncomplete: readUint64(view, start + 16),
    epoch: readUint64(view, start + 24) as Epoch,
    container: view.readUInt32LE(start + 32),
    opcode: view.readUInt16LE(start + 36),
    object: decodeObjectRequest(view, start + PREPARE_HEADER_BYTES, length - PREPARE_HEADER_BYTES),
  };
  const { client, sequence, firstIncomplete, epoch } = request;
  if (view.readUInt16LE(start + 38) !== 0) throw malformed("its reserved bytes are not zero");
  const isSafe = [client, sequence, firstIncomplete, epoch].every((number) => Number.isSafeInteger(number));
  if (!isSafe || epoch === 0) throw malformed("a number is out of range");
  return request;
}

function malformed(what: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot read prepare request: ${what}.`);
}
