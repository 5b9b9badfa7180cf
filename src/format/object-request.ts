/**
 * Arguments of the hot object operations (valueFetch .. akeyPunch), and of their replies. Little-endian, fixed, because
 * one is decoded per operation; everything rarer is CBOR.
 *
 * Request:
 *      0  u32 container handle   4  u32 flags (ObjectFlag)     8  16 bytes object id
 *     24  u64 epoch, 0 = latest  32  u64 first record index    40  u64 record count
 *     48  u32 record bytes       52  u16 dkey length           54  u16 akey length
 *     56  with flag 32: u64 client, u64 sequence, u64 first incomplete sequence of that client (RequestId), u64 epoch at which
 *         the client gave the number
 *     56 or 88  dkey, then akey
 * Reply:
 *      0  u64 epoch of the write, or of the newest version read     8  u64 value or data length, bytes
 *     16  u32 record bytes (arrays)                                 20  u32 flags (ReplyFlag)
 */
import type { ByteString } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { type Epoch, EPOCH_NONE } from "../base/epoch.ts";
import { MAX_AKEY_BYTES, MAX_DKEY_BYTES } from "../base/limits.ts";
import type { ObjectId } from "../base/object-id.ts";

export const OBJECT_REQUEST_BYTES = 56;
export const OBJECT_REPLY_BYTES = 24;

/** Conditions (DAOS_COND_*): fail with ALREADY_EXISTS or DOES_NOT_EXIST. At most one a level. */
export const ObjectFlag = {
  ifDkeyAbsent: 1,
  ifDkeyExists: 2,
  ifAkeyAbsent: 4,
  ifAkeyExists: 8,
  ifObjectExists: 16,
  /** Of shard reads: when the epoch was aggregated away, show the first later one that can be read. */
  orNextReadable: 64,
  /**
   * Of shard reads: the epoch is one of the dkey's updates that some shard has shown. The leader has sent all that lie
   * before it to every shard, so that no later write has to be kept from going there.
   */
  epochIsSeen: 128,
  /** Of updates: the payload names what the members of the group have staged (staged-payload.ts). */
  staged: 256,
  /**
   * Of shard reads among targets: show what is left of the epoch, whatever was aggregated since. Who asks can tell whether it
   * is what it was: it has checksums.
   */
  asStored: 512,
} as const;
const SHARD_READ_FLAGS = ObjectFlag.orNextReadable | ObjectFlag.epochIsSeen | ObjectFlag.asStored;
const KNOWN_FLAGS = 31 | SHARD_READ_FLAGS | ObjectFlag.staged;
/** The record names its request. */
const FLAG_IDENTIFIED = 32;
const REQUEST_ID_BYTES = 32;
const NO_KEY = "" as ByteString;

export const ReplyFlag = {
  /** valueFetch, arrayRead: there is something. Without it the payload is empty (value) or all zeros (array). */
  found: 1,
} as const;

/**
 * Names an update, so that the same one sent again takes effect once (RIFL: Lee et al., 2015). A client numbers its updates
 * from 1; `firstIncomplete` is the least one whose answer it still waits for: what is below it will not be sent again.
 * `sequence` 0: the request has no name.
 */
export interface RequestId {
  /** Random, of the client. */
  client: number;
  sequence: number;
  firstIncomplete: number;
}

/** Of a request without a name. */
export const NO_REQUEST_ID: Readonly<RequestId> = { client: 0, sequence: 0, firstIncomplete: 0 };

export interface ObjectRequest extends RequestId {
  /**
   * The clock of the client when it gave the number; frames that carry the request have no earlier epoch. So whatever the
   * request does has a later one. Undefined: no client has sent it.
   */
  issued?: Epoch | undefined;
  handle: number;
  flags: number;
  oid: ObjectId;
  epoch: Epoch;
  recordIndex: number;
  recordCount: number;
  recordBytes: number;
  dkey: ByteString;
  akey: ByteString;
}

/** Of a request that engines give each other: what it says besides a dkey, an epoch and its number. */
export const DKEY_STEP: Readonly<
  Pick<ObjectRequest, "handle" | "flags" | "recordIndex" | "recordCount" | "recordBytes" | "akey">
> = { handle: 0, flags: 0, recordIndex: 0, recordCount: 0, recordBytes: 0, akey: NO_KEY };

export interface ObjectReply {
  epoch: Epoch;
  lengthBytes: number;
  recordBytes: number;
  flags: number;
}

function writeUInt64(into: Buffer, value: number, offset: number): void {
  into.writeUInt32LE(value >>> 0, offset);
  into.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4);
}

function readUInt64(from: Buffer, offset: number): number {
  return from.readUInt32LE(offset) + from.readUInt32LE(offset + 4) * 0x1_0000_0000;
}

export function objectRequestBytes(request: Readonly<ObjectRequest>): number {
  return (
    OBJECT_REQUEST_BYTES + (request.sequence === 0 ? 0 : REQUEST_ID_BYTES) + request.dkey.length + request.akey.length
  );
}

/** Writes the record at `offset`; returns its length. The caller has checked the keys' lengths. */
export function encodeObjectRequest(into: Buffer, offset: number, request: Readonly<ObjectRequest>): number {
  into.writeUInt32LE(request.handle, offset);
  into.writeUInt32LE(request.sequence === 0 ? request.flags : request.flags | FLAG_IDENTIFIED, offset + 4);
  into.latin1Write(request.oid, offset + 8, 16);
  writeUInt64(into, request.epoch, offset + 24);
  writeUInt64(into, request.recordIndex, offset + 32);
  writeUInt64(into, request.recordCount, offset + 40);
  into.writeUInt32LE(request.recordBytes, offset + 48);
  into.writeUInt16LE(request.dkey.length, offset + 52);
  into.writeUInt16LE(request.akey.length, offset + 54);
  let position = offset + OBJECT_REQUEST_BYTES;
  if (request.sequence !== 0) {
    writeUInt64(into, request.client, position);
    writeUInt64(into, request.sequence, position + 8);
    writeUInt64(into, request.firstIncomplete, position + 16);
    writeUInt64(into, request.issued ?? EPOCH_NONE, position + 24);
    position += REQUEST_ID_BYTES;
  }
  into.latin1Write(request.dkey, position, request.dkey.length);
  position += request.dkey.length;
  into.latin1Write(request.akey, position, request.akey.length);
  return position + request.akey.length - offset;
}

/**
 * Reads the record of `length` bytes at `start`. Throws INVALID_ARGUMENT: lengths that do not add up, keys over their
 * limit, numbers over 2^53, unknown flags.
 */
export function decodeObjectRequest(view: Buffer, start = 0, length = view.length): ObjectRequest {
  if (length < OBJECT_REQUEST_BYTES) throw malformed("it is too short");
  const dkeyLength = view.readUInt16LE(start + 52);
  const akeyLength = view.readUInt16LE(start + 54);
  if (dkeyLength > MAX_DKEY_BYTES) throw malformed(`the dkey has ${dkeyLength} bytes, ${MAX_DKEY_BYTES} are allowed`);
  if (akeyLength > MAX_AKEY_BYTES) throw malformed(`the akey has ${akeyLength} bytes, ${MAX_AKEY_BYTES} are allowed`);
  const flags = view.readUInt32LE(start + 4);
  const isIdentified = (flags & FLAG_IDENTIFIED) !== 0;
  const idStart = start + OBJECT_REQUEST_BYTES;
  const dkeyStart = isIdentified ? idStart + REQUEST_ID_BYTES : idStart;
  const akeyStart = dkeyStart + dkeyLength;
  if (akeyStart + akeyLength !== start + length) throw malformed("its lengths do not add up");
  const request: ObjectRequest = {
    handle: view.readUInt32LE(start),
    flags: flags & ~FLAG_IDENTIFIED,
    oid: view.latin1Slice(start + 8, start + 24) as ObjectId,
    epoch: readUInt64(view, start + 24) as Epoch,
    recordIndex: readUInt64(view, start + 32),
    recordCount: readUInt64(view, start + 40),
    recordBytes: view.readUInt32LE(start + 48),
    dkey: view.latin1Slice(dkeyStart, akeyStart) as ByteString,
    akey: akeyLength === 0 ? NO_KEY : (view.latin1Slice(akeyStart, akeyStart + akeyLength) as ByteString),
    client: isIdentified ? readUInt64(view, idStart) : 0,
    sequence: isIdentified ? readUInt64(view, idStart + 8) : 0,
    firstIncomplete: isIdentified ? readUInt64(view, idStart + 16) : 0,
    issued: isIdentified ? (readUInt64(view, idStart + 24) as Epoch) : undefined,
  };
  if ((request.flags & ~KNOWN_FLAGS) !== 0) throw malformed("it has unknown flags");
  if (isIdentified) checkRequestId(request);
  if (
    !Number.isSafeInteger(request.epoch) ||
    !Number.isSafeInteger(request.recordIndex) ||
    !Number.isSafeInteger(request.recordCount)
  ) {
    throw malformed("a number is over 2^53");
  }
  return request;
}

function checkRequestId({ client, sequence, firstIncomplete, issued }: ObjectRequest): void {
  const isSafe = [client, sequence, firstIncomplete, issued].every((number) => Number.isSafeInteger(number));
  if (!isSafe || sequence === 0 || firstIncomplete > sequence) throw malformed("its request id cannot be one");
}

function malformed(what: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot read object request: ${what}.`);
}

export function encodeObjectReply(into: Buffer, offset: number, reply: Readonly<ObjectReply>): void {
  writeUInt64(into, reply.epoch, offset);
  writeUInt64(into, reply.lengthBytes, offset + 8);
  into.writeUInt32LE(reply.recordBytes, offset + 16);
  into.writeUInt32LE(reply.flags, offset + 20);
}

/**
 * Reads the record of `length` bytes at `start`. Throws PROTOCOL when they are not a reply record. Flags this build does
 * not know are left to the caller.
 */
export function decodeObjectReply(view: Buffer, start = 0, length = view.length): ObjectReply {
  if (length !== OBJECT_REPLY_BYTES) {
    throw new DaosError("PROTOCOL", `Cannot read object reply: ${length} bytes instead of ${OBJECT_REPLY_BYTES}.`);
  }
  const reply: ObjectReply = {
    epoch: readUInt64(view, start) as Epoch,
    lengthBytes: readUInt64(view, start + 8),
    recordBytes: view.readUInt32LE(start + 16),
    flags: view.readUInt32LE(start + 20),
  };
  if (!Number.isSafeInteger(reply.epoch) || !Number.isSafeInteger(reply.lengthBytes)) {
    throw new DaosError("PROTOCOL", "Cannot read object reply: a number is over 2^53.");
  }
  return reply;
}
