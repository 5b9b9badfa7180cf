/**
 * The reclaim ranges that are not done, as the index keeps them: working ones, and parked ones, whose pass ended with
 * something kept for a snapshot or the gate. A parked one works again when a snapshot of its container goes, or when the
 * gate comes to its epoch. One of gated cells is parked until then even when it leaves nothing: it could not free much, and
 * its tombstone stays as long.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import {
  decodeReclaim,
  encodeReclaim,
  type ReclaimProgress,
  reclaimPrefix,
  reclaimSuffix,
  uint32OfKey,
} from "../format/settled-row.ts";
import type { KeyRange, ReclaimRange } from "./cell.ts";
import type { IndexReader, IndexTransaction } from "./settled-index.ts";

/** First key after the working ones. */
const PARKED_ROWS = "\x01" as ByteString;
const STATE_BYTES = 1;
const LAST = "\xff";
/** What follows a container in the key of a row: epoch, sequence and place. */
const SUFFIX_BYTES = 18;

const CONTAINER_BYTES = 4;
const LAST_CONTAINER = 0xffff_ffff;

/** Containers by their numbers, both included. */
export interface ContainerRange {
  readonly first: number;
  readonly last: number;
}

export function isInContainers(range: ContainerRange, container: number): boolean {
  return container >= range.first && container <= range.last;
}

/** The containers that the keys of [from, to) can be of. */
export function containersOf(from: ByteString, to: ByteString): ContainerRange {
  // A bound of a container's number only is where the next one begins.
  const last = to === "" ? LAST_CONTAINER : uint32OfKey(to) - (to.length <= CONTAINER_BYTES ? 1 : 0);
  return { first: uint32OfKey(from), last };
}

export interface WorkingReclaim {
  readonly key: ByteString;
  readonly progress: ReclaimProgress;
}

/** Where a range comes from: `place` in the record of `sequence`; and whether it is parked at once. */
export interface ReclaimOrigin {
  readonly sequence: number;
  readonly place: number;
  readonly parked: boolean;
}

export function addReclaim(transaction: IndexTransaction, range: ReclaimRange, origin: ReclaimOrigin): void {
  const { sequence, place, parked } = origin;
  const prefix = reclaimPrefix(parked, uint32OfKey(range.from), range.epoch);
  const key = (prefix + reclaimSuffix(sequence, place)) as ByteString;
  const { from, to, epoch } = range;
  transaction.put("reclaim", key, encodeReclaim(key, { from, to, epoch, cursor: from, kept: false }));
}

/** Whether the container has a reclaim of this epoch: then tombstones of the same record belong to a punch under way. */
export function hasReclaim(index: IndexReader, container: number, epoch: Epoch): boolean {
  for (const parked of [false, true]) {
    const cursor = index.cursor("reclaim", ...keysBehind(reclaimPrefix(parked, container, epoch)), false);
    const found = cursor.key !== undefined;
    cursor.close();
    if (found) return true;
  }
  return false;
}

/** True when there is none at all, parked or not. */
export function noReclaims(index: IndexReader): boolean {
  const cursor = index.cursor("reclaim", "" as ByteString, "" as ByteString, false);
  const none = cursor.key === undefined;
  cursor.close();
  return none;
}

/** The first range that is not parked. */
export function nextReclaim(index: IndexReader): WorkingReclaim | undefined {
  const cursor = index.cursor("reclaim", "" as ByteString, PARKED_ROWS, false);
  try {
    if (cursor.key === undefined) return undefined;
    return { key: cursor.key, progress: decodeReclaim(cursor.key, cursor.value) };
  } finally {
    cursor.close();
  }
}

/** Remembers that the range is done up to `cursor`; undefined: to its end. */
export function advanceReclaim(
  transaction: IndexTransaction,
  reclaim: WorkingReclaim,
  cursor: ByteString | undefined,
  kept: boolean,
): void {
  const { key, progress } = reclaim;
  if (cursor !== undefined) {
    transaction.put("reclaim", key, encodeReclaim(key, { ...progress, cursor, kept }));
    return;
  }
  transaction.remove("reclaim", key);
  if (kept) move(transaction, key, progress, PARKED_ROWS);
}

function move(transaction: IndexTransaction, key: ByteString, progress: ReclaimProgress, state: string): void {
  const moved = (state + key.slice(STATE_BYTES)) as ByteString;
  transaction.put("reclaim", moved, encodeReclaim(moved, { ...progress, cursor: progress.from, kept: false }));
}

/** Removes those that lie within one of the ranges. */
export function dropReclaims(transaction: IndexTransaction, ranges: readonly KeyRange[]): void {
  const dropped: ByteString[] = [];
  for (const container of new Set(ranges.map(({ from }) => uint32OfKey(from)))) {
    for (const parked of [false, true]) {
      const cursor = transaction.cursor("reclaim", ...keysBehind(reclaimPrefix(parked, container)), false);
      for (; cursor.key !== undefined; cursor.next()) {
        const reclaim = decodeReclaim(cursor.key, cursor.value);
        if (ranges.some((range) => isWithin(reclaim, range))) dropped.push(cursor.key);
      }
      cursor.close();
    }
  }
  for (const key of dropped) transaction.remove("reclaim", key);
}

function isWithin(inner: KeyRange, outer: KeyRange): boolean {
  return inner.from >= outer.from && (outer.to === "" || (inner.to !== "" && inner.to <= outer.to));
}

/** Where the rows begin and end that have this prefix. */
function keysBehind(prefix: ByteString): [ByteString, ByteString] {
  return [prefix, (prefix + LAST.repeat(SUFFIX_BYTES + 1)) as ByteString];
}

/** Parked ranges: all, or those of a container that were punched at `from` to `to`, both included. */
export interface ParkedReclaims {
  readonly container: number | undefined;
  readonly from: Epoch;
  readonly to: Epoch;
}

function parkedKeys({ container, from, to }: ParkedReclaims): { from: ByteString; to: ByteString } {
  if (container === undefined) return { from: PARKED_ROWS, to: "" as ByteString };
  return { from: reclaimPrefix(true, container, from), to: reclaimPrefix(true, container, (to + 1) as Epoch) };
}

/** Whether there are any. */
export function hasParked(index: IndexReader, parked: ParkedReclaims): boolean {
  const { from, to } = parkedKeys(parked);
  const cursor = index.cursor("reclaim", from, to, false);
  const found = cursor.key !== undefined;
  cursor.close();
  return found;
}

/** Makes up to `limit` of the ranges work again, unless they still wait for the gate. True when there may be more. */
export function wakeReclaims(
  transaction: IndexTransaction,
  parked: ParkedReclaims,
  waits: (range: ReclaimRange) => boolean,
  limit: number,
): boolean {
  const { from, to } = parkedKeys(parked);
  const found: WorkingReclaim[] = [];
  const cursor = transaction.cursor("reclaim", from, to, false);
  for (; cursor.key !== undefined && found.length < limit; cursor.next()) {
    const progress = decodeReclaim(cursor.key, cursor.value);
    if (!waits(progress)) found.push({ key: cursor.key, progress });
  }
  const more = cursor.key !== undefined;
  cursor.close();
  for (const { key, progress } of found) {
    transaction.remove("reclaim", key);
    move(transaction, key, progress, "\x00");
  }
  return more;
}
