/**
 * Which versions of a cell must be kept: a pure rule, used by settling, reclaiming and aggregation alike.
 *
 * A viewer at an epoch sees the versions of the cell from the newest at or before it down to the first complete one.
 * Viewers are "now" and the container's snapshots; what no viewer sees is dropped. A tombstone with nothing kept beneath
 * hides nothing and is dropped too, unless a reclaim of its epoch is still under way: then it belongs to a punch that
 * hides other cells.
 */
import type { Epoch } from "../base/epoch.ts";
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
  /** A tombstone of this epoch must stay. */
  holdsTombstone(epoch: Epoch): boolean;
}

/** For each version, newest first and epochs descending, whether it must be kept. */
export function versionsToKeep(versions: readonly MergeVersion[], rule: MergeRule): boolean[] {
  const keep = versions.map((version) => version.epoch > rule.punchedTo && rule.punchedTo > 0);
  if (rule.punchedTo === 0) markSeen(versions, 0, keep);
  for (let index = rule.snapshots.length - 1; index >= 0; index -= 1) {
    const snapshot = rule.snapshots[index]!;
    if (rule.punchedTo > 0 && snapshot >= rule.punchedTo) continue;
    const first = versions.findIndex((version) => version.epoch <= snapshot);
    if (first < 0) break;
    markSeen(versions, first, keep);
  }
  dropIdleTombstones(versions, keep, rule);
  return keep;
}

function markSeen(versions: readonly MergeVersion[], from: number, keep: boolean[]): void {
  for (let index = from; index < versions.length; index += 1) {
    keep[index] = true;
    if (versions[index]!.kind !== VersionKind.part) return;
  }
}

function dropIdleTombstones(versions: readonly MergeVersion[], keep: boolean[], rule: MergeRule): void {
  for (let index = versions.length - 1; index >= 0; index -= 1) {
    if (keep[index] !== true) continue;
    const version = versions[index]!;
    if (version.kind !== VersionKind.tombstone || rule.holdsTombstone(version.epoch)) return;
    keep[index] = false;
  }
}
