/**
 * Writing and punching arrays. A write cuts its records into windows: small pieces travel in the log record, the rest goes
 * to one contiguous extent that the windows share in slices. All windows of a write appear in one atomic record.
 */
import type { ByteString } from "../base/bytes.ts";
import { joinRuns, splitChecksum } from "../base/damage.ts";
import type { Epoch } from "../base/epoch.ts";
import { hasCode } from "../base/errors.ts";
import { BLOCK_BYTES, MAX_ARRAY_BYTES } from "../base/limits.ts";
import { recordSizeMismatch } from "../base/object-refusals.ts";
import { type CellWrite, type ExtentRef, VersionKind } from "../store/cell.ts";
import {
  accessArray,
  type ArrayAccess,
  byteRange,
  type CrowdedWindow,
  holdsSingle,
  type RecordRange,
  writtenRange,
} from "./array-read.ts";
import {
  addHeader,
  addHoles,
  addMarker,
  addPiece,
  type ArrayRecord,
  noteArrays,
  type PieceBytes,
} from "./array-record.ts";
import { writeLed } from "./led-extent.ts";
import { classBit, cutIntoWindows, type WindowPiece } from "./array-window.ts";
import { windowClassOf, windowOf } from "./cell-key.ts";
import { type ArrayHeader, type ByteRun } from "./cell-meta.ts";
import { anythingVisible, checkConditions, checkFlags, LATEST, UPDATE_FLAGS } from "./condition.ts";
import { appendPunch, nothingPunched, type PunchRecord } from "./punch-record.ts";
import { type AkeyRequest, mixed, RECORD_OVERHEAD_BYTES, refusedWrite, type WriteOutcome } from "./single-value.ts";
import { type StagedUpdate, StagedWrite } from "./staged-write.ts";
import { checkKeys, Seen, type TargetObjects } from "./target-objects.ts";
import { mustRecord, type WriteOrder } from "./write-order.ts";

/** Windows with data that one range punch may touch: it is one atomic record. */
export const MAX_PUNCHED_WINDOWS = 256;

/** Hears of windows whose parts should be merged. */
export type Crowded = (container: number, request: AkeyRequest, windows: readonly CrowdedWindow[]) => void;

interface PlannedPiece extends WindowPiece {
  /** CRC-32 of its bytes, as follows from that of the whole write. */
  readonly checksum: number;
  /** Its bytes when they go into the record. */
  readonly inline: Uint8Array | undefined;
}

/** Where the bytes of a write go. */
interface WritePlan {
  readonly start: number;
  readonly pieces: readonly PlannedPiece[];
  /** Array bytes that go to the extent; empty when all pieces are small. */
  readonly bulk: ByteRun;
  /** Of the bulk bytes; 0 without. */
  readonly bulkChecksum: number;
  readonly recordBytes: number;
  /** Bytes of the log record. */
  readonly logBytes: number;
}

/** The plan with bytes of its own for the record. */
function keptPlan(plan: WritePlan): WritePlan {
  return {
    ...plan,
    pieces: plan.pieces.map((piece) => ({ ...piece, inline: piece.inline && new Uint8Array(piece.inline) })),
  };
}

/** Throws INVALID_ARGUMENT, TOO_LARGE, and DAMAGED when the bytes are not what their checksum says. */
function planWrite(request: AkeyRequest & RecordRange, bytes: Uint8Array, inlineBytes: number): WritePlan {
  const range = writtenRange(request, bytes);
  const windows = cutIntoWindows(range.start, range.end);
  const checksums = splitChecksum(bytes, request.checksum, windows);
  const pieces = windows.map((piece, index) => {
    const isInline = piece.end - piece.start <= inlineBytes;
    const inline = isInline ? bytes.subarray(piece.start - range.start, piece.end - range.start) : undefined;
    return { ...piece, checksum: checksums[index]!, inline };
  });
  const bulk = { start: range.end, end: range.start };
  // A key takes up to twice its length; object and akey cell may be part of the record.
  const cellBytes = RECORD_OVERHEAD_BYTES + 2 * (request.dkey.length + request.akey.length);
  let logBytes = 2 * cellBytes;
  for (const { start, end, inline } of pieces) {
    logBytes += cellBytes;
    if (inline !== undefined) {
      logBytes += inline.length;
      continue;
    }
    // Checksums, and up to two ranges of smaller windows to reclaim.
    logBytes += (end - start) / 1024 + 4 * cellBytes;
    bulk.start = Math.min(bulk.start, start);
    bulk.end = Math.max(bulk.end, end);
  }
  const bulkChecksum = bulkChecksumOf(pieces, bulk);
  return { start: range.start, pieces, bulk, bulkChecksum, recordBytes: request.recordBytes, logBytes };
}

/** Of the pieces from the first to the last one of the bulk. */
function bulkChecksumOf(pieces: readonly PlannedPiece[], bulk: ByteRun): number {
  const within = pieces.filter(({ start, end }) => start >= bulk.start && end <= bulk.end);
  return joinRuns(
    within,
    within.map(({ checksum }) => checksum),
  );
}

export class ArrayWrites {
  readonly #target: TargetObjects;
  readonly #crowded: Crowded;

  /** `crowded` hears of windows whose parts should be merged. */
  constructor(target: TargetObjects, crowded: Crowded) {
    this.#target = target;
    this.#crowded = crowded;
  }

  /**
   * Writes the records; `bytes` of up to TargetObjects.inlineBytes are copied before the call returns, more are the store's
   * until its promise settles. Errors: INVALID_ARGUMENT (record size, a single value there), TOO_LARGE, NOT_FOUND, NO_SPACE, READ_ONLY, IO.
   */
  write(
    container: number,
    request: AkeyRequest & RecordRange,
    bytes: Uint8Array,
  ): WriteOutcome | Promise<WriteOutcome> {
    checkKeys(request.dkey, request.akey);
    checkFlags(request.flags ?? 0, UPDATE_FLAGS);
    return this.#writeInline(container, request, bytes, this.#target.inlineBytes(container));
  }

  /**
   * Stores the bytes of a write that is to come; they are the store's until this settles. Rejects as `write`, but for what the
   * write itself is refused for.
   */
  async stage(container: number, request: AkeyRequest & RecordRange, bytes: Uint8Array): Promise<StagedWrite> {
    checkKeys(request.dkey, request.akey);
    const target = this.#target;
    const plan = planWrite(request, bytes, target.inlineBytes(container));
    await target.admit(plan.logBytes, false);
    const extents = plan.bulk.start < plan.bulk.end ? [await this.#writeExtent(plan, bytes)] : [];
    const kept = keptPlan(plan);
    const append = (update: StagedUpdate): WriteOutcome => {
      checkFlags(update.flags ?? 0, UPDATE_FLAGS);
      return this.#append(container, update, kept, extents[0]);
    };
    return new StagedWrite(target, { logBytes: plan.logBytes, extents, append });
  }

  /** Pieces up to `inlineBytes` go into the record. */
  #writeInline(
    container: number,
    request: AkeyRequest & RecordRange,
    bytes: Uint8Array,
    inlineBytes: number,
  ): WriteOutcome | Promise<WriteOutcome> {
    const plan = planWrite(request, bytes, inlineBytes);
    if (plan.bulk.start < plan.bulk.end) return this.#writeBulk(container, request, plan, bytes, inlineBytes);
    const wait = this.#target.admitInTurn(plan.logBytes, request.order);
    if (wait === undefined) return this.#append(container, request, plan, undefined);
    const kept = keptPlan(plan);
    return wait.then(() => this.#append(container, request, kept, undefined));
  }

  async #writeBulk(
    container: number,
    request: AkeyRequest & RecordRange,
    plan: WritePlan,
    bytes: Uint8Array,
    inlineBytes: number,
  ): Promise<WriteOutcome> {
    const target = this.#target;
    await target.admit(plan.logBytes, false, request.order);
    const seen = new Seen();
    if (request.order?.epoch === undefined) {
      const early = this.#refusal(accessArray(target, container, request, LATEST, seen), request, seen);
      if (early !== undefined) return early;
    }
    let extent: ExtentRef;
    try {
      extent = await this.#writeExtent(plan, bytes);
    } catch (error) {
      // It may have been to spare the SCM, which may still have room for it.
      const threshold = target.threshold(container);
      if (inlineBytes >= threshold) throw error;
      const all = planWrite(request, bytes, threshold);
      if (all.bulk.start < all.bulk.end) throw error;
      return await this.#writeInline(container, request, bytes, threshold);
    }
    const append = (): WriteOutcome => this.#append(container, request, plan, extent);
    return await new StagedWrite(target, { logBytes: plan.logBytes, extents: [extent], append }).write(request);
  }

  /** Writes the bulk bytes such that windows begin at block boundaries: no copy when the write does. */
  #writeExtent({ bulk, bulkChecksum, start }: WritePlan, bytes: Uint8Array): Promise<ExtentRef> {
    const data = bytes.subarray(bulk.start - start, bulk.end - start);
    return writeLed(this.#target, bulk.start % BLOCK_BYTES, data, bulkChecksum);
  }

  /** The outcome when the write must not happen. */
  #refusal(access: ArrayAccess, request: AkeyRequest & RecordRange, seen: Seen): WriteOutcome | undefined {
    if (request.order?.gather !== undefined) return undefined;
    const target = this.#target;
    const flags = request.flags ?? 0;
    if (flags !== 0) {
      const error = checkConditions(target, access.state, flags, LATEST, seen, access.dkey, access.akey);
      if (error !== undefined) return refusedWrite(error, seen.sequence);
    }
    if (holdsSingle(access.version, access.floor)) {
      return refusedWrite(mixed("write an array", "a single value. Punch the akey first"), seen.sequence);
    }
    const { header } = access;
    if (header === undefined || header.recordBytes === request.recordBytes) return undefined;
    if (!anythingVisible(target, access.state, access.akey, "akey", access.floor, LATEST, seen)) return undefined;
    return refusedWrite(recordSizeMismatch(request.recordBytes, header.recordBytes), seen.sequence);
  }

  #append(
    container: number,
    request: AkeyRequest & RecordRange,
    plan: WritePlan,
    extent: ExtentRef | undefined,
  ): WriteOutcome {
    const target = this.#target;
    const seen = new Seen();
    const access = accessArray(target, container, request, LATEST, seen);
    const refusal = this.#refusal(access, request, seen);
    if (refusal !== undefined) return refusal;
    const { order } = request;
    const epoch = target.writeEpoch(order);
    if (plan.pieces.length === 0) return { epoch, sequence: seen.sequence, error: undefined };
    const record: ArrayRecord = { epoch, writes: [], reclaims: [] };
    const { writes, reclaims } = record;
    let mask = 0;
    for (const piece of plan.pieces) mask |= classBit(piece.windowClass);
    const header = addHeader(record, access, plan.recordBytes, mask);
    for (const piece of plan.pieces) {
      addPiece(target, record, access.akey, header, piece, bytesOfPiece(plan, piece, extent));
    }
    const sequence = target.append(writes, reclaims.length === 0 ? undefined : reclaims, epoch, order);
    noteArrays(access.state, writes, epoch, sequence);
    noteCrowded(target, this.#crowded, container, request, access.akey, header, writes);
    return { epoch, sequence, error: undefined };
  }

  /**
   * Makes holes of the records; ranges where nothing is cost nothing. TOO_LARGE when more than MAX_PUNCHED_WINDOWS windows
   * hold data there: nothing was punched then, punch smaller ranges. `recordBytes` 0 takes the array's.
   */
  punch(container: number, request: AkeyRequest & RecordRange): WriteOutcome | Promise<WriteOutcome> {
    checkKeys(request.dkey, request.akey);
    checkFlags(request.flags ?? 0, UPDATE_FLAGS);
    if (request.recordBytes !== 0) byteRange(request, request.recordBytes, MAX_ARRAY_BYTES);
    return appendPunch(this.#target, request.order, () => this.#decidePunch(container, request));
  }

  #decidePunch(container: number, request: AkeyRequest & RecordRange): PunchRecord | WriteOutcome {
    const target = this.#target;
    const seen = new Seen();
    const access = accessArray(target, container, request, LATEST, seen);
    const asked = request.recordBytes === 0 ? (access.header?.recordBytes ?? 1) : request.recordBytes;
    const refusal = this.#refusal(access, { ...request, recordBytes: asked }, seen);
    if (refusal !== undefined) return refusal;
    const epoch = target.writeEpoch(request.order);
    const { header } = access;
    if (header === undefined || header.recordBytes !== asked) return noHoles(access, epoch, request.order, seen);
    const record: ArrayRecord = { epoch, writes: [], reclaims: [] };
    const { writes } = record;
    const range = byteRange(request, asked, MAX_ARRAY_BYTES);
    addHoles(target, record, access.akey, header, range, MAX_PUNCHED_WINDOWS, seen);
    if (writes.length === 0) return noHoles(access, epoch, request.order, seen);
    const appended = (): void => noteCrowded(target, this.#crowded, container, request, access.akey, header, writes);
    return { ...record, appended };
  }
}

function bytesOfPiece(plan: WritePlan, { inline, checksum }: PlannedPiece, extent: ExtentRef | undefined): PieceBytes {
  if (inline !== undefined) return { inline, checksum };
  const origin = plan.bulk.start - (plan.bulk.start % BLOCK_BYTES);
  return { inline: undefined, extent: extent!, origin };
}

/** Nothing lies in the range: a record is there all the same where one has to be. */
function noHoles(
  access: ArrayAccess,
  epoch: Epoch,
  order: WriteOrder | undefined,
  seen: Seen,
): PunchRecord | WriteOutcome {
  if (!mustRecord(order)) return nothingPunched(epoch, seen.sequence);
  const record: ArrayRecord = { epoch, writes: [], reclaims: [] };
  addMarker(record, access);
  return record;
}

/** Asks for the merge of the windows that have many parts now. The write has happened: damage that is met here is no reason to fail it. */
export function noteCrowded(
  target: TargetObjects,
  crowded: Crowded,
  container: number,
  request: AkeyRequest,
  akey: string,
  header: ArrayHeader,
  writes: readonly CellWrite[],
): void {
  const { windowParts } = target.limits;
  for (const { key, kind } of writes) {
    if (kind !== VersionKind.part) continue;
    if (!hasParts(target, key, header.since, windowParts)) continue;
    crowded(container, request, [{ akey, windowClass: windowClassOf(key), window: windowOf(key) }]);
  }
}

/** Whether the window has more than so many parts. */
function hasParts(target: TargetObjects, key: ByteString, since: number, count: number): boolean {
  let parts = 0;
  try {
    target.store.versions(key, LATEST, (version) => {
      parts += 1;
      return version.kind === VersionKind.part && version.epoch >= since && parts <= count;
    });
  } catch (error) {
    if (!hasCode(error, "CORRUPT")) throw error;
    return false;
  }
  return parts > count;
}
