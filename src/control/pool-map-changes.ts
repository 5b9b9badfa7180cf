/**
 * Changes of a pool map as pure functions from a record and a selection of targets to the next version, or to the error
 * that says why not. A selection that is already as wanted changes nothing: the same record comes back.
 */
import { DaosError } from "../base/errors.ts";
import type { MapRecord } from "../format/meta-record.ts";
import type { TargetState } from "../format/pool-map.ts";
import { withOutages } from "../placement/outages.ts";

type MapTargetRecord = MapRecord["targets"][number];

/** All targets of these ranks, and these targets. */
export interface TargetSelection {
  readonly ranks?: readonly number[];
  readonly targets?: readonly number[];
}

/** The map of a new pool: version 1, all targets serve. `engines` ascending by rank. */
export function newMap(
  engines: readonly { readonly rank: number; readonly domain: string; readonly targets: number }[],
): MapRecord {
  const targets: MapTargetRecord[] = [];
  for (const { rank, domain, targets: count } of engines) {
    for (let target = 0; target < count; target += 1) {
      targets.push({ index: targets.length, rank, target, domain, state: "UPIN", since: 1 });
    }
  }
  return { version: 1, targets };
}

/** Holds data that is served, or will be once it is caught up. */
export function isServing(state: TargetState): boolean {
  return state === "UPIN" || state === "UP" || state === "DRAIN";
}

export function ranksOf(map: MapRecord): number[] {
  return [...new Set(map.targets.map(({ rank }) => rank))].toSorted((left, right) => left - right);
}

export function servingRanksOf(map: MapRecord): number[] {
  return ranksOf({ ...map, targets: map.targets.filter(({ state }) => isServing(state)) });
}

/**
 * UPIN -> DOWN; UP -> DOWNOUT, for others still have all that it is being filled with. Throws NOT_FOUND, INVALID_ARGUMENT
 * (the last serving target), BUSY (being drained or added).
 */
export function excludeTargets(pool: string, map: MapRecord, selection: TargetSelection): MapRecord {
  const chosen = selected("exclude targets from", pool, map, selection);
  const changed = changeStates("exclude", pool, map, chosen, (state) => {
    if (state === "DOWN" || state === "DOWNOUT") return state;
    if (state === "UP") return "DOWNOUT";
    return state === "UPIN" ? "DOWN" : undefined;
  });
  if (changed.targets.some(({ state }) => state === "UPIN" || state === "DRAIN")) return changed;
  const state = "no target would be left that serves its data";
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot exclude targets from pool "${pool}": ${state}. Reintegrate others first, or destroy the pool.`,
  );
}

/**
 * DOWNOUT -> UP, and DOWN -> UP where nothing is filled: else spares would be read that do not have all yet. Throws NOT_FOUND,
 * BUSY (being drained, or DOWN and being rebuilt elsewhere).
 */
export function reintegrateTargets(
  pool: string,
  map: MapRecord,
  selection: TargetSelection,
  isFilled = false,
): MapRecord {
  const chosen = selected("reintegrate targets of", pool, map, selection);
  return changeStates("reintegrate", pool, map, chosen, (state) => {
    if (state === "DOWNOUT" || (state === "DOWN" && !isFilled)) return "UP";
    return state === "UPIN" || state === "UP" ? state : undefined;
  });
}

/** Something is to be filled, or somebody is. */
export function isUnderWay({ targets }: MapRecord): boolean {
  return targets.some(({ state }) => state === "DOWN" || state === "UP");
}

/** Everything under way is done, all at once: DOWN -> DOWNOUT, UP -> UPIN. */
export function completeAll(pool: string, map: MapRecord): MapRecord {
  const all = new Set(map.targets.map(({ index }) => index));
  return changeStates("complete", pool, map, all, (state) =>
    state === "DOWN" ? "DOWNOUT" : state === "UP" ? "UPIN" : state,
  );
}

/** UP -> UPIN, once the data is caught up; targets in another state meanwhile stay in it. */
export function completeTargets(pool: string, map: MapRecord, selection: TargetSelection): MapRecord {
  const chosen = selected("complete the reintegration of targets of", pool, map, selection);
  return changeStates("complete", pool, map, chosen, (state) => (state === "UP" ? "UPIN" : state));
}

function selected(action: string, pool: string, map: MapRecord, selection: TargetSelection): Set<number> {
  const { ranks = [], targets = [] } = selection;
  if (ranks.length === 0 && targets.length === 0) {
    throw new DaosError("INVALID_ARGUMENT", `Cannot ${action} pool "${pool}": none is named. Name ranks or targets.`);
  }
  const known = new Set(ranksOf(map));
  for (const rank of ranks) {
    if (known.has(rank)) continue;
    const state = `it has no target of rank ${rank}; its ranks are ${[...known].join(", ")}`;
    throw new DaosError("NOT_FOUND", `Cannot ${action} pool "${pool}": ${state}. See \`daos pool query-targets\`.`);
  }
  const indices = new Set(map.targets.map(({ index }) => index));
  for (const target of targets) {
    if (indices.has(target)) continue;
    const state = `it has no target ${target}; it has ${indices.size}`;
    throw new DaosError("NOT_FOUND", `Cannot ${action} pool "${pool}": ${state}. See \`daos pool query-targets\`.`);
  }
  const chosen = map.targets.filter(({ index, rank }) => ranks.includes(rank) || targets.includes(index));
  return new Set(chosen.map(({ index }) => index));
}

function changeStates(
  action: string,
  pool: string,
  map: MapRecord,
  chosen: ReadonlySet<number>,
  next: (state: TargetState) => TargetState | undefined,
): MapRecord {
  const version = map.version + 1;
  let hasChanged = false;
  const targets = map.targets.map((target) => {
    if (!chosen.has(target.index)) return target;
    const state = next(target.state);
    if (state === undefined) {
      const now = `it is ${target.state}: another operation on it is under way`;
      throw new DaosError(
        "BUSY",
        `Cannot ${action} target ${target.index} of pool "${pool}": ${now}. Wait for its end.`,
      );
    }
    if (state === target.state) return target;
    hasChanged = true;
    // The order of failures decides who stands in: it stays until a target is there again.
    return { ...target, state, since: state === "DOWN" || state === "UPIN" ? version : target.since };
  });
  return hasChanged ? { version, targets: withOutages(map.targets, targets) } : map;
}
