/**
 * Single values: one value under an akey, replaced as a whole. The hot path of key-value stores: a fetch is one lookup, an
 * update one appended cell, unless the object was punched or holds arrays.
 */
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_SINGLE_VALUE_BYTES } from "../base/limits.ts";
import type { ObjectId } from "../base/object-id.ts";
import { type CellWrite, type ExtentRef, type Version, VersionKind } from "../store/cell.ts";
import { joinSequences } from "../store/stability.ts";
import { akeyCellKey, akeyPrefix, beneathStart, dkeyPrefix, ownCellKey, prefixEnd } from "./cell-key.ts";
import { corruptMeta, MetaType, ObjectCellFlag, SINGLE_META } from "./cell-meta.ts";
import { anythingVisible, checkConditions, checkFlags, FETCH_FLAGS, LATEST, UPDATE_FLAGS } from "./condition.ts";
import { StagedWrite } from "./staged-write.ts";
import { checkKeys, isLive, Seen, type TargetObjects } from "./target-objects.ts";
import type { WriteOrder } from "./write-order.ts";

/** What every result carries. Nothing of it may be told to anybody before `sequence` is stable: CellStore.whenStable. */
export interface Outcome {
  /** What the outcome rests on and may still be undone; 0 for nothing. */
  readonly sequence: number;
  /** The operation was refused and changed nothing; the rest of the outcome is empty. */
  readonly error: DaosError | undefined;
}

export interface WriteOutcome extends Outcome {
  /** Epoch of the write, or at which there was nothing to do. */
  readonly epoch: Epoch;
}

export interface FetchOutcome extends Outcome {
  readonly found: boolean;
  /** Epoch at which the value was written; 0 when not found. */
  readonly epoch: Epoch;
  /**
   * A view into the store when the outcome came without a promise: valid until the caller awaits or returns to the loop.
   * Else the caller's own, from `allocate`.
   */
  readonly value: Uint8Array;
  /** CRC-32 that `value` must have: what it was verified by when it was stored. */
  readonly checksum: number;
}

/** The keys of an operation on an akey. `flags`: ObjectFlag. A fixed-layout request of the wire fits as it is. */
export interface AkeyRequest {
  readonly oid: ObjectId;
  readonly dkey: ByteString;
  readonly akey: ByteString;
  readonly flags?: number;
  /** Of writes: CRC-32 of the bytes, from where they were verified last; what is stored is held against it. */
  readonly checksum?: number | undefined;
  /** Of writes: absent where nobody else orders them. */
  readonly order?: WriteOrder | undefined;
}

export interface AkeyReadRequest extends AkeyRequest {
  /** 0 for the latest. */
  readonly epoch: Epoch;
}

export const NO_BYTES = new Uint8Array(0);
/** Bytes a record takes besides keys and value, roughly. */
export const RECORD_OVERHEAD_BYTES = 96;

export function refusedWrite(error: DaosError, sequence: number): WriteOutcome {
  return { epoch: EPOCH_NONE, sequence, error };
}

function absent(sequence: number, error?: DaosError): FetchOutcome {
  return { found: false, epoch: EPOCH_NONE, value: NO_BYTES, checksum: 0, sequence, error };
}

export class SingleValues {
  readonly #target: TargetObjects;

  constructor(target: TargetObjects) {
    this.#target = target;
  }

  /** Rejects or throws INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND (container), EPOCH_AGGREGATED, CORRUPT, IO. */
  fetch(container: number, request: AkeyReadRequest): FetchOutcome | Promise<FetchOutcome> {
    checkKeys(request.dkey, request.akey);
    const target = this.#target;
    const state = target.object(container, request.oid);
    const epoch = request.epoch === 0 ? LATEST : target.containers.readEpoch(state.container, request.epoch);
    const flags = request.flags ?? 0;
    if (flags === 0 && state.epoch === 0) {
      const key = akeyCellKey(state.prefix, request.dkey, request.akey);
      return this.#outcome(target.store.get(key, epoch), 0, 0);
    }
    const dkey = dkeyPrefix(state.prefix, request.dkey);
    const akey = akeyPrefix(dkey, request.akey);
    const seen = new Seen();
    if (flags !== 0) {
      checkFlags(flags, FETCH_FLAGS);
      const error = checkConditions(target, state, flags, epoch, seen, dkey, akey);
      if (error !== undefined) return absent(seen.sequence, error);
    }
    const floor = target.floor(state, dkey, epoch, seen);
    return this.#outcome(target.store.get(ownCellKey(akey), epoch), floor, seen.sequence);
  }

  /** The same at an epoch that may be read, or LATEST, without conditions. `seen` hears what it rests on. */
  fetchAt(container: number, request: AkeyRequest, epoch: Epoch, seen: Seen): FetchOutcome | Promise<FetchOutcome> {
    checkKeys(request.dkey, request.akey);
    const target = this.#target;
    const state = target.object(container, request.oid);
    const dkey = dkeyPrefix(state.prefix, request.dkey);
    const floor = target.floor(state, dkey, epoch, seen);
    const version = target.store.get(ownCellKey(akeyPrefix(dkey, request.akey)), epoch);
    if (version !== undefined) seen.see(version);
    seen.epoch = Math.max(seen.epoch, floor);
    return this.#outcome(version, floor, seen.sequence);
  }

  #outcome(version: Version | undefined, floor: number, seen: number): FetchOutcome | Promise<FetchOutcome> {
    if (version === undefined) return absent(seen);
    const sequence = joinSequences(version.sequence, seen);
    if (!isLive(version, floor)) return absent(sequence);
    if (version.metaType !== MetaType.single) {
      if (version.metaType !== MetaType.array) throw corruptMeta();
      return absent(sequence, mixed("fetch a value", "an array. Read it as an array"));
    }
    const { extent, epoch } = version;
    if (extent === undefined) {
      const { inline: value = NO_BYTES, checksum } = version;
      return { found: true, epoch, value, checksum, sequence, error: undefined };
    }
    const view = this.#target.store.viewExtent(extent, 0, extent.length);
    if (view === undefined) return this.#read(extent, epoch, sequence);
    return { found: true, epoch, value: view.bytes, checksum: view.checksum, sequence, error: undefined };
  }

  async #read(extent: ExtentRef, epoch: Epoch, sequence: number): Promise<FetchOutcome> {
    const value = this.#target.allocate(extent.length, "anything");
    try {
      const checksum = await this.#target.store.readExtent(extent, 0, extent.length, value);
      return { found: true, epoch, value, checksum, sequence, error: undefined };
    } catch (error) {
      this.#target.release(value);
      throw error;
    }
  }

  /**
   * Replaces the value. Up to the container's threshold the value is copied before the call returns, unless it returns a promise;
   * it is the store's until then. Errors: as fetch, and NO_SPACE, READ_ONLY, UNAVAILABLE, OVERLOADED.
   */
  update(container: number, request: AkeyRequest, value: Uint8Array): WriteOutcome | Promise<WriteOutcome> {
    checkKeys(request.dkey, request.akey);
    const flags = request.flags ?? 0;
    if (flags !== 0) checkFlags(flags, UPDATE_FLAGS);
    if (value.length > this.#target.inlineBytes(container)) return this.#updateLarge(container, request, value);
    return this.#updateSmall(container, request, value);
  }

  #updateSmall(container: number, request: AkeyRequest, value: Uint8Array): WriteOutcome | Promise<WriteOutcome> {
    const bytes = recordBytes(request) + value.length;
    const wait = this.#target.admitInTurn(bytes, request.order);
    if (wait === undefined) return this.#append(container, request, value, undefined);
    const kept = new Uint8Array(value);
    return wait.then(() => this.#append(container, request, kept, undefined));
  }

  async #updateLarge(container: number, request: AkeyRequest, value: Uint8Array): Promise<WriteOutcome> {
    const target = this.#target;
    checkSize(value);
    const bytes = recordBytes(request) + value.length / 1024;
    await target.admit(bytes, false, request.order);
    if (request.order?.epoch === undefined) {
      const early = this.#refusal(container, request, new Seen());
      if (early !== undefined) return early;
    }
    let extent: ExtentRef;
    try {
      extent = await target.store.writeExtent(value, request.checksum);
    } catch (error) {
      // It was to spare the SCM, which may still have room for it.
      if (value.length <= target.threshold(container)) return await this.#updateSmall(container, request, value);
      throw error;
    }
    const append = (): WriteOutcome => this.#append(container, request, undefined, extent);
    return await new StagedWrite<AkeyRequest>(target, { logBytes: bytes, extents: [extent], append }).write(request);
  }

  /** Stores a value that an update is to come for, on the device; see ArrayWrites.stage. */
  async stage(container: number, request: AkeyRequest, value: Uint8Array): Promise<StagedWrite> {
    checkKeys(request.dkey, request.akey);
    checkSize(value);
    const target = this.#target;
    const logBytes = recordBytes(request) + value.length / 1024;
    await target.admit(logBytes, false);
    const extent = await target.store.writeExtent(value, request.checksum);
    const append = (update: AkeyRequest): WriteOutcome => {
      checkFlags(update.flags ?? 0, UPDATE_FLAGS);
      return this.#append(container, update, undefined, extent);
    };
    return new StagedWrite(target, { logBytes, extents: [extent], append });
  }

  /** The outcome when the update must not happen. */
  #refusal(container: number, request: AkeyRequest, seen: Seen): WriteOutcome | undefined {
    const target = this.#target;
    const state = target.object(container, request.oid);
    const flags = request.flags ?? 0;
    const arrays = (state.flags & ObjectCellFlag.arrays) !== 0;
    if (flags === 0 && !arrays) return undefined;
    const dkey = dkeyPrefix(state.prefix, request.dkey);
    const akey = akeyPrefix(dkey, request.akey);
    if (flags !== 0) {
      const error = checkConditions(target, state, flags, LATEST, seen, dkey, akey);
      if (error !== undefined) return refusedWrite(error, seen.sequence);
    }
    if (!arrays) return undefined;
    const floor = target.floor(state, dkey, LATEST, seen);
    const version = target.store.get(ownCellKey(akey), LATEST);
    if (!isLive(version, floor) || version.metaType !== MetaType.array) return undefined;
    if (!anythingVisible(target, state, akey, "akey", floor, LATEST, seen)) return undefined;
    seen.add(version.sequence);
    return refusedWrite(mixed("update a value", "an array. Punch the akey first"), seen.sequence);
  }

  #append(
    container: number,
    request: AkeyRequest,
    inline: Uint8Array | undefined,
    extent: ExtentRef | undefined,
  ): WriteOutcome {
    const target = this.#target;
    const state = target.object(container, request.oid);
    const flags = request.flags ?? 0;
    const plain = flags === 0 && (state.flags & ObjectCellFlag.arrays) === 0;
    const refusal =
      plain || request.order?.gather !== undefined ? undefined : this.#refusal(container, request, new Seen());
    if (refusal !== undefined) return refusal;
    const key = akeyCellKey(state.prefix, request.dkey, request.akey);
    const { order } = request;
    const epoch = target.writeEpoch(order);
    const write: CellWrite =
      inline === undefined
        ? { key, epoch, kind: VersionKind.value, meta: SINGLE_META, extent: extent! }
        : { key, epoch, kind: VersionKind.value, meta: SINGLE_META, inline, checksum: request.checksum };
    // An array of which everything was punched may lie beneath; it gives way to the value.
    if (plain || !holdsArray(target, key)) {
      return { epoch, sequence: target.append([write], undefined, epoch, order), error: undefined };
    }
    const akey = akeyPrefix(dkeyPrefix(state.prefix, request.dkey), request.akey);
    const reclaims = [{ from: beneathStart(akey), to: prefixEnd(akey), epoch }];
    return { epoch, sequence: target.append([write], reclaims, epoch, order), error: undefined };
  }
}

/** Throws TOO_LARGE. */
function checkSize(value: Uint8Array): void {
  if (value.length <= MAX_SINGLE_VALUE_BYTES) return;
  throw new DaosError(
    "TOO_LARGE",
    `Cannot store a value of ${value.length} bytes: ${MAX_SINGLE_VALUE_BYTES} are allowed. Store it as an array.`,
  );
}

/** Bytes of the record besides the value: a key takes up to twice its length. */
function recordBytes(request: AkeyRequest): number {
  return RECORD_OVERHEAD_BYTES + 2 * (request.dkey.length + request.akey.length);
}

function holdsArray(target: TargetObjects, key: ByteString): boolean {
  const version = target.store.get(key, LATEST);
  return version !== undefined && version.kind !== VersionKind.tombstone && version.metaType === MetaType.array;
}

export function mixed(action: string, holds: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot ${action}: the akey holds ${holds}.`);
}
