/**
 * What one shard of an erasure-coded akey does in an update: the parts that a plan gave it (src/contracts/redundancy.ts), in
 * one atomic record. Runs of bytes go into the windows of an ordinary array; where several parts meet in one block of a MiB
 * they say together all that the block holds, and it is replaced as a whole.
 *
 * A shard without parts leaves a record all the same: it proves that the update came by.
 */
import { assert } from "../base/assert.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { BLOCK_BYTES, MAX_RECORD_BYTES, MIB } from "../base/limits.ts";
import { recordSizeMismatch } from "../base/object-refusals.ts";
import type { PartBytes } from "../format/prepare-request.ts";
import { type ExtentRef, VersionKind } from "../store/cell.ts";
import { isUndecided } from "../store/stability.ts";
import { accessArray, type ArrayAccess, holdsSingle } from "./array-read.ts";
import {
  addCovered,
  addHeader,
  addHoles,
  addMarker,
  addPiece,
  type ArrayRecord,
  noteArrays,
  type PieceBytes,
  storedBytes,
} from "./array-record.ts";
import { cutIntoWindows, windowBytes, type WindowPiece } from "./array-window.ts";
import { type Crowded, noteCrowded } from "./array-write.ts";
import { windowKey } from "./cell-key.ts";
import { type ArrayHeader, type ByteRun, encodeSegmentsMeta, MAX_META_SEGMENTS, WHOLE_META } from "./cell-meta.ts";
import { anythingVisible, checkConditions, checkFlags, LATEST, UPDATE_FLAGS } from "./condition.ts";
import {
  type AkeyRequest,
  mixed,
  NO_BYTES,
  RECORD_OVERHEAD_BYTES,
  refusedWrite,
  type WriteOutcome,
} from "./single-value.ts";
import { StagedWrite } from "./staged-write.ts";
import { checkKeys, Seen, type TargetObjects } from "./target-objects.ts";

/** Windows that the parts of one update may punch on one shard: they are one record. */
const MAX_HOLES = 4096;
/** All window classes: a fold, which writes at a past epoch, must find them in the akey's cell. */
const ALL_CLASSES = 7;
/** Class of the window that is a whole block. */
const BLOCK_CLASS = 20;
/** Bytes of pieces that one record holds: a quarter of what it may have. */
const MAX_LOGGED_BYTES = MAX_RECORD_BYTES / 4;

export interface ShardUpdate extends AkeyRequest {
  /** Bytes of a record of the array that the object's users see. */
  readonly recordBytes: number;
  /** Of a fold, which has no order and no epoch of its own. */
  readonly fold?: FoldMoment | undefined;
}

/** When a fold writes. */
export interface FoldMoment {
  /** Past: that of the newest replica of the stripe. */
  readonly epoch: Epoch;
  /** Asked in the turn of the append: throws when the dkey may have another leader now, whose updates it must not meet. */
  readonly mayAppend: () => void;
}

/** A piece of data for one window, and where its bytes are. */
interface PlannedPiece extends WindowPiece {
  readonly bytes: Uint8Array;
  /** Runs of data within the window, which has nothing else then. Undefined: a run of data, older ones show beside it. */
  readonly segments: readonly ByteRun[] | undefined;
  /** Which of the plan's bulks has the bytes, and where that begins; undefined: they go into the record. */
  readonly bulk: { readonly index: number; readonly start: number } | undefined;
}

/** Bytes that go to one extent. */
interface Bulk extends ByteRun {
  readonly bytes: Uint8Array;
}

interface ShardPlan {
  /** It has writes, maybe of nothing: then there is an array. */
  readonly isWrite: boolean;
  readonly pieces: readonly PlannedPiece[];
  readonly bulks: readonly Bulk[];
  readonly holes: readonly ByteRun[];
  readonly logBytes: number;
}

export class ShardWrites {
  readonly #target: TargetObjects;
  readonly #crowded: Crowded;

  constructor(target: TargetObjects, crowded: Crowded) {
    this.#target = target;
    this.#crowded = crowded;
  }

  /**
   * Applies the parts, none of which is a single value. The bytes are the store's until the result is there. Errors: as
   * ArrayWrites.write and punch.
   */
  write(container: number, update: ShardUpdate, parts: readonly PartBytes[]): WriteOutcome | Promise<WriteOutcome> {
    checkKeys(update.dkey, update.akey);
    checkFlags(update.flags ?? 0, UPDATE_FLAGS);
    return this.#writePlanned(container, update, parts, this.#target.inlineBytes(container));
  }

  #writePlanned(
    container: number,
    update: ShardUpdate,
    parts: readonly PartBytes[],
    inlineBytes: number,
  ): WriteOutcome | Promise<WriteOutcome> {
    const plan = planFitting(parts, inlineBytes, update);
    if (plan.bulks.length > 0) return this.#writeLarge(container, update, parts, plan, inlineBytes);
    const wait = this.#target.admitInTurn(plan.logBytes, update.order, plan.pieces.length === 0);
    if (wait === undefined) return this.#append(container, update, plan, []);
    return wait.then(() => this.#append(container, update, plan, []));
  }

  async #writeLarge(
    container: number,
    update: ShardUpdate,
    parts: readonly PartBytes[],
    plan: ShardPlan,
    inlineBytes: number,
  ): Promise<WriteOutcome> {
    const target = this.#target;
    await target.admit(plan.logBytes, false);
    let extents: readonly ExtentRef[];
    try {
      extents = await this.#writeBulks(plan.bulks);
    } catch (error) {
      // It may have been to spare the SCM, which may still have room for it.
      const threshold = target.threshold(container);
      if (inlineBytes >= threshold || planFitting(parts, threshold, update).bulks.length > 0) throw error;
      return await this.#writePlanned(container, update, parts, threshold);
    }
    const append = (): WriteOutcome => this.#append(container, update, plan, extents);
    return await new StagedWrite<ShardUpdate>(target, { logBytes: plan.logBytes, extents, append }).write(update);
  }

  /** Stores the bytes of parts that an update is to come for; see ArrayWrites.stage. */
  async stage(container: number, update: ShardUpdate, parts: readonly PartBytes[]): Promise<StagedWrite> {
    checkKeys(update.dkey, update.akey);
    const target = this.#target;
    const plan = planFitting(parts, target.inlineBytes(container), update);
    await target.admit(plan.logBytes, false);
    const extents = await this.#writeBulks(plan.bulks);
    const pieces = plan.pieces.map((piece) => ({
      ...piece,
      bytes: piece.bulk === undefined ? Uint8Array.from(piece.bytes) : NO_BYTES,
    }));
    const append = (later: ShardUpdate): WriteOutcome => {
      checkFlags(later.flags ?? 0, UPDATE_FLAGS);
      return this.#append(container, later, { ...plan, pieces, bulks: [] }, extents);
    };
    return new StagedWrite(target, { logBytes: plan.logBytes, extents, append });
  }

  /** All of them, or none. */
  async #writeBulks(bulks: readonly Bulk[]): Promise<readonly ExtentRef[]> {
    const written = await Promise.allSettled(bulks.map((bulk) => this.#writeBulk(bulk)));
    const extents = written.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const failure = written.find((result) => result.status === "rejected");
    if (failure === undefined) return extents;
    for (const extent of extents) this.#target.store.abandonExtent(extent);
    throw failure.reason;
  }

  /** Windows begin at block boundaries of the extent: no copy when the bytes do. */
  async #writeBulk({ start, bytes }: Bulk): Promise<ExtentRef> {
    const { store, allocate, release } = this.#target;
    const lead = start % BLOCK_BYTES;
    if (lead === 0) return store.writeExtent(bytes);
    const staged = allocate(lead + bytes.length);
    staged.set(bytes, lead);
    try {
      return await store.writeExtent(staged);
    } finally {
      release(staged);
    }
  }

  #append(container: number, update: ShardUpdate, plan: ShardPlan, extents: readonly ExtentRef[]): WriteOutcome {
    const target = this.#target;
    const { order, fold } = update;
    const seen = new Seen();
    const access = accessArray(target, container, update, LATEST, seen);
    const refusal = order?.epoch === undefined ? refusalOf(target, access, update, seen) : undefined;
    if (refusal !== undefined) return refusal;
    fold?.mayAppend();
    const record: ArrayRecord = { epoch: fold?.epoch ?? target.writeEpoch(order), writes: [], reclaims: [] };
    const header = this.#addParts(record, access, update, plan, extents, seen);
    if (fold !== undefined) {
      if (isUndecided(seen.sequence)) throw undecided();
      // What is folded away has been punched meanwhile.
      if (record.writes.length === 0) return { epoch: fold.epoch, sequence: 0, error: undefined };
    }
    if (record.writes.length === 0) addMarker(record, access);
    const { epoch, writes, reclaims } = record;
    const sequence = target.append(writes, reclaims.length === 0 ? undefined : reclaims, epoch, order);
    noteArrays(access.state, writes, epoch, sequence);
    if (header !== undefined) noteCrowded(target, this.#crowded, container, update, access.akey, header, writes);
    return { epoch, sequence, error: undefined };
  }

  /** The header that holds from then on; undefined without an array. */
  #addParts(
    record: ArrayRecord,
    access: ArrayAccess,
    { recordBytes, fold }: ShardUpdate,
    { pieces, holes, isWrite }: ShardPlan,
    extents: readonly ExtentRef[],
    seen: Seen,
  ): ArrayHeader | undefined {
    const target = this.#target;
    const { akey } = access;
    // Whoever folds does not know the size of records, and the array stays as it is.
    const isKept = !isWrite || fold !== undefined;
    const header = isKept ? access.header : addHeader(record, access, recordBytes, ALL_CLASSES);
    if (header === undefined) return undefined;
    for (const hole of holes) addHoles(target, record, akey, header, hole, MAX_HOLES, seen);
    for (const piece of pieces) this.#addPiece(record, akey, header, piece, extents);
    return header;
  }

  #addPiece(
    record: ArrayRecord,
    akey: string,
    header: ArrayHeader,
    piece: PlannedPiece,
    extents: readonly ExtentRef[],
  ): void {
    const target = this.#target;
    const { segments, windowClass, window, bulk } = piece;
    const bytes: PieceBytes =
      bulk === undefined
        ? { inline: piece.bytes }
        : { inline: undefined, extent: extents[bulk.index]!, origin: bulk.start - (bulk.start % BLOCK_BYTES) };
    if (segments === undefined) {
      addPiece(target, record, akey, header, piece, bytes);
      return;
    }
    const size = windowBytes(windowClass);
    const isWhole = segments.length === 1 && piece.end - piece.start === size;
    const meta = isWhole ? WHOLE_META : encodeSegmentsMeta(segments);
    const key = windowKey(akey, windowClass, window);
    const stored = storedBytes(target, piece, bytes);
    record.writes.push({ key, epoch: record.epoch, kind: VersionKind.value, meta, ...stored });
    const start = window * size;
    addCovered(target, record, akey, header, windowClass, { start, end: start + size });
  }
}

/** The outcome when the update must not happen: the leader's to say. */
function refusalOf(
  target: TargetObjects,
  { state, dkey, akey, version, floor, header }: ArrayAccess,
  { flags = 0, recordBytes, fold }: ShardUpdate,
  seen: Seen,
): WriteOutcome | undefined {
  if (fold !== undefined) return undefined;
  if (flags !== 0) {
    const error = checkConditions(target, state, flags, LATEST, seen, dkey, akey);
    if (error !== undefined) return refusedWrite(error, seen.sequence);
  }
  if (holdsSingle(version, floor)) {
    return refusedWrite(mixed("write an array", "a single value. Punch the akey first"), seen.sequence);
  }
  if (header === undefined || header.recordBytes === recordBytes) return undefined;
  if (!anythingVisible(target, state, akey, "akey", floor, LATEST, seen)) return undefined;
  return refusedWrite(recordSizeMismatch(recordBytes, header.recordBytes), seen.sequence);
}

/** As planParts; where so many small pieces come together that no record holds them they go to the device, too. */
function planFitting(
  parts: readonly PartBytes[],
  inlineBytes: number,
  { dkey, akey }: Pick<ShardUpdate, "dkey" | "akey">,
): ShardPlan {
  const keyBytes = dkey.length + akey.length;
  const plan = planParts(parts, inlineBytes, keyBytes);
  const logged = plan.pieces.reduce((sum, { bulk, bytes }) => (bulk === undefined ? sum + bytes.length : sum), 0);
  return logged <= MAX_LOGGED_BYTES ? plan : planParts(parts, 0, keyBytes);
}

/** `keyBytes`: of dkey and akey together. */
function planParts(parts: readonly PartBytes[], inlineBytes: number, keyBytes: number): ShardPlan {
  const bulks: Bulk[] = [];
  const pieces: PlannedPiece[] = [];
  const shared = sharedBlocks(parts);
  for (const [block, runs] of shared) {
    const piece = sharedPiece(block, runs);
    pieces.push(asStored(piece, inlineBytes, bulks));
  }
  for (const { kind, address, length, bytes } of parts) {
    if (kind !== "write") continue;
    for (const run of outside(shared, address, address + length)) {
      pieces.push(...piecesOf(run, bytes.subarray(run.start - address, run.end - address), inlineBytes, bulks));
    }
  }
  const punched = parts.filter(({ kind }) => kind === "punch");
  const holes = punched.flatMap(({ address, length }) => outside(shared, address, address + length));
  // A key takes up to twice its length; object and akey cell may be part of the record, and holes, which are not known yet.
  const cellBytes = RECORD_OVERHEAD_BYTES + 2 * keyBytes;
  let logBytes = (2 + 4 * holes.length) * cellBytes;
  for (const { bulk, bytes } of pieces) {
    logBytes += bulk === undefined ? cellBytes + bytes.length : 5 * cellBytes + bytes.length / 1024;
  }
  return { isWrite: parts.some(({ kind }) => kind !== "punch"), pieces, bulks, holes, logBytes };
}

/** The blocks of a MiB that are replaced: those of a `block`, and in which a write meets another part; the writes of each. */
function sharedBlocks(parts: readonly PartBytes[]): Map<number, PartBytes[]> {
  const shared = new Map<number, PartBytes[]>();
  for (const part of parts) {
    if (part.bytes.length === 0) continue;
    const last = Math.floor((part.address + part.length - 1) / MIB);
    for (let block = Math.floor(part.address / MIB); block <= last; block += 1) {
      const within = parts.filter((other) => meets(other, block * MIB, (block + 1) * MIB));
      if (within.length === 1 && part.kind !== "block") continue;
      shared.set(
        block,
        within.filter(({ bytes }) => bytes.length > 0),
      );
    }
  }
  return shared;
}

function meets({ address, length }: PartBytes, start: number, end: number): boolean {
  return address < end && address + length > start;
}

/** All that the block holds, as one piece. */
function sharedPiece(block: number, writes: readonly PartBytes[]): Omit<PlannedPiece, "bulk"> {
  const base = block * MIB;
  const runs = writes
    .map((part) => {
      const start = Math.max(part.address, base);
      const end = Math.min(part.address + part.length, base + MIB);
      return { start, end, bytes: part.bytes.subarray(start - part.address, end - part.address) };
    })
    .toSorted((left, right) => left.start - right.start);
  const start = runs[0]!.start;
  const end = runs.at(-1)!.end;
  const isAlone = runs.length === 1;
  const bytes = isAlone ? runs[0]!.bytes : new Uint8Array(end - start);
  const segments: { start: number; end: number }[] = [];
  for (const run of runs) {
    if (!isAlone) bytes.set(run.bytes, run.start - start);
    const last = segments.at(-1);
    if (last?.end === run.start - base) last.end = run.end - base;
    else segments.push({ start: run.start - base, end: run.end - base });
  }
  assert(segments.length <= MAX_META_SEGMENTS, "a plan has few parts in one block");
  return { windowClass: BLOCK_CLASS, window: block, start, end, bytes, segments };
}

/** What of [start, end) lies outside the shared blocks. */
function outside(shared: ReadonlyMap<number, unknown>, start: number, end: number): ByteRun[] {
  const runs: ByteRun[] = [];
  let at = start;
  for (const block of [...shared.keys()].toSorted((left, right) => left - right)) {
    const from = block * MIB;
    if (from + MIB <= at || from >= end) continue;
    if (from > at) runs.push({ start: at, end: from });
    at = from + MIB;
  }
  if (at < end) runs.push({ start: at, end });
  return runs;
}

/** A run of data cut into windows; what is large goes to one extent. */
function piecesOf(run: ByteRun, bytes: Uint8Array, inlineBytes: number, bulks: Bulk[]): PlannedPiece[] {
  const cut = cutIntoWindows(run.start, run.end);
  const large = cut.filter(({ start, end }) => end - start > inlineBytes);
  const first = large[0];
  const bulk = first === undefined ? undefined : { index: bulks.length, start: first.start };
  if (first !== undefined) {
    const { start } = first;
    const { end } = large.at(-1)!;
    bulks.push({ start, end, bytes: bytes.subarray(start - run.start, end - run.start) });
  }
  return cut.map((piece) => {
    const isLarge = piece.end - piece.start > inlineBytes;
    return {
      ...piece,
      bytes: bytes.subarray(piece.start - run.start, piece.end - run.start),
      segments: undefined,
      bulk: isLarge ? bulk : undefined,
    };
  });
}

function asStored(piece: Omit<PlannedPiece, "bulk">, inlineBytes: number, bulks: Bulk[]): PlannedPiece {
  const { start, end, bytes } = piece;
  if (end - start <= inlineBytes) return { ...piece, bulk: undefined };
  bulks.push({ start, end, bytes });
  return { ...piece, bulk: { index: bulks.length - 1, start } };
}

function undecided(): DaosError {
  const state = "an update of it is not decided here yet";
  return new DaosError("UNAVAILABLE", `Cannot fold the stripe: ${state}. Retry.`);
}
