/**
 * What is done to settled cells in the background, one bounded slice a transaction: working off reclaim ranges, aggregation
 * passes over a container, purges, and checks of rows. Like settling it runs inline or in a thread.
 *
 * A reclaim that had to leave something for a snapshot or the gate, or that covers what is still to come from the log, is parked when
 * its pass ends, and starts over when that may have changed; until it is gone, tombstones of its epoch stay.
 */
import { assert } from "../base/assert.ts";
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { uint32Key } from "../format/settled-row.ts";
import { decodeSettledVersion, type SettledVersion } from "../format/settled-version.ts";
import { type GateRule, type KeyRange, type ReclaimRange, VersionKind } from "./cell.ts";
import { type CellChanges, CellRewriter, settledOrigins } from "./cell-rewriter.ts";
import { type KeptViews, waitsForGate } from "./kept-views.ts";
import {
  advanceReclaim,
  type ContainerRange,
  containersOf,
  dropReclaims,
  nextReclaim,
  type ParkedReclaims,
  wakeReclaims,
} from "./reclaim-table.ts";
import { checkRows, type RowCheckResult, type RowRange, sliceOf } from "./row-check.ts";
import type { IndexReader, IndexSpace, IndexTransaction, SettledIndex } from "./settled-index.ts";

/** Cells that one slice rewrites at most. */
export const SLICE_CELLS = 2000;
/** Cells that one slice looks at at most. */
const SLICE_VISITS = 20_000;
/** Parked reclaims that one slice wakes at most. */
const SLICE_WAKES = 2000;

export type MaintenanceTask =
  /** The first reclaim that is not parked, unless it reaches beyond these containers: then nothing is done. */
  | { readonly kind: "reclaim"; readonly containers: ContainerRange }
  /** Wakes parked reclaims, but those that wait for the gate. */
  | { readonly kind: "wake"; readonly parked: ParkedReclaims }
  /** Cells of the container from `cursor` on. */
  | { readonly kind: "aggregate"; readonly container: number; readonly cursor: ByteString }
  /** Removes what is in the ranges, at least one, ascending. */
  | { readonly kind: "purge"; readonly ranges: readonly KeyRange[] }
  /** Checks rows. */
  | ({ readonly kind: "check" } & RowRange);

export interface MaintenanceRequest {
  readonly task: MaintenanceTask;
  readonly views: KeptViews;
  /** Cells that older records than what is settled will still write: a reclaim that covers them is not done. */
  readonly carried: readonly CarriedCell[];
}

export interface CarriedCell {
  readonly key: ByteString;
  readonly epoch: Epoch;
}

export interface MaintenanceResult extends CellChanges {
  /** Where an aggregation goes on; undefined when the task is done. For the others: not undefined means "again". */
  readonly cursor: ByteString | undefined;
  readonly space: IndexSpace;
  /** Of a check. */
  readonly checked?: RowCheckResult;
}

/** Does one slice of the task. Throws NO_SPACE, CORRUPT, IO; nothing has changed then. */
export function maintainSlice(request: MaintenanceRequest, index: SettledIndex, isGated: GateRule): MaintenanceResult {
  if (request.task.kind === "check") return checkSlice(request.task, index);
  const result = index.transact((transaction) => {
    const rewriter = new CellRewriter(transaction, request.views, isGated);
    const cursor = runTask(request, transaction, rewriter);
    return { ...rewriter.finish(), cursor };
  });
  return { ...result, space: index.space() };
}

/** Most slices have nothing to mend, and write nothing. */
function checkSlice(range: RowRange, index: SettledIndex): MaintenanceResult {
  const { failing, next, ...seen } = sliceOf(index, range);
  const unchanged = { freed: new Float64Array(0), usage: [], keptForGates: [] };
  if (failing.length === 0) {
    const checked = { ...seen, mended: [], damaged: [] };
    return { ...unchanged, cursor: next, space: index.space(), checked };
  }
  const { next: cursor, ...checked } = index.transact((transaction) => checkRows(transaction, range));
  return { ...unchanged, cursor, space: index.space(), checked };
}

/** The task of working on the first reclaim that is not parked; undefined when there is none. */
export function reclaimTask(index: IndexReader): MaintenanceTask | undefined {
  const reclaim = nextReclaim(index);
  if (reclaim === undefined) return undefined;
  return { kind: "reclaim", containers: containersOf(reclaim.progress.from, reclaim.progress.to) };
}

/** The containers whose cells the task may change, if any. */
export function changedContainers(task: MaintenanceTask): ContainerRange | undefined {
  if (task.kind === "reclaim") return task.containers;
  if (task.kind === "purge") return containersOf(task.ranges[0]!.from, task.ranges.at(-1)!.to);
  return task.kind === "aggregate" ? { first: task.container, last: task.container } : undefined;
}

function runTask(
  { task, carried, views }: MaintenanceRequest,
  transaction: IndexTransaction,
  rewriter: CellRewriter,
): ByteString | undefined {
  if (task.kind === "reclaim") return reclaimSlice(transaction, rewriter, task.containers, carried);
  if (task.kind === "wake") {
    const waits = (range: ReclaimRange): boolean => waitsForGate(range, views.gates, rewriter.isGated);
    const more = wakeReclaims(transaction, task.parked, waits, SLICE_WAKES);
    return more ? uint32Key(task.parked.container ?? 0) : undefined;
  }
  if (task.kind === "purge") return purgeSlice(transaction, rewriter, task.ranges);
  assert(task.kind === "aggregate", "a check makes its transaction by itself");
  return aggregateSlice(transaction, rewriter, task.container, task.cursor);
}

interface FoundCell {
  readonly key: ByteString;
  readonly newest: SettledVersion;
}

/** Cells in [from, to) whose newest version `wanted` says yes to, and where to go on. */
function collect(
  index: IndexReader,
  from: ByteString,
  to: ByteString,
  wanted: (newest: SettledVersion) => boolean,
): { found: FoundCell[]; next: ByteString | undefined } {
  const found: FoundCell[] = [];
  const cursor = index.cursor("cells", from, to, false);
  let next: ByteString | undefined;
  for (let visits = 0; cursor.key !== undefined; cursor.next(), visits += 1) {
    if (found.length >= SLICE_CELLS || visits >= SLICE_VISITS) {
      next = cursor.key;
      break;
    }
    const newest = decodeSettledVersion(cursor.key, cursor.value);
    if (wanted(newest)) found.push({ key: cursor.key, newest });
  }
  cursor.close();
  return { found, next };
}

function reclaimSlice(
  transaction: IndexTransaction,
  rewriter: CellRewriter,
  containers: ContainerRange,
  carried: readonly CarriedCell[],
): ByteString | undefined {
  const reclaim = nextReclaim(transaction);
  if (reclaim === undefined) return undefined;
  const { from, cursor, to, epoch } = reclaim.progress;
  const reached = containersOf(from, to);
  // Readers were told which containers change: the cells of others are left alone.
  if (reached.first < containers.first || reached.last > containers.last) return reclaim.key;
  const { found, next } = collect(transaction, cursor, to, () => true);
  let { kept } = reclaim.progress;
  // It is parked then, and wakes when they are settled.
  if (carried.some((cell) => cell.key >= from && cell.key < to && cell.epoch <= epoch)) kept = true;
  if (rewriter.isGated(from)) {
    // With the reclaim goes what keeps its tombstone.
    if (rewriter.gate(reached.first) >= epoch) rewriter.useGate(reached.first);
    else kept = true;
  }
  for (const { key, newest } of found) {
    const versions = settledOrigins(transaction, key, newest);
    if (versions.at(-1)!.content.epoch > epoch) continue;
    if (rewriter.rewrite(key, versions, true, epoch) > 0) kept = true;
  }
  advanceReclaim(transaction, reclaim, next, kept);
  return reclaim.key;
}

function aggregateSlice(
  transaction: IndexTransaction,
  rewriter: CellRewriter,
  container: number,
  cursor: ByteString,
): ByteString | undefined {
  const from = cursor === "" ? uint32Key(container) : cursor;
  const to = container === 0xffff_ffff ? ("" as ByteString) : uint32Key(container + 1);
  const { found, next } = collect(
    transaction,
    from,
    to,
    (newest) => newest.hasOlder || newest.kind === VersionKind.tombstone,
  );
  for (const { key, newest } of found) {
    rewriter.rewrite(key, settledOrigins(transaction, key, newest), true, 0 as Epoch);
  }
  return next;
}

/** Returns the first key that is not looked at; undefined when all is done. */
function purgeSlice(
  transaction: IndexTransaction,
  rewriter: CellRewriter,
  ranges: readonly KeyRange[],
): ByteString | undefined {
  // They would hide older versions that are written there afterwards.
  dropReclaims(transaction, ranges);
  let count = 0;
  for (const { from, to } of ranges) {
    if (count >= SLICE_CELLS) return from;
    const { found, next } = collect(transaction, from, to, () => true);
    for (const { key, newest } of found) rewriter.purge(key, settledOrigins(transaction, key, newest));
    if (next !== undefined) return next;
    count += found.length;
  }
  return undefined;
}
