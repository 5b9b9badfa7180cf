/**
 * Spares: who stands in for targets of a group that are gone, in the order in which they went. A target that failed later
 * may stand in until it fails itself, so that a failure moves the shards of the failed target and no others, and its
 * return brings back just these.
 */
import { crc32 } from "../base/checksum.ts";
import type { ObjectClass } from "../base/object-class.ts";
import type { Outage, TargetState } from "../format/pool-map.ts";
import type { FaultDomainTree } from "./fault-domain.ts";
import { withOutages } from "./outages.ts";
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
  /** What was gone when it failed and is back; see MapTarget. */
  readonly beside: readonly (readonly Outage[] | undefined)[];
}

/** States by what a reader finds now (`current`), and by where data is once everything under way is done (`next`). */
const GONE: Readonly<Record<"current" | "next", readonly TargetState[]>> = {
  current: ["DOWN", "DOWNOUT", "UP"],
  next: ["DOWN", "DOWNOUT", "DRAIN"],
};

/**
 * Of objects with copies another spare may take over when a target comes back: it has the same. What is erasure-coded, where
 * each has another part, is placed as if those that are back were not, as far as they had been gone when others failed. For
 * objects without redundancy nothing can fill the spare of a target that is gone, unless it was drained.
 */
export function targetView(
  tree: FaultDomainTree,
  moment: "current" | "next",
  kind: ObjectClass["redundancy"]["kind"],
): TargetView {
  const replaces = kind !== "none";
  const failedAt = new Float64Array(tree.targetCount).fill(Number.POSITIVE_INFINITY);
  const closedAt = new Float64Array(tree.targetCount).fill(Number.POSITIVE_INFINITY);
  for (const [position, state] of tree.states.entries()) {
    const since = tree.since[position]!;
    const gone = GONE[moment].includes(state);
    if (gone && (replaces || state === "DRAIN" || tree.isDrained[position]!)) failedAt[position] = since;
    if (gone || state === "DRAIN") closedAt[position] = since;
    if (state === "NEW" && moment === "current") closedAt[position] = Number.NEGATIVE_INFINITY;
  }
  return { failedAt, closedAt, beside: kind === "erasure" ? besideAt(tree, moment) : [] };
}

/** What targets that are gone remember, once those that are UP are back. */
function besideAt(tree: FaultDomainTree, moment: "current" | "next"): TargetView["beside"] {
  if (moment === "current") return tree.beside;
  const before = tree.indices.map((index, position) => {
    return { index, state: tree.states[position]!, since: tree.since[position]!, beside: tree.beside[position] };
  });
  const after = before.map((target) => (target.state === "UP" ? { ...target, state: "UPIN" as const } : target));
  return withOutages(before, after).map(({ beside }) => beside);
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
  const homes = [...group];
  for (;;) {
    const place = firstFailed(view, group);
    if (place === -1) return;
    const failed = group[place]!;
    const beside = view.beside[failed];
    group[place] =
      beside === undefined
        ? spareFor(tree, view, group, place, key)
        : formerSpare(tree, formerView(tree, view, failed, beside), homes, place, key);
    replaced(place, failed);
  }
}

/** What targets were taken for when this one failed. */
function formerView(
  tree: FaultDomainTree,
  { failedAt, closedAt, beside }: TargetView,
  failed: number,
  outages: readonly Outage[],
): TargetView {
  const moment = failedAt[failed]!;
  const former = {
    failedAt: failedAt.map((since) => (since <= moment ? since : Number.POSITIVE_INFINITY)),
    closedAt: new Float64Array(closedAt),
    beside: [...beside],
  };
  former.beside[failed] = undefined;
  for (const outage of outages) {
    const position = tree.indices.indexOf(outage.index);
    former.failedAt[position] = outage.since;
    former.closedAt[position] = outage.since;
    former.beside[position] = outage.beside;
  }
  return former;
}

/** Who stood in at this place after the last failure that the view knows. */
function formerSpare(
  tree: FaultDomainTree,
  view: TargetView,
  homes: readonly number[],
  place: number,
  key: number,
): number {
  const group = [...homes];
  replaceFailed(tree, view, group, key, () => {});
  return group[place]!;
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
  // Those that came later take nothing over: whoever stood in before them still has it.
  const count = tree.countBefore(moment);
  const step = Buffer.alloc(8);
  step.writeUInt32LE(place, 0);
  for (let attempt = 0; attempt < SPARE_ATTEMPTS; attempt += 1) {
    step.writeUInt32LE(attempt, 4);
    const candidate = jumpHashOf32(crc32(step, key), count);
    if (view.closedAt[candidate]! <= moment) continue;
    if (tree.sharedLevels(candidate, others, 0, others.length, place) === 0) return candidate;
  }
  return leastShared(tree, view, others, moment, crc32(step.subarray(0, 4), key));
}

/** One of the targets that share the fewest domains with the others, by hash; NO_POSITION when there is none. */
function leastShared(tree: FaultDomainTree, view: TargetView, others: number[], moment: number, key: number): number {
  let fewest = Number.POSITIVE_INFINITY;
  let candidates: number[] = [];
  for (let position = 0; position < tree.countBefore(moment); position += 1) {
    if (view.closedAt[position]! <= moment) continue;
    const shared = tree.sharedLevels(position, others, 0, others.length, -1);
    if (shared === Number.POSITIVE_INFINITY || shared > fewest) continue;
    if (shared < fewest) candidates = [];
    fewest = shared;
    candidates.push(position);
  }
  return candidates.length === 0 ? NO_POSITION : candidates[jumpHashOf32(key, candidates.length)]!;
}
