/**
 * Writing and punching arrays. A write cuts its records into windows: small pieces travel in the log record, the rest goes
 * to one contiguous extent that the windows share in slices. All windows of a write appear in one atomic record.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { BLOCK_BYTES, MAX_ARRAY_BYTES, MAX_ARRAY_IO_BYTES } from "../base/limits.ts";
import { type CellWrite, type ExtentRef, type ReclaimRange, VersionKind } from "../store/cell.ts";
import {
  accessArray,
  type ArrayAccess,
  byteRange,
  type CrowdedWindow,
  holdsSingle,
  type RecordRange,
  recordSizeMismatch,
} from "./array-read.ts";
import { classBit, cutIntoWindows, WINDOW_CLASSES, windowBytes, type WindowPiece } from "./array-window.ts";
import { beneathStart, ownCellKey, prefixEnd, windowClassOf, windowKey, windowOf } from "./cell-key.ts";
import {
  type ArrayHeader,
  type ByteRun,
  encodeArrayMeta,
  encodeObjectMeta,
  encodePartMeta,
  MetaType,
  NO_META,
  ObjectCellFlag,
  WHOLE_META,
} from "./cell-meta.ts";
import { anythingVisible, checkConditions, checkFlags, LATEST, UPDATE_FLAGS } from "./condition.ts";
import type { ObjectState } from "./object-state.ts";
import { appendPunch, nothingPunched, type PunchRecord } from "./punch-record.ts";
import { type AkeyRequest, mixed, RECORD_OVERHEAD_BYTES, refusedWrite, type WriteOutcome } from "./single-value.ts";
import { checkKeys, Seen, type TargetObjects } from "./target-objects.ts";
import { mustRecord, type WriteOrder } from "./write-order.ts";

/** Windows with data that one range punch may touch: it is one atomic record. */
export const MAX_PUNCHED_WINDOWS = 256;

/** Where the bytes of a write go. */
interface WritePlan {
  readonly start: number;
  readonly pieces: readonly WindowPiece[];
  readonly bytes: Uint8Array;
  /** Array bytes that go to the extent; empty when all pieces are small. */
  readonly bulk: ByteRun;
  readonly recordBytes: number;
  /** Bytes of the log record. */
  readonly logBytes: number;
  /** Pieces up to this size go into the record. */
  readonly inlineBytes: number;
}

function planWrite(request: AkeyRequest & RecordRange, bytes: Uint8Array, inlineBytes: number): WritePlan {
  const range = byteRange(request, request.recordBytes, MAX_ARRAY_IO_BYTES);
  if (bytes.length !== range.end - range.start) {
    throw new DaosError(
      "INVALID_ARGUMENT",
      `Cannot write ${bytes.length} bytes as ${request.recordCount} records of ${request.recordBytes}: they do not add up.`,
    );
  }
  const pieces = cutIntoWindows(range.start, range.end);
  const bulk = { start: range.end, end: range.start };
  // A key takes up to twice its length; object and akey cell may be part of the record.
  const cellBytes = RECORD_OVERHEAD_BYTES + 2 * (request.dkey.length + request.akey.length);
  let logBytes = 2 * cellBytes;
  for (const { start, end } of pieces) {
    logBytes += cellBytes;
    if (end - start <= inlineBytes) {
      logBytes += end - start;
      continue;
    }
    // Checksums, and up to two ranges of smaller windows to reclaim.
    logBytes += (end - start) / 1024 + 4 * cellBytes;
    bulk.start = Math.min(bulk.start, start);
    bulk.end = Math.max(bulk.end, end);
  }
  return { start: range.start, pieces, bytes, bulk, recordBytes: request.recordBytes, logBytes, inlineBytes };
}

export class ArrayWrites {
  readonly #target: TargetObjects;
  readonly #crowded: (container: number, request: AkeyRequest, windows: readonly CrowdedWindow[]) => void;

  /** `crowded` hears of windows whose parts should be merged. */
  constructor(
    target: TargetObjects,
    crowded: (container: number, request: AkeyRequest, windows: readonly CrowdedWindow[]) => void,
  ) {
    this.#target = target;
    this.#crowded = crowded;
  }

  /**
   * Writes the records; `bytes` is copied before the call returns, unless it returns a promise: then it is the store's until
   * that settles. Errors: INVALID_ARGUMENT (record size, a single value there), TOO_LARGE, NOT_FOUND, NO_SPACE, READ_ONLY, IO.
   */
  write(
    container: number,
    request: AkeyRequest & RecordRange,
    bytes: Uint8Array,
  ): WriteOutcome | Promise<WriteOutcome> {
    checkKeys(request.dkey, request.akey);
    checkFlags(request.flags ?? 0, UPDATE_FLAGS);
    return this.#writePlanned(container, request, planWrite(request, bytes, this.#target.inlineBytes(container)));
  }

  #writePlanned(
    container: number,
    request: AkeyRequest & RecordRange,
    plan: WritePlan,
  ): WriteOutcome | Promise<WriteOutcome> {
    if (plan.bulk.start < plan.bulk.end) return this.#writeBulk(container, request, plan);
    const wait = this.#target.admitInTurn(plan.logBytes, request.order);
    if (wait === undefined) return this.#append(container, request, plan, undefined);
    return wait.then(() => this.#append(container, request, plan, undefined));
  }

  async #writeBulk(container: number, request: AkeyRequest & RecordRange, plan: WritePlan): Promise<WriteOutcome> {
    const target = this.#target;
    await target.admit(plan.logBytes, false);
    const seen = new Seen();
    if (request.order?.epoch === undefined) {
      const early = this.#refusal(accessArray(target, container, request, LATEST, seen), request, seen);
      if (early !== undefined) return early;
    }
    let extent: ExtentRef;
    try {
      extent = await this.#writeExtent(plan);
    } catch (error) {
      // It may have been to spare the SCM, which may still have room for it.
      const threshold = target.threshold(container);
      if (plan.inlineBytes >= threshold) throw error;
      const all = planWrite(request, plan.bytes, threshold);
      if (all.bulk.start < all.bulk.end) throw error;
      return await this.#writePlanned(container, request, all);
    }
    let appended = false;
    try {
      await target.admitInTurn(plan.logBytes, request.order);
      const outcome = this.#append(container, request, plan, extent);
      appended = outcome.error === undefined;
      return outcome;
    } finally {
      if (!appended) target.store.abandonExtent(extent);
    }
  }

  /** Writes the bulk bytes such that windows begin at block boundaries: no copy when the write does. */
  async #writeExtent(plan: WritePlan): Promise<ExtentRef> {
    const lead = plan.bulk.start % BLOCK_BYTES;
    const data = plan.bytes.subarray(plan.bulk.start - plan.start, plan.bulk.end - plan.start);
    const { store, allocate, release } = this.#target;
    if (lead === 0) return store.writeExtent(data);
    const staged = allocate(lead + data.length);
    staged.set(data, lead);
    try {
      return await store.writeExtent(staged);
    } finally {
      release(staged);
    }
  }

  /** The outcome when the write must not happen. */
  #refusal(access: ArrayAccess, request: AkeyRequest & RecordRange, seen: Seen): WriteOutcome | undefined {
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
    const writes: CellWrite[] = [];
    const reclaims: ReclaimRange[] = [];
    const header = this.#writeHeader(access, plan, epoch, writes, reclaims);
    for (const piece of plan.pieces) {
      writes.push(this.#windowWrite(access.akey, plan, piece, extent, epoch));
      this.#reclaimCovered(access.akey, header, piece, epoch, reclaims);
    }
    const sequence = target.append(writes, reclaims.length === 0 ? undefined : reclaims, epoch, order);
    noteArrays(access.state, writes, epoch, sequence);
    this.#noteCrowded(container, request, access.akey, header, writes);
    return { epoch, sequence, error: undefined };
  }

  /** Adds the cells that say that object and akey hold an array of these windows, where they do not say so yet. */
  #writeHeader(
    access: ArrayAccess,
    plan: WritePlan,
    epoch: Epoch,
    writes: CellWrite[],
    reclaims: ReclaimRange[],
  ): ArrayHeader {
    const { state, akey, header } = access;
    if ((state.flags & ObjectCellFlag.arrays) === 0) {
      const meta = encodeObjectMeta(state.flags | ObjectCellFlag.arrays, state.punchEpoch);
      writes.push({ key: ownCellKey(state.prefix), epoch, kind: VersionKind.value, meta });
    }
    let mask = 0;
    for (const piece of plan.pieces) mask |= classBit(piece.windowClass);
    const same = header !== undefined && header.recordBytes === plan.recordBytes;
    if (same && (header.classMask & mask) === mask) return header;
    const next: ArrayHeader = same
      ? { recordBytes: plan.recordBytes, classMask: header.classMask | mask, since: header.since }
      : { recordBytes: plan.recordBytes, classMask: mask, since: epoch };
    writes.push({ key: ownCellKey(akey), epoch, kind: VersionKind.value, meta: encodeArrayMeta(next) });
    // An array with other records, all punched, ends here.
    if (header !== undefined && !same)
      reclaims.push({ from: beneathStart(akey), to: prefixEnd(akey), epoch: (epoch - 1) as Epoch });
    return next;
  }

  #windowWrite(
    akey: string,
    plan: WritePlan,
    piece: WindowPiece,
    extent: ExtentRef | undefined,
    epoch: Epoch,
  ): CellWrite {
    const size = windowBytes(piece.windowClass);
    const key = windowKey(akey, piece.windowClass, piece.window);
    const length = piece.end - piece.start;
    const whole = length === size;
    const kind = whole ? VersionKind.value : VersionKind.part;
    const meta = whole ? WHOLE_META : encodePartMeta(MetaType.part, piece.start - piece.window * size, length);
    if (length <= plan.inlineBytes) {
      return { key, epoch, kind, meta, inline: plan.bytes.subarray(piece.start - plan.start, piece.end - plan.start) };
    }
    const origin = plan.bulk.start - (plan.bulk.start % BLOCK_BYTES);
    const from = piece.start - (piece.start % BLOCK_BYTES) - origin;
    return { key, epoch, kind, meta, extent: this.#target.store.sliceExtent(extent!, from, piece.end - origin - from) };
  }

  /** A whole large window hides the smaller windows beneath it: their space is given back. */
  #reclaimCovered(akey: string, header: ArrayHeader, piece: WindowPiece, epoch: Epoch, reclaims: ReclaimRange[]): void {
    if (piece.windowClass === 12 || piece.end - piece.start < windowBytes(piece.windowClass)) return;
    for (const windowClass of WINDOW_CLASSES) {
      if (windowClass >= piece.windowClass || (header.classMask & classBit(windowClass)) === 0) continue;
      const size = windowBytes(windowClass);
      const from = windowKey(akey, windowClass, piece.start / size);
      const to = windowKey(akey, windowClass, piece.end / size);
      if (anyCell(this.#target, from, to)) reclaims.push({ from, to, epoch });
    }
  }

  #noteCrowded(
    container: number,
    request: AkeyRequest,
    akey: string,
    header: ArrayHeader,
    writes: readonly CellWrite[],
  ): void {
    const { windowParts } = this.#target.limits;
    for (const { key, kind } of writes) {
      if (kind !== VersionKind.part) continue;
      let parts = 0;
      this.#target.store.versions(key, LATEST, (version) => {
        parts += 1;
        return version.kind === VersionKind.part && version.epoch >= header.since && parts <= windowParts;
      });
      if (parts <= windowParts) continue;
      this.#crowded(container, request, [{ akey, windowClass: windowClassOf(key), window: windowOf(key) }]);
    }
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
    const range = byteRange(request, asked, MAX_ARRAY_BYTES);
    const writes = this.#holes(access.akey, header, range, epoch, seen);
    if (writes.length === 0) return noHoles(access, epoch, request.order, seen);
    const appended = (): void => this.#noteCrowded(container, request, access.akey, header, writes);
    return { epoch, writes, reclaims: [], appended };
  }

  /** A hole for each window that holds something in the range. Each cell hides only its own data, so each gets one. */
  #holes(akey: string, header: ArrayHeader, range: ByteRun, epoch: Epoch, seen: Seen): CellWrite[] {
    const writes: CellWrite[] = [];
    if (range.end <= range.start) return writes;
    for (const windowClass of WINDOW_CLASSES) {
      if ((header.classMask & classBit(windowClass)) === 0) continue;
      const size = windowBytes(windowClass);
      const from = windowKey(akey, windowClass, Math.floor(range.start / size));
      const to = windowKey(akey, windowClass, Math.floor((range.end - 1) / size) + 1);
      this.#target.store.scan(from, to, LATEST, (key, version) => {
        seen.add(version.sequence);
        if (version.kind === VersionKind.tombstone || version.epoch < header.since) return true;
        const base = windowOf(key) * size;
        const start = Math.max(range.start - base, 0);
        const end = Math.min(range.end - base, size);
        writes.push(
          end - start === size
            ? { key, epoch, kind: VersionKind.tombstone, meta: NO_META }
            : { key, epoch, kind: VersionKind.part, meta: encodePartMeta(MetaType.hole, start, end - start) },
        );
        return writes.length <= MAX_PUNCHED_WINDOWS;
      });
    }
    if (writes.length <= MAX_PUNCHED_WINDOWS) return writes;
    throw new DaosError(
      "TOO_LARGE",
      `Cannot punch ${range.end - range.start} bytes at once: more than ${MAX_PUNCHED_WINDOWS} windows hold data there. Punch smaller ranges, or the akey.`,
    );
  }
}

/** Nothing lies in the range: where a record has to be there all the same, it repeats what the akey's cell says. */
function noHoles(
  { akey, header }: ArrayAccess,
  epoch: Epoch,
  order: WriteOrder | undefined,
  seen: Seen,
): PunchRecord | WriteOutcome {
  if (!mustRecord(order)) return nothingPunched(epoch, seen.sequence);
  const key = ownCellKey(akey);
  const write: CellWrite =
    header === undefined
      ? { key, epoch, kind: VersionKind.tombstone, meta: NO_META }
      : { key, epoch, kind: VersionKind.value, meta: encodeArrayMeta(header) };
  return { epoch, writes: [write], reclaims: [] };
}

/** Takes over into the object's state an object cell that was just appended. */
function noteArrays(state: ObjectState, writes: readonly CellWrite[], epoch: Epoch, sequence: number): void {
  if (writes[0]!.key.length !== state.prefix.length + 1) return;
  state.flags |= ObjectCellFlag.arrays;
  state.epoch = epoch;
  state.sequence = sequence;
}

function anyCell(target: TargetObjects, from: ByteString, to: ByteString): boolean {
  let any = false;
  target.store.scan(from, to, LATEST, () => {
    any = true;
    return false;
  });
  return any;
}
