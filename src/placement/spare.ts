/**
 * Spares: who stands in for targets of a group that are gone, in the order in which they went. A target that failed later
 * may stand in until it fails itself, so that a failure moves the shards of the failed target and no others, and its
 * return brings back just these.
 */
import { crc32 } from "../base/checksum.ts";
import type { TargetState } from "../format/pool-map.ts";
import type { FaultDomainTree } from "./fault-domain.ts";
import { jumpHashOf32 } from "./jump-hash.ts";

/** Hashes tried for a spare before all targets are compared. */
const SPARE_ATTEMPTS = 32;
/** Place of a group that no target can fill. */
export const NO_POSITION = -1;

/** What a layout takes targets for: there or gone, since when, and who may take over. By position. */
export interface TargetView {
  /** Map version in which it failed, or Infinity for a target that is there. */
  readonly failedAt: Float64Array;
  /** Map version from which on it takes no new shards, at most failedAt; Infinity: it takes them. */
  readonly closedAt: Float64Array;
}

/** States by what a reader finds now (`current`), and by where data is once everything under way is done (`next`). */
const GONE: Readonly<Record<"current" | "next", readonly TargetState[]>> = {
  current: ["DOWN", "DOWNOUT", "UP"],
  next: ["DOWN", "DOWNOUT", "DRAIN"],
};

/** `replaces`: false for objects without redundancy, for nothing can fill the spare of a target that is gone. */
export function targetView(tree: FaultDomainTree, moment: "current" | "next", replaces: boolean): TargetView {
  const failedAt = new Float64Array(tree.targetCount).fill(Number.POSITIVE_INFINITY);
  const closedAt = new Float64Array(tree.targetCount).fill(Number.POSITIVE_INFINITY);
  for (const [position, state] of tree.states.entries()) {
    const since = tree.since[position]!;
    const gone = GONE[moment].includes(state);
    if (gone && (replaces || state === "DRAIN")) failedAt[position] = since;
    if (gone || state === "DRAIN") closedAt[position] = since;
    if (state === "NEW" && moment === "current") closedAt[position] = Number.NEGATIVE_INFINITY;
  }
  return { failedAt, closedAt };
}

/**
 * Replaces what failed in `group` (positions) by spares, in place. `key`: hash of object and group. `replaced` hears of
 * each target that was replaced, with its place.
 */
export function replaceFailed(
  tree: FaultDomainTree,
  view: TargetView,
  group: number[],
  key: number,
  replaced: (place: number, position: number) => void,
): void {
  for (;;) {
    const place = firstFailed(view, group);
    if (place === -1) return;
    const failed = group[place]!;
    group[place] = spareFor(tree, view, group, place, key);
    replaced(place, failed);
  }
}

/** The place whose target failed first (of equals the first target), or -1. */
function firstFailed(view: TargetView, group: readonly number[]): number {
  let first = -1;
  for (const [place, position] of group.entries()) {
    if (position === NO_POSITION || view.failedAt[position] === Number.POSITIVE_INFINITY) continue;
    if (first === -1) first = place;
    const difference = view.failedAt[position]! - view.failedAt[group[first]!]!;
    if (difference < 0 || (difference === 0 && position < group[first]!)) first = place;
  }
  return first;
}

function spareFor(
  tree: FaultDomainTree,
  view: TargetView,
  group: readonly number[],
  place: number,
  key: number,
): number {
  const moment = view.failedAt[group[place]!]!;
  // Those that are gone by then do not hold a domain.
  const others = group.map((position, index) =>
    index !== place && position !== NO_POSITION && view.failedAt[position]! > moment ? position : NO_POSITION,
  );
  const step = Buffer.alloc(8);
  step.writeUInt32LE(place, 0);
  for (let attempt = 0; attempt < SPARE_ATTEMPTS; attempt += 1) {
    step.writeUInt32LE(attempt, 4);
    const candidate = jumpHashOf32(crc32(step, key), tree.targetCount);
    if (view.closedAt[candidate]! <= moment) continue;
    if (tree.sharedLevels(candidate, others, 0, others.length, place) === 0) return candidate;
  }
  return leastShared(tree, view, others, moment, crc32(step.subarray(0, 4), key));
}

/** One of the targets that share the fewest domains with the others, by hash; NO_POSITION when there is none. */
function leastShared(tree: FaultDomainTree, view: TargetView, others: number[], moment: number, key: number): number {
  let fewest = Number.POSITIVE_INFINITY;
  let candidates: number[] = [];
  for (let position = 0; position < tree.targetCount; position += 1) {
    if (view.closedAt[position]! <= moment) continue;
    const shared = tree.sharedLevels(position, others, 0, others.length, -1);
    if (shared === Number.POSITIVE_INFINITY || shared > fewest) continue;
    if (shared < fewest) candidates = [];
    fewest = shared;
    candidates.push(position);
  }
  return candidates.length === 0 ? NO_POSITION : candidates[jumpHashOf32(key, candidates.length)]!;
}
