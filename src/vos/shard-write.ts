/**
 * What one shard of an erasure-coded akey does in an update: the parts that a plan gave it (src/contracts/redundancy.ts), in
 * one atomic record. Runs of bytes go into the windows of an ordinary array; where several parts meet in one block of a MiB
 * they say together all that the block holds, and it is replaced as a whole.
 *
 * A shard without parts leaves a record all the same: it proves that the update came by.
 */
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
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
import { windowBytes } from "./array-window.ts";
import { type Crowded, noteCrowded } from "./array-write.ts";
import { windowKey } from "./cell-key.ts";
import { type ArrayHeader, encodeSegmentsMeta, WHOLE_META } from "./cell-meta.ts";
import { anythingVisible, checkConditions, checkFlags, LATEST, UPDATE_FLAGS } from "./condition.ts";
import { type AkeyRequest, mixed, NO_BYTES, refusedWrite, type WriteOutcome } from "./single-value.ts";
import { writeLed } from "./led-extent.ts";
import { type Bulk, planFitting, type PlannedPiece, type ShardPlan } from "./shard-plan.ts";
import { StagedWrite } from "./staged-write.ts";
import { checkKeys, Seen, type TargetObjects } from "./target-objects.ts";

/** Windows that the parts of one update may punch on one shard: they are one record. */
const MAX_HOLES = 4096;
/** All window classes: a fold, which writes at a past epoch, must find them in the akey's cell. */
const ALL_CLASSES = 7;

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
    await target.admit(plan.logBytes, false, update.order);
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
      bytes: piece.bulk === undefined ? new Uint8Array(piece.bytes) : NO_BYTES,
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
  #writeBulk({ start, bytes, checksum }: Bulk): Promise<ExtentRef> {
    return writeLed(this.#target, start % BLOCK_BYTES, bytes, checksum);
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
    const right = fold === undefined ? undefined : "fold";
    const sequence = target.append(writes, reclaims.length === 0 ? undefined : reclaims, epoch, order, right);
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
        ? { inline: piece.bytes, checksum: piece.checksum }
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

function undecided(): DaosError {
  const state = "an update of it is not decided here yet";
  return new DaosError("UNAVAILABLE", `Cannot fold the stripe: ${state}. Retry.`);
}
