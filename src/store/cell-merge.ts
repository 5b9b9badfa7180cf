/**
 * Which versions of a cell must be kept: a pure rule, used by settling, reclaiming and aggregation alike.
 *
 * A viewer at an epoch sees the versions of the cell from the newest at or before it down to the first complete one.
 * Viewers are "now" and the container's snapshots, of a gated cell also the gate and every epoch above it; what no viewer
 * sees is dropped. A tombstone with nothing kept beneath hides nothing and is dropped too, unless a reclaim of its epoch
 * is still under way: then it belongs to a punch that hides other cells. Above the gate tombstones stay.
 *
 * What hides the versions of a reclaim may be a write to another cell, which can go by itself: a later punch of that one finds
 * nothing to do in a cell that ends in a tombstone. So of those versions the newest stays when it is a tombstone and something
 * beneath it does.
 */
import { EPOCH_MAX, type Epoch } from "../base/epoch.ts";
import { VersionKind } from "./cell.ts";

export interface MergeVersion {
  readonly epoch: Epoch;
  readonly kind: VersionKind;
}

export interface MergeRule {
  /** Ascending. */
  readonly snapshots: readonly Epoch[];
  /**
   * Versions at or before it are hidden by a punch: neither "now" nor later snapshots see them. Zero: none.
   */
  readonly punchedTo: Epoch;
  /** Of a gated cell: the epoch from which on every view counts. EPOCH_MAX: as if there were no gate. */
  readonly gate: Epoch;
  /** A tombstone of this epoch must stay. */
  holdsTombstone(epoch: Epoch): boolean;
}

/** For each version, newest first and epochs descending, whether it must be kept. */
export function versionsToKeep(versions: readonly MergeVersion[], rule: MergeRule): boolean[] {
  const { punchedTo, gate } = rule;
  const keep = versions.map((version) => version.epoch > punchedTo && punchedTo > 0);
  if (punchedTo === 0) markSeen(versions, 0, keep);
  if (gate < EPOCH_MAX) markGated(versions, rule, keep);
  for (let index = rule.snapshots.length - 1; index >= 0; index -= 1) {
    const snapshot = rule.snapshots[index]!;
    if (punchedTo > 0 && snapshot >= punchedTo) continue;
    const first = versions.findIndex((version) => version.epoch <= snapshot);
    if (first < 0) break;
    markSeen(versions, first, keep);
  }
  if (punchedTo > 0) keepHole(versions, punchedTo, keep);
  dropIdleTombstones(versions, keep, rule);
  return keep;
}

function keepHole(versions: readonly MergeVersion[], punchedTo: Epoch, keep: boolean[]): void {
  const newest = versions.findIndex(({ epoch }) => epoch <= punchedTo);
  if (newest >= 0 && versions[newest]!.kind === VersionKind.tombstone) keep[newest] = keep.includes(true, newest);
}

function markSeen(versions: readonly MergeVersion[], from: number, keep: boolean[]): void {
  for (let index = from; index < versions.length; index += 1) {
    keep[index] = true;
    if (versions[index]!.kind !== VersionKind.part) return;
  }
}

/** What viewers at the gate and above it see. A punch hides what is of its epoch from all that see the punch. */
function markGated(versions: readonly MergeVersion[], { gate, punchedTo }: MergeRule, keep: boolean[]): void {
  if (punchedTo > 0 && gate >= punchedTo) return;
  const first = versions.findIndex(({ epoch }) => epoch <= gate);
  const count = first < 0 ? versions.length : first;
  for (let index = 0; index < count; index += 1) if (versions[index]!.epoch !== punchedTo) keep[index] = true;
  if (first >= 0) markSeen(versions, first, keep);
}

function dropIdleTombstones(versions: readonly MergeVersion[], keep: boolean[], rule: MergeRule): void {
  for (let index = versions.length - 1; index >= 0; index -= 1) {
    if (keep[index] !== true) continue;
    const version = versions[index]!;
    if (version.kind !== VersionKind.tombstone || version.epoch > rule.gate) return;
    if (rule.holdsTombstone(version.epoch)) return;
    keep[index] = false;
  }
}
