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

/**
 * States by what a reader finds now (`current`), and by where data is once everything under way is done (`next`). Who
 * stands in for what is drained is chosen from the beginning: whoever fails meanwhile gets another one.
 */
const GONE: Readonly<Record<"current" | "next", readonly TargetState[]>> = {
  current: ["DOWN", "DOWNOUT", "UP", "DRAIN"],
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
    if (gone) closedAt[position] = since;
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

/** While a pool had so many targets: the rows of an object's groups, and who may stand in. */
export interface Era {
  /** Map versions: from when on it had them, and from when on more. */
  readonly from: number;
  readonly until: number;
  /** Those that may stand in: the first so many. */
  readonly targetCount: number;
  /** Positions of a group, by its index of now, and the hash of object and group; undefined when it was none yet. */
  row(group: number): { readonly homes: readonly number[]; readonly key: number } | undefined;
}

export interface GroupMembers {
  /** By place. */
  readonly positions: readonly number[];
  /** Places whose target of before is DOWN. */
  readonly rebuilding: ReadonlySet<number>;
  /** By place the target that serves while it is drained; of `rebuilding` that is meant then. */
  readonly drained: ReadonlyMap<number, number>;
}

/**
 * A group once what failed is replaced by spares, as it went through the eras: so that who stands in for a target stays
 * the same when others are added.
 */
export function membersOf(tree: FaultDomainTree, view: TargetView, eras: readonly Era[], group: number): GroupMembers {
  const rebuilding = new Set<number>();
  const drained = new Map<number, number>();
  let members: number[] = [];
  let homes: readonly number[] = [];
  for (const era of eras) {
    const row = era.row(group);
    if (row === undefined) continue;
    members = row.homes.map((home, place) => {
      if (home === homes[place]) return members[place]!;
      rebuilding.delete(place);
      drained.delete(place);
      return home;
    });
    homes = row.homes;
    for (
      let place = firstFailed(view, members, era.until);
      place !== -1;
      place = firstFailed(view, members, era.until)
    ) {
      const failed = members[place]!;
      const beside = view.beside[failed];
      members[place] =
        beside === undefined
          ? spareFor(tree, view, era, members, place, row.key)
          : formerSpare(tree, formerView(tree, view, failed, beside), eras, group, place, view.failedAt[failed]!);
      if (drained.has(place)) continue;
      if (tree.states[failed] === "DRAIN") drained.set(place, failed);
      if (tree.states[failed] === "DOWN") rebuilding.add(place);
    }
  }
  return { positions: members, rebuilding, drained };
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

/** Who stood in at this place after the last failure that the view knows, at `moment`. */
function formerSpare(
  tree: FaultDomainTree,
  view: TargetView,
  eras: readonly Era[],
  group: number,
  place: number,
  moment: number,
): number {
  const until = eras.filter(({ from }) => from <= moment);
  return membersOf(tree, view, until, group).positions[place]!;
}

/** The place whose target failed first (of equals the first target), before a map version, or -1. */
function firstFailed(view: TargetView, group: readonly number[], until: number): number {
  let first = -1;
  for (const [place, position] of group.entries()) {
    if (position === NO_POSITION || view.failedAt[position] === Number.POSITIVE_INFINITY) continue;
    if (view.failedAt[position]! >= until) continue;
    if (first === -1) first = place;
    const difference = view.failedAt[position]! - view.failedAt[group[first]!]!;
    if (difference < 0 || (difference === 0 && position < group[first]!)) first = place;
  }
  return first;
}

function spareFor(
  tree: FaultDomainTree,
  view: TargetView,
  { targetCount }: Era,
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
    const candidate = jumpHashOf32(crc32(step, key), targetCount);
    if (view.closedAt[candidate]! <= moment) continue;
    if (tree.sharedLevels(candidate, others, 0, others.length, place) === 0) return candidate;
  }
  return leastShared(tree, view, targetCount, others, moment, crc32(step.subarray(0, 4), key));
}

/** One of the targets that share the fewest domains with the others, by hash; NO_POSITION when there is none. */
function leastShared(
  tree: FaultDomainTree,
  view: TargetView,
  targetCount: number,
  others: number[],
  moment: number,
  key: number,
): number {
  let fewest = Number.POSITIVE_INFINITY;
  let candidates: number[] = [];
  for (let position = 0; position < targetCount; position += 1) {
    if (view.closedAt[position]! <= moment) continue;
    const shared = tree.sharedLevels(position, others, 0, others.length, -1);
    if (shared === Number.POSITIVE_INFINITY || shared > fewest) continue;
    if (shared < fewest) candidates = [];
    fewest = shared;
    candidates.push(position);
  }
  return candidates.length === 0 ? NO_POSITION : candidates[jumpHashOf32(key, candidates.length)]!;
}
