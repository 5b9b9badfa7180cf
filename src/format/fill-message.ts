/**
 * What a leader sends to a target that it fills: versions of the cells of a dkey as they are stored, with their original
 * epochs. Little-endian.
 *
 *   arguments   0  u8 kind (FillKind)   1  u8 flags (FillFlag)   2  u16 zero   4  u32 container   8  u32 count
 *              12  cells, hurry: the dkey's prefix;  open: `count` u64 epochs of snapshots;  close: u64 epoch, see Requests.forgottenTo
 *   payload     cells: `count` versions: u64 epoch, u8 kind, u8 1 when it has bytes, u16 key length, u8 meta length, 3 zeros,
 *               u32 length of the bytes, then what the key has behind the prefix, meta, bytes
 *               close: `count` requests: u64 client, u64 sequence, u64 first incomplete, u64 epoch
 *               compare: see fill-compare.ts
 *   reply       open: one byte, 1 when the leader has closed it before under this map, 2 when it has to compare what is there
 *               compare: see fill-compare.ts
 */
import { byteString, type ByteString, bytesOf } from "../base/bytes.ts";
import { crc32, crc32Range } from "../base/checksum.ts";
import { joinChecksums } from "../base/checksum-join.ts";
import { damagedBeforeStore } from "../base/damage.ts";
import { DaosError } from "../base/errors.ts";
import type { Epoch } from "../base/epoch.ts";
import { type CompareRequest, decodeCompareRequest, encodeCompareRequest } from "./fill-compare.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

const HEADER_BYTES = 12;
const VERSION_BYTES = 20;
const REQUEST_BYTES = 32;

/**
 * `open`: a leader begins, or begins again, with a container. `cells`: a dkey, in one message or several. `close`: it has
 * brought all dkeys of the container that it leads. `hurry`: an update waits for a dkey now that is being brought. `compare`: what
 * has it already (fill-compare.ts)? `holds`: from a target to a leader, which has not opened it: it may have something of those.
 */
export const FillKind = { open: 1, cells: 2, close: 3, hurry: 4, compare: 5, holds: 6 } as const;
export const FillFlag = {
  /** The first message of a dkey: what is there goes. */
  first: 1,
  /** The last one of a dkey, or of the requests. */
  last: 2,
  /** An update waits for the dkey. */
  urgent: 4,
  /** Of an open: what the target has is compared. Of a close: all of it was. */
  compared: 8,
} as const;

/** A version of a cell as it travels: bytes in the form that they have in a record. */
export interface CopiedVersion {
  readonly key: ByteString;
  readonly epoch: Epoch;
  readonly kind: 1 | 2 | 3;
  readonly meta: Uint8Array;
  readonly bytes: Uint8Array | undefined;
  /** CRC-32 that the bytes have where they come from; absent where they are made. */
  readonly checksum?: number | undefined;
}

/** A request that was completed where it came from. */
export interface CompletedElsewhere {
  readonly client: number;
  readonly sequence: number;
  readonly firstIncomplete: number;
  readonly epoch: Epoch;
}

export interface FillMessage {
  readonly args: Uint8Array;
  readonly payload: Uint8Array;
  /** CRC-32 of the payload, as follows from those of the versions' bytes where they come from. */
  readonly checksum: number;
}

export type FillRequest =
  | {
      readonly kind: "open";
      readonly container: number;
      readonly snapshots: readonly Epoch[];
      /** The leader compares what is there; those of before do not. */
      readonly compares: boolean;
    }
  | {
      readonly kind: "cells";
      readonly container: number;
      readonly flags: number;
      /** Of the dkey. */
      readonly prefix: string;
      /** Of each cell from the oldest on. */
      readonly versions: readonly CopiedVersion[];
    }
  | {
      readonly kind: "close";
      readonly container: number;
      readonly flags: number;
      readonly requests: readonly CompletedElsewhere[];
      /** No request that was completed where it came from and is forgotten there has a later epoch. */
      readonly forgottenTo: Epoch;
    }
  | { readonly kind: "hurry"; readonly container: number; readonly prefix: string }
  | { readonly kind: "compare"; readonly container: number; readonly compare: CompareRequest }
  | { readonly kind: "holds"; readonly container: number };

const NOTHING = { payload: new Uint8Array(0), checksum: 0 };

export function encodeFillRequest(request: FillRequest): FillMessage {
  switch (request.kind) {
    case "open": {
      const flags = request.compares ? FillFlag.compared : 0;
      const { length } = request.snapshots;
      const args = header(FillKind.open, flags, request.container, length, 8 * length);
      request.snapshots.forEach((epoch, index) => writeUint64(args, epoch, HEADER_BYTES + 8 * index));
      return { args, ...NOTHING };
    }
    case "cells": {
      const { container, flags, prefix, versions } = request;
      const args = header(FillKind.cells, flags, container, versions.length, prefix.length);
      args.latin1Write(prefix, HEADER_BYTES);
      return { args, ...encodeVersions(prefix, versions) };
    }
    case "close": {
      const { requests } = request;
      const payload = Buffer.alloc(REQUEST_BYTES * requests.length);
      requests.forEach(({ client, sequence, firstIncomplete, epoch }, index) => {
        [client, sequence, firstIncomplete, epoch].forEach((number, place) =>
          writeUint64(payload, number, REQUEST_BYTES * index + 8 * place),
        );
      });
      const args = header(FillKind.close, request.flags, request.container, requests.length, 8);
      writeUint64(args, request.forgottenTo, HEADER_BYTES);
      return { args, payload, checksum: crc32(payload) };
    }
    case "hurry": {
      const args = header(FillKind.hurry, 0, request.container, 0, request.prefix.length);
      args.latin1Write(request.prefix, HEADER_BYTES);
      return { args, ...NOTHING };
    }
    case "compare": {
      const payload = encodeCompareRequest(request.compare);
      return { args: header(FillKind.compare, 0, request.container, 0, 0), payload, checksum: crc32(payload) };
    }
    case "holds":
      return { args: header(FillKind.holds, 0, request.container, 0, 0), ...NOTHING };
    default:
      return request satisfies never;
  }
}

/**
 * Throws INVALID_ARGUMENT, and DAMAGED when the payload is not what `checksum`, which its sender made, says. The bytes of versions
 * are views of the payload.
 */
export function decodeFillRequest(args: Uint8Array, payload: Uint8Array, checksum: number): FillRequest {
  const view = Buffer.from(args.buffer, args.byteOffset, args.length);
  if (view.length < HEADER_BYTES || view.readUInt16LE(2) !== 0) throw malformed("its header is none");
  const flags = view[1]!;
  const container = view.readUInt32LE(4);
  const count = view.readUInt32LE(8);
  switch (view[0]) {
    case FillKind.open: {
      if (view.length !== HEADER_BYTES + 8 * count) throw malformed("its lengths do not add up");
      const snapshots = Array.from({ length: count }, (_, index) => number(view, HEADER_BYTES + 8 * index) as Epoch);
      return { kind: "open", container, snapshots, compares: (flags & FillFlag.compared) !== 0 };
    }
    case FillKind.cells: {
      const prefix = byteString(view, HEADER_BYTES);
      return { kind: "cells", container, flags, prefix, versions: decodeVersions(prefix, payload, count, checksum) };
    }
    case FillKind.close: {
      if (view.length !== HEADER_BYTES + 8) throw malformed("its lengths do not add up");
      const forgottenTo = number(view, HEADER_BYTES) as Epoch;
      return { kind: "close", container, flags, requests: decodeRequests(payload, count), forgottenTo };
    }
    case FillKind.hurry:
      return { kind: "hurry", container, prefix: byteString(view, HEADER_BYTES) };
    case FillKind.compare:
      return { kind: "compare", container, compare: decodeCompareRequest(payload) };
    case FillKind.holds:
      return { kind: "holds", container };
    default:
      throw malformed("its kind is none");
  }
}

function header(kind: number, flags: number, container: number, count: number, moreBytes: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + moreBytes);
  bytes[0] = kind;
  bytes[1] = flags;
  bytes.writeUInt32LE(container, 4);
  bytes.writeUInt32LE(count, 8);
  return bytes;
}

/** Bytes of a version in a message to fill the dkey with this prefix. */
export function copiedVersionBytes(prefix: string, { key, meta, bytes }: CopiedVersion): number {
  return VERSION_BYTES + key.length - prefix.length + meta.length + (bytes?.length ?? 0);
}

function encodeVersions(prefix: string, versions: readonly CopiedVersion[]): Omit<FillMessage, "args"> {
  const length = versions.reduce((sum, version) => sum + copiedVersionBytes(prefix, version), 0);
  const into = Buffer.allocUnsafeSlow(length);
  let at = 0;
  let whole = 0;
  for (const { key, epoch, kind, meta, bytes, checksum } of versions) {
    const start = at;
    const name = bytesOf(key.slice(prefix.length) as ByteString);
    into.fill(0, at, at + VERSION_BYTES);
    writeUint64(into, epoch, at);
    into[at + 8] = kind;
    into[at + 9] = bytes === undefined ? 0 : 1;
    into.writeUInt16LE(name.length, at + 10);
    into[at + 12] = meta.length;
    into.writeUInt32LE(bytes?.length ?? 0, at + 16);
    at += VERSION_BYTES;
    for (const part of [name, meta]) {
      into.set(part, at);
      at += part.length;
    }
    whole = crc32Range(into, start, at, whole);
    if (bytes === undefined) continue;
    into.set(bytes, at);
    at += bytes.length;
    whole = joinChecksums(whole, checksum ?? crc32(bytes), bytes.length);
  }
  return { payload: into, checksum: whole };
}

function decodeVersions(prefix: string, payload: Uint8Array, count: number, whole: number): CopiedVersion[] {
  const view = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const versions: CopiedVersion[] = [];
  let at = 0;
  let joined = 0;
  while (versions.length < count) {
    if (at + VERSION_BYTES > view.length) throw malformed("it is cut off");
    const kind = view[at + 8]!;
    const epoch = number(view, at) as Epoch;
    if (kind < 1 || kind > 3 || epoch === 0) throw malformed("a version of it is none");
    const hasBytes = view[at + 9] === 1;
    const nameEnd = at + VERSION_BYTES + view.readUInt16LE(at + 10);
    const metaEnd = nameEnd + view[at + 12]!;
    const end = metaEnd + view.readUInt32LE(at + 16);
    if (end > view.length) throw malformed("it is cut off");
    const checksum = hasBytes ? crc32Range(view, metaEnd, end) : undefined;
    joined = crc32Range(view, at, hasBytes ? metaEnd : end, joined);
    if (checksum !== undefined) joined = joinChecksums(joined, checksum, end - metaEnd);
    versions.push({
      key: (prefix + byteString(view.subarray(at + VERSION_BYTES, nameEnd))) as ByteString,
      epoch,
      kind: kind as CopiedVersion["kind"],
      meta: new Uint8Array(view.subarray(nameEnd, metaEnd)),
      bytes: hasBytes ? view.subarray(metaEnd, end) : undefined,
      checksum,
    });
    at = end;
  }
  if (at !== view.length) throw malformed("its lengths do not add up");
  if (joined !== whole) throw damagedBeforeStore("when the dkey was filled");
  return versions;
}

function decodeRequests(payload: Uint8Array, count: number): CompletedElsewhere[] {
  const view = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  if (view.length !== REQUEST_BYTES * count) throw malformed("its lengths do not add up");
  return Array.from({ length: count }, (_, index) => {
    const at = REQUEST_BYTES * index;
    return {
      client: number(view, at),
      sequence: number(view, at + 8),
      firstIncomplete: number(view, at + 16),
      epoch: number(view, at + 24) as Epoch,
    };
  });
}

function number(view: Buffer, at: number): number {
  const value = readUint64(view, at);
  if (Number.isSafeInteger(value)) return value;
  throw malformed("a number is out of range");
}

function malformed(what: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot read fill message: ${what}.`);
}
