/**
 * Punches of akeys, dkeys and objects. A subtree of few akeys is punched akey by akey, which leaves nothing behind once it is
 * aggregated; a larger one gets a punch in its own cell, and its space is reclaimed in the background. A punch of what does
 * not exist writes nothing.
 */
import { assert } from "../base/assert.ts";
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { isErasureCoded, isRedundant, type ObjectId } from "../base/object-id.ts";
import { ObjectFlag } from "../format/object-request.ts";
import { type CellWrite, VersionKind } from "../store/cell.ts";
import { akeyPrefix, beneathStart, dkeyPrefix, OBJECT_PREFIX_BYTES, ownCellKey, prefixEnd } from "./cell-key.ts";
import { CellWalk } from "./cell-walk.ts";
import { DKEY_PUNCH_META, encodeObjectMeta, MetaType, NO_META, ObjectCellFlag } from "./cell-meta.ts";
import { checkConditions, checkFlags, LATEST } from "./condition.ts";
import { dkeyPresence } from "./dkey-presence.ts";
import type { ObjectState } from "./object-state.ts";
import { appendPunch, nothingPunched, type PunchRecord } from "./punch-record.ts";
import { type AkeyRequest, refusedWrite, type WriteOutcome } from "./single-value.ts";
import { checkKeys, isLive, Seen, type TargetObjects } from "./target-objects.ts";
import { mustRecord, type WriteOrder } from "./write-order.ts";

/** Cells looked at to find the akeys that are punched one by one. */
const MAX_PUNCH_CELLS = 4096;

export interface ObjectRequestKeys {
  readonly oid: ObjectId;
  readonly flags?: number;
  /** Absent where nobody else orders the punch. */
  readonly order?: WriteOrder | undefined;
}
export interface DkeyRequest extends ObjectRequestKeys {
  readonly dkey: ByteString;
}

export class Punches {
  readonly #target: TargetObjects;

  constructor(target: TargetObjects) {
    this.#target = target;
  }

  /**
   * Flags: ifObjectExists, ifDkeyExists, ifAkeyExists. Errors: INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND, READ_ONLY,
   * UNAVAILABLE, OVERLOADED, NO_SPACE (the reserve for punches is used up).
   */
  punchAkey(container: number, request: AkeyRequest): WriteOutcome | Promise<WriteOutcome> {
    checkKeys(request.dkey, request.akey);
    checkFlags(request.flags ?? 0, ObjectFlag.ifObjectExists | ObjectFlag.ifDkeyExists | ObjectFlag.ifAkeyExists);
    return appendPunch(this.#target, request.order, () => this.#akey(container, request));
  }

  /** As punchAkey; flags ifObjectExists, ifDkeyExists. */
  punchDkey(container: number, request: DkeyRequest): WriteOutcome | Promise<WriteOutcome> {
    checkKeys(request.dkey, "");
    checkFlags(request.flags ?? 0, ObjectFlag.ifObjectExists | ObjectFlag.ifDkeyExists);
    return appendPunch(this.#target, request.order, () => {
      const state = this.#target.object(container, request.oid);
      const seen = new Seen();
      const dkey = dkeyPrefix(state.prefix, request.dkey);
      const floor = this.#target.floor(state, dkey, LATEST, seen);
      return this.#subtree(state, "dkey", dkey, floor, request, seen);
    });
  }

  /** As punchAkey; flag ifObjectExists. */
  punchObject(container: number, request: ObjectRequestKeys): WriteOutcome | Promise<WriteOutcome> {
    checkFlags(request.flags ?? 0, ObjectFlag.ifObjectExists);
    if (isRedundant(request.oid)) throw dkeyByDkey();
    return appendPunch(this.#target, request.order, () => {
      const state = this.#target.object(container, request.oid);
      // What a transaction gathers is of an object that it holds itself.
      if (request.order?.gather === undefined) this.#target.locks.checkObject(state.prefix);
      const seen = new Seen();
      seen.add(this.#target.pending(state.sequence));
      return this.#subtree(state, "object", state.prefix, state.punchEpoch, request, seen);
    });
  }

  #akey(container: number, request: AkeyRequest): PunchRecord | WriteOutcome {
    const target = this.#target;
    const state = target.object(container, request.oid);
    const dkey = dkeyPrefix(state.prefix, request.dkey);
    const akey = akeyPrefix(dkey, request.akey);
    const seen = new Seen();
    const flags = request.flags ?? 0;
    if (flags !== 0) {
      const error = checkConditions(target, state, flags, LATEST, seen, dkey, akey);
      if (error !== undefined) return refusedWrite(error, seen.sequence);
    }
    const floor = target.floor(state, dkey, LATEST, seen);
    const version = target.store.get(ownCellKey(akey), LATEST);
    if (version !== undefined) seen.add(version.sequence);
    const isArray = version?.metaType === MetaType.array;
    const live = isLive(version, floor);
    const epoch = target.writeEpoch(request.order);
    if (!live && !mustRecord(request.order)) return nothingPunched(epoch, seen.sequence);
    const record: PunchRecord = { epoch, writes: [], reclaims: [] };
    addAkeyPunch(record, akey, isArray);
    return record;
  }

  /** Punches a dkey or an object as a whole. */
  #subtree(
    state: ObjectState,
    unit: "dkey" | "object",
    prefix: string,
    floor: number,
    request: ObjectRequestKeys,
    seen: Seen,
  ): PunchRecord | WriteOutcome {
    const target = this.#target;
    const flags = request.flags ?? 0;
    if (flags !== 0) {
      const error = checkConditions(target, state, flags, LATEST, seen, unit === "dkey" ? prefix : "", "");
      if (error !== undefined) return refusedWrite(error, seen.sequence);
    }
    const visible = this.#visibleAkeys(state, unit, prefix, floor, seen);
    const isRecorded = (): boolean => mustRecord(request.order) || this.#isElsewhere(state, unit, prefix, seen);
    const akeys = visible?.length === 0 && isRecorded() ? undefined : visible;
    const epoch = target.writeEpoch(request.order);
    if (akeys?.length === 0) return nothingPunched(epoch, seen.sequence);
    const record: PunchRecord = { epoch, writes: [], reclaims: [] };
    let next: { flags: number; punchEpoch: number } | undefined;
    if (akeys !== undefined) {
      for (const akey of akeys) addAkeyPunch(record, akey, this.#isArray(akey));
      const isIdle = state.flags === ObjectCellFlag.arrays && state.punchEpoch === 0;
      if (unit === "object" && isIdle) next = { flags: 0, punchEpoch: 0 };
    } else {
      record.reclaims.push({ from: beneathStart(prefix), to: prefixEnd(prefix), epoch });
      if (unit === "object") next = { flags: state.flags & ObjectCellFlag.dkeyPunches, punchEpoch: epoch };
      else {
        record.writes.push({ key: ownCellKey(prefix), epoch, kind: VersionKind.value, meta: DKEY_PUNCH_META });
        if ((state.flags & ObjectCellFlag.dkeyPunches) === 0) {
          next = { flags: state.flags | ObjectCellFlag.dkeyPunches, punchEpoch: state.punchEpoch };
        }
      }
    }
    if (next === undefined) return record;
    record.writes.push(objectCell(state, next, epoch));
    return { ...record, appended: (sequence) => void Object.assign(state, next, { epoch, sequence }) };
  }

  /** Whether other shards of the dkey may have what is to be punched, and this one nothing of it: an array's bytes. */
  #isElsewhere(state: ObjectState, unit: "dkey" | "object", prefix: string, seen: Seen): boolean {
    if (unit !== "dkey" || !isErasureCoded(state.oid)) return false;
    const { isThere, sequence } = dkeyPresence(this.#target, state.container.number, { oid: state.oid, prefix });
    seen.add(sequence);
    return isThere;
  }

  #isArray(akey: string): boolean {
    return this.#target.store.get(ownCellKey(akey), LATEST)?.metaType === MetaType.array;
  }

  /** The visible akeys of a subtree if they are few and soon found; undefined when there are, or may be, more. */
  #visibleAkeys(
    state: ObjectState,
    unit: "dkey" | "object",
    prefix: string,
    floor: number,
    seen: Seen,
  ): string[] | undefined {
    const akeys: string[] = [];
    const within = unit === "dkey" ? { object: state.prefix, dkey: prefix, floor } : { object: state.prefix, floor };
    const walk = new CellWalk(
      this.#target,
      "akey",
      { from: beneathStart(prefix), to: prefixEnd(prefix) },
      LATEST,
      seen,
      within,
    );
    const done = walk.step(MAX_PUNCH_CELLS, (akey) => {
      akeys.push(akey);
      return akeys.length <= this.#target.limits.singlyPunchedAkeys;
    });
    return done ? akeys : undefined;
  }
}

function dkeyByDkey(): DaosError {
  const state = "with redundancy it is punched dkey by dkey";
  return new DaosError("UNSUPPORTED", `Cannot punch the object in one step: ${state}. Use a client that does so.`);
}

function addAkeyPunch(record: PunchRecord, akey: string, isArray: boolean): void {
  const { epoch } = record;
  record.writes.push({ key: ownCellKey(akey), epoch, kind: VersionKind.tombstone, meta: NO_META });
  if (isArray) record.reclaims.push({ from: beneathStart(akey), to: prefixEnd(akey), epoch });
}

/** A tombstone when the object cell has nothing left to say. */
function objectCell(state: ObjectState, next: { flags: number; punchEpoch: number }, epoch: Epoch): CellWrite {
  assert(state.prefix.length === OBJECT_PREFIX_BYTES, "an object prefix has a fixed length");
  const key = ownCellKey(state.prefix);
  if (next.flags === 0 && next.punchEpoch === 0) return { key, epoch, kind: VersionKind.tombstone, meta: NO_META };
  return { key, epoch, kind: VersionKind.value, meta: encodeObjectMeta(next.flags, next.punchEpoch) };
}
