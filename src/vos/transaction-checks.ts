/**
 * Whether a transaction may take a dkey: nothing of what it has read there has changed since, and nothing of what it is
 * to write can be refused later. All in one turn, with the lock taken in the same one.
 */
import type { DkeyPlace } from "../base/key-place.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_ARRAY_IO_BYTES, MAX_SINGLE_VALUE_BYTES, MAX_TRANSACTION_PUNCH_BYTES } from "../base/limits.ts";
import { recordSizeMismatch } from "../base/object-refusals.ts";
import { TransactionConflict } from "../base/transaction-conflict.ts";
import type { PartRead, PartWrite } from "../format/transaction-part.ts";
import { accessArray, byteRange, holdsSingle } from "./array-read.ts";
import { classBit, WINDOW_CLASSES, windowBytes } from "./array-window.ts";
import { beneathStart, dkeyPrefix, prefixEnd, windowKey } from "./cell-key.ts";
import { MetaType } from "./cell-meta.ts";
import { anythingVisible, LATEST, MAX_DECISION_CELLS } from "./condition.ts";
import { mixed } from "./single-value.ts";
import { checkKeys, isLive, type Seen, type TargetObjects } from "./target-objects.ts";
import type { TransactionShard } from "./transaction-shard.ts";

/** Where a transaction looks: `epoch` is its snapshot. */
export interface TransactionView extends DkeyPlace {
  readonly container: number;
  readonly epoch: Epoch;
  /** Of erasure code: a parity shard, which knows of every change. */
  readonly shard?: TransactionShard | undefined;
}

/** The error when something of the reads is not as it was. */
export function changedSince(
  target: TargetObjects,
  view: TransactionView,
  reads: readonly PartRead[],
  seen: Seen,
): DaosError | undefined {
  return reads.some((read) => hasChanged(target, view, read, seen)) ? changed() : undefined;
}

function hasChanged(target: TargetObjects, view: TransactionView, read: PartRead, seen: Seen): boolean {
  if (read.kind === "value") {
    checkKeys(view.dkey, read.akey);
    const { version, floor } = accessArray(target, view.container, { ...view, akey: read.akey }, LATEST, seen);
    if (!isLive(version, floor)) return read.epoch !== 0;
    // Where an akey holds an array the reader of shards may have found nothing.
    const isArray = view.shard !== undefined && version.metaType === MetaType.array;
    return isArray ? read.epoch !== 0 || version.epoch > view.epoch : version.epoch !== read.epoch;
  }
  if (view.epoch < keptFrom(target, view)) return true;
  return read.kind === "akeys" ? akeysChanged(target, view, seen) : recordsChanged(target, view, read, seen);
}

/** Since when everything has left something: a punch of before may have gone without a trace. */
function keptFrom(target: TargetObjects, { container, shard }: TransactionView): number {
  const { store, containers } = target;
  const aggregated = store.aggregatedTo(container);
  const kept = shard === undefined ? aggregated : Math.min(aggregated, store.gate(container));
  return Math.max(kept, containers.get(container).filledAt);
}

function recordsChanged(
  target: TargetObjects,
  view: TransactionView,
  read: PartRead & { kind: "records" },
  seen: Seen,
): boolean {
  checkKeys(view.dkey, read.akey);
  const access = accessArray(target, view.container, { ...view, akey: read.akey }, LATEST, seen);
  if (access.floor > view.epoch || (access.version !== undefined && access.version.epoch > view.epoch)) return true;
  const { header } = access;
  if (header === undefined) return false;
  const range = byteRange(read, read.recordBytes, MAX_ARRAY_IO_BYTES);
  const runs = view.shard === undefined ? [range] : view.shard.footprint(range);
  return WINDOW_CLASSES.some((windowClass) => {
    if ((header.classMask & classBit(windowClass)) === 0) return false;
    const size = windowBytes(windowClass);
    return runs.some(({ start, end }) => {
      const from = windowKey(access.akey, windowClass, Math.floor(start / size));
      const to = windowKey(access.akey, windowClass, Math.floor((end - 1) / size) + 1);
      return isNewer(target, from, to, view.epoch, seen);
    });
  });
}

function akeysChanged(target: TargetObjects, view: TransactionView, seen: Seen): boolean {
  const state = target.object(view.container, view.oid);
  const dkey = dkeyPrefix(state.prefix, view.dkey);
  if (target.floor(state, dkey, LATEST, seen) > view.epoch) return true;
  return isNewer(target, beneathStart(dkey), prefixEnd(dkey), view.epoch, seen);
}

/** Whether a cell of the range has changed since, or there are too many to say. */
function isNewer(
  target: TargetObjects,
  from: ReturnType<typeof prefixEnd>,
  to: ReturnType<typeof prefixEnd>,
  epoch: Epoch,
  seen: Seen,
): boolean {
  let left = MAX_DECISION_CELLS;
  let found = false;
  target.store.scan(from, to, LATEST, (_key, version) => {
    seen.add(version.sequence);
    left -= 1;
    found = version.epoch > epoch || left === 0;
    return !found;
  });
  return found;
}

/** The error when a write cannot be done, as the same operation by itself would answer. */
export function writeRefusal(
  target: TargetObjects,
  view: TransactionView,
  writes: readonly PartWrite[],
  seen: Seen,
): DaosError | undefined {
  const akeys = new Set<string>();
  for (const write of writes) {
    const akey = write.kind === "punchDkey" ? "" : write.akey;
    checkKeys(view.dkey, akey);
    if (akeys.has(akey) || (write.kind === "punchDkey" && writes.length > 1)) return twice();
    akeys.add(akey);
    const error = refusalOf(target, view, write, seen);
    if (error !== undefined) return error;
  }
  return undefined;
}

function refusalOf(target: TargetObjects, view: TransactionView, write: PartWrite, seen: Seen): DaosError | undefined {
  if (write.kind === "punchDkey" || write.kind === "punchAkey") return undefined;
  const access = accessArray(target, view.container, { ...view, akey: write.akey }, LATEST, seen);
  const { version, floor, header, state, akey } = access;
  if (write.kind === "update") {
    if (write.value.length > MAX_SINGLE_VALUE_BYTES) return tooLarge();
    if (write.replaces || !isLive(version, floor) || version.metaType !== MetaType.array) return undefined;
    const isThere = anythingVisible(target, state, akey, "akey", floor, LATEST, seen);
    return isThere ? mixed("update a value", "an array. Punch the akey first") : undefined;
  }
  const limit = write.kind === "write" ? MAX_ARRAY_IO_BYTES : MAX_TRANSACTION_PUNCH_BYTES;
  const { start, end } = byteRange(write, write.recordBytes, limit);
  if (write.kind === "write" && write.value.length !== end - start) return tooLarge();
  if (holdsSingle(version, floor)) return mixed("write an array", "a single value. Punch the akey first");
  if (header === undefined || header.recordBytes === write.recordBytes) return undefined;
  const isThere = anythingVisible(target, state, akey, "akey", floor, LATEST, seen);
  return isThere ? recordSizeMismatch(write.recordBytes, header.recordBytes) : undefined;
}

function changed(): DaosError {
  return new TransactionConflict("what it has read has changed since");
}

function twice(): DaosError {
  return new DaosError(
    "INVALID_ARGUMENT",
    "Cannot prepare the transaction: it writes an akey twice. Join what is written to one akey.",
  );
}

function tooLarge(): DaosError {
  return new DaosError(
    "INVALID_ARGUMENT",
    "Cannot prepare the transaction: the bytes of a write are not as many as it says, or too many. Correct it.",
  );
}
