/**
 * Reading arrays: find the windows that overlap a range, lay their versions over each other by epoch, and bring the bytes
 * together from records and extents. Bytes that were never written or were punched are zeros and reported as holes.
 */
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_ARRAY_BYTES, MAX_ARRAY_IO_BYTES, MAX_RECORD_BYTES } from "../base/limits.ts";
import { recordSizeMismatch } from "../base/object-refusals.ts";
import { type VerifiedView, type Version, VersionKind } from "../store/cell.ts";
import { gather, partOfPiece } from "./array-gather.ts";
import { type Fill, overlay, type Overlay } from "./array-overlay.ts";
import { addPieces, classBit, type Piece, WINDOW_CLASSES, windowBytes } from "./array-window.ts";
import { akeyPrefix, dkeyPrefix, ownCellKey, windowKey, windowOf } from "./cell-key.ts";
import { type ArrayHeader, type ByteRun, corruptMeta, decodeArrayMeta, MetaType } from "./cell-meta.ts";
import { anythingVisible, checkConditions, checkFlags, FETCH_FLAGS, LATEST } from "./condition.ts";
import type { ObjectState } from "./object-state.ts";
import { type AkeyReadRequest, type AkeyRequest, mixed, NO_BYTES, type Outcome } from "./single-value.ts";
import { checkKeys, isLive, Seen, type TargetObjects } from "./target-objects.ts";

/** Windows of one class that are looked up one by one; more are found by a scan, whose seek costs about three lookups. */
const POINT_LOOKUPS = 6;

/** A range of records. */
export interface RecordRange {
  /** First record. */
  readonly recordIndex: number;
  readonly recordCount: number;
  /** Bytes of one record; 0 in a read or punch: as the array has it. */
  readonly recordBytes: number;
}

export interface RecordExtent {
  readonly index: number;
  readonly count: number;
}

export interface ArrayReadOutcome extends Outcome {
  /** At least one record of the range holds data. */
  readonly found: boolean;
  /** Newest epoch among what was read; 0 when not found. */
  readonly epoch: Epoch;
  /**
   * The records, or, when nothing is found, empty: all zeros. A view into the store when the outcome came without a
   * promise: valid until the caller awaits or returns to the loop. Else the caller's own, from `allocate`.
   */
  readonly bytes: Uint8Array;
  /** 0 when there is no array. */
  readonly recordBytes: number;
  /** CRC-32 that `bytes` must have, made of what their parts were verified by when they were stored. */
  readonly checksum: number;
  /** Records of the range without data, ascending. */
  readonly holes: readonly RecordExtent[];
}

/** A window with so many parts that they should be merged. */
export interface CrowdedWindow {
  readonly akey: string;
  readonly windowClass: number;
  readonly window: number;
}

/** The visible array that an akey's cell describes; undefined when there is none. Throws CORRUPT. */
export function arrayHeader(version: Version | undefined, floor: number): ArrayHeader | undefined {
  if (!isLive(version, floor)) return undefined;
  if (version.metaType === MetaType.array) return decodeArrayMeta(version);
  if (version.metaType === MetaType.single) return undefined;
  throw corruptMeta();
}

export function holdsSingle(version: Version | undefined, floor: number): boolean {
  return isLive(version, floor) && version.metaType === MetaType.single;
}

/** Byte range of a request. Throws INVALID_ARGUMENT, TOO_LARGE. `limitBytes`: most bytes the range may have. */
export function byteRange(range: RecordRange, recordBytes: number, limitBytes: number): ByteRun {
  const { recordIndex, recordCount } = range;
  if (recordBytes > MAX_RECORD_BYTES || !(recordBytes >= 1) || !Number.isInteger(recordBytes)) {
    throw new DaosError(
      "INVALID_ARGUMENT",
      `Cannot use records of ${recordBytes} bytes: 1 to ${MAX_RECORD_BYTES} are allowed.`,
    );
  }
  if (!Number.isSafeInteger(recordIndex) || !Number.isSafeInteger(recordCount) || recordIndex < 0 || recordCount < 0) {
    throw new DaosError(
      "INVALID_ARGUMENT",
      `Cannot use records ${recordIndex} + ${recordCount}: not a range of whole numbers.`,
    );
  }
  const start = recordIndex * recordBytes;
  const end = (recordIndex + recordCount) * recordBytes;
  if (end > MAX_ARRAY_BYTES) {
    throw new DaosError(
      "TOO_LARGE",
      `Cannot use records up to ${recordIndex + recordCount}: the array would pass ${MAX_ARRAY_BYTES} bytes.`,
    );
  }
  if (end - start > limitBytes) {
    throw new DaosError(
      "TOO_LARGE",
      `Cannot move ${end - start} bytes at once: ${limitBytes} are allowed. Split the range.`,
    );
  }
  return { start, end };
}

/** Byte range of a write of these bytes. Throws INVALID_ARGUMENT, also when they are not its records, and TOO_LARGE. */
export function writtenRange(range: RecordRange, bytes: Pick<Uint8Array, "length">): ByteRun {
  const { recordCount, recordBytes } = range;
  const run = byteRange(range, recordBytes, MAX_ARRAY_IO_BYTES);
  if (bytes.length === run.end - run.start) return run;
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot write ${bytes.length} bytes as ${recordCount} records of ${recordBytes}: they do not add up.`,
  );
}

/** Every piece of an array that overlaps [start, end) at `epoch`; windows with too many parts are added to `crowded`. */
export function collectPieces(
  target: TargetObjects,
  akey: string,
  header: ArrayHeader,
  epoch: Epoch,
  range: ByteRun,
  seen: Seen,
  crowded?: CrowdedWindow[],
): Piece[] {
  const pieces: Piece[] = [];
  if (range.end <= range.start) return pieces;
  for (const windowClass of WINDOW_CLASSES) {
    if ((header.classMask & classBit(windowClass)) === 0) continue;
    const size = windowBytes(windowClass);
    const first = Math.floor(range.start / size);
    const last = Math.floor((range.end - 1) / size);
    if (last - first < POINT_LOOKUPS) {
      for (let window = first; window <= last; window += 1) {
        collectWindow(target, akey, header, epoch, windowClass, window, pieces, seen, crowded);
      }
      continue;
    }
    for (const window of windowsWithParts(target, akey, header, epoch, windowClass, first, last, pieces, seen)) {
      collectWindow(target, akey, header, epoch, windowClass, window, pieces, seen, crowded);
    }
  }
  return pieces;
}

function collectWindow(
  target: TargetObjects,
  akey: string,
  header: ArrayHeader,
  epoch: Epoch,
  windowClass: number,
  window: number,
  pieces: Piece[],
  seen: Seen,
  crowded: CrowdedWindow[] | undefined,
): void {
  const base = window * windowBytes(windowClass);
  const key = windowKey(akey, windowClass, window);
  if (epoch === LATEST) {
    // The usual window is one complete version, which the store may have at hand.
    const newest = target.store.get(key, epoch);
    if (newest === undefined) return;
    if (newest.kind !== VersionKind.part || newest.epoch < header.since) {
      seen.see(newest);
      if (newest.epoch >= header.since) addPieces(pieces, newest, windowClass, base);
      return;
    }
  }
  let count = 0;
  target.store.versions(key, epoch, (version) => {
    seen.see(version);
    if (version.epoch < header.since) return false;
    count += 1;
    return addPieces(pieces, version, windowClass, base);
  });
  if (count > target.limits.windowParts) crowded?.push({ akey, windowClass, window });
}

/** Scans windows first..last: takes complete ones at once, returns those with parts. */
function windowsWithParts(
  target: TargetObjects,
  akey: string,
  header: ArrayHeader,
  epoch: Epoch,
  windowClass: number,
  first: number,
  last: number,
  pieces: Piece[],
  seen: Seen,
): number[] {
  const parts: number[] = [];
  const size = windowBytes(windowClass);
  const from = windowKey(akey, windowClass, first);
  const to = windowKey(akey, windowClass, last + 1);
  target.store.scan(from, to, epoch, (key, version) => {
    seen.see(version);
    if (version.epoch < header.since) return;
    const window = windowOf(key);
    if (version.kind === VersionKind.part) parts.push(window);
    else addPieces(pieces, version, windowClass, window * size);
  });
  return parts;
}

/** Byte runs as records: a record belongs to the runs it has bytes in. */
function recordExtents(runs: readonly ByteRun[], recordBytes: number): RecordExtent[] {
  const extents: { index: number; count: number }[] = [];
  for (const run of runs) {
    const index = Math.floor(run.start / recordBytes);
    const end = Math.ceil(run.end / recordBytes);
    extents.push({ index, count: end - index });
  }
  return extents;
}

/** What a decision on an array needs of its akey. */
export interface ArrayAccess {
  readonly state: ObjectState;
  readonly dkey: string;
  readonly akey: string;
  readonly floor: number;
  /** The akey's own cell, which `header` was read from. */
  readonly version: Version | undefined;
  readonly header: ArrayHeader | undefined;
}

export function accessArray(
  target: TargetObjects,
  container: number,
  request: AkeyRequest,
  epoch: Epoch,
  seen: Seen,
): ArrayAccess {
  const state = target.object(container, request.oid);
  const dkey = dkeyPrefix(state.prefix, request.dkey);
  const akey = akeyPrefix(dkey, request.akey);
  const floor = target.floor(state, dkey, epoch, seen);
  const version = target.store.get(ownCellKey(akey) as ByteString, epoch);
  if (version !== undefined) seen.add(version.sequence);
  return { state, dkey, akey, floor, version, header: arrayHeader(version, floor) };
}

function nothing(seen: Seen, error?: DaosError): ArrayReadOutcome {
  return {
    found: false,
    epoch: EPOCH_NONE,
    bytes: NO_BYTES,
    checksum: 0,
    recordBytes: 0,
    holes: [],
    sequence: seen.sequence,
    error,
  };
}

export class ArrayReads {
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

  /** Up to MAX_ARRAY_IO_BYTES. Rejects or throws INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND, EPOCH_AGGREGATED, CORRUPT, IO. */
  read(container: number, request: AkeyReadRequest & RecordRange): ArrayReadOutcome | Promise<ArrayReadOutcome> {
    checkKeys(request.dkey, request.akey);
    const target = this.#target;
    const flags = request.flags ?? 0;
    checkFlags(flags, FETCH_FLAGS);
    if (request.recordBytes !== 0) byteRange(request, request.recordBytes, MAX_ARRAY_IO_BYTES);
    const opened = target.containers.get(container);
    const epoch = request.epoch === 0 ? LATEST : target.containers.readEpoch(opened, request.epoch);
    const seen = new Seen();
    const access = accessArray(target, container, request, epoch, seen);
    if (flags !== 0) {
      const error = checkConditions(target, access.state, flags, epoch, seen, access.dkey, access.akey);
      if (error !== undefined) return nothing(seen, error);
    }
    const { header } = access;
    if (header === undefined) {
      if (!holdsSingle(access.version, access.floor)) return nothing(seen);
      return nothing(seen, mixed("read an array", "a single value. Fetch it as a value"));
    }
    if (request.recordBytes !== 0 && request.recordBytes !== header.recordBytes) {
      const there = anythingVisible(target, access.state, access.akey, "akey", access.floor, epoch, seen);
      return nothing(seen, there ? recordSizeMismatch(request.recordBytes, header.recordBytes) : undefined);
    }
    const range = byteRange(request, header.recordBytes, MAX_ARRAY_IO_BYTES);
    const crowded: CrowdedWindow[] = [];
    const pieces = collectPieces(target, access.akey, header, epoch, range, seen, crowded);
    if (crowded.length > 0) this.#crowded(container, request, crowded);
    return this.#assemble(overlay(pieces, range.start, range.end), range, header, seen);
  }

  #assemble(
    laid: Overlay,
    range: ByteRun,
    header: ArrayHeader,
    seen: Seen,
  ): ArrayReadOutcome | Promise<ArrayReadOutcome> {
    const { fills } = laid;
    const first = fills[0];
    const holes = laid.gaps.length === 0 ? [] : recordExtents(laid.gaps, header.recordBytes);
    if (first === undefined) return { ...nothing(seen), recordBytes: header.recordBytes, holes };
    let epoch = 0;
    for (const fill of fills) epoch = Math.max(epoch, fill.piece.epoch);
    const outcome = {
      found: true,
      epoch: epoch as Epoch,
      bytes: NO_BYTES as Uint8Array,
      checksum: 0,
      recordBytes: header.recordBytes,
      holes,
      sequence: seen.sequence,
      error: undefined,
    };
    const size = range.end - range.start;
    if (fills.length === 1 && holes.length === 0) {
      const view = this.#view(first, size);
      if (view !== undefined) {
        outcome.bytes = view.bytes;
        outcome.checksum = view.checksum;
        return outcome;
      }
    }
    const bulk = fills.some((fill) => fill.piece.extent !== undefined);
    const isWhole = holes.length === 0;
    outcome.bytes = bulk ? this.#target.allocate(size, isWhole ? "anything" : "zeros") : new Uint8Array(size);
    const reading = gather(this.#target, fills, range.start, outcome.bytes);
    if (typeof reading === "number") {
      outcome.checksum = reading;
      // What was allocated is the caller's, who knows it by the promise.
      return bulk ? Promise.resolve(outcome) : outcome;
    }
    return reading.then(
      (checksum) => {
        outcome.checksum = checksum;
        return outcome;
      },
      (error: unknown) => {
        this.#target.release(outcome.bytes);
        throw error;
      },
    );
  }

  /** The bytes of a fill where they are, if they are in memory. */
  #view({ piece, start }: Fill, size: number): VerifiedView | undefined {
    const at = piece.storedAt + start - piece.start;
    if (piece.extent !== undefined) return this.#target.store.viewExtent(piece.extent, at, size);
    const bytes = piece.inline?.subarray(at, at + size);
    return bytes && { bytes, checksum: partOfPiece(piece, at, at + size) };
  }
}
