/**
 * Changes of a pool map as pure functions from a record and a selection of targets to the next version, or to the error
 * that says why not. A selection that is already as wanted changes nothing: the same record comes back.
 */
import { DaosError } from "../base/errors.ts";
import type { MapRecord } from "../format/meta-record.ts";
import type { TargetState } from "../format/pool-map.ts";
import { MAX_POOL_TARGETS } from "../base/limits.ts";
import { withOutages } from "../placement/outages.ts";

type MapTargetRecord = MapRecord["targets"][number];

/** All targets of these ranks, and these targets. */
export interface TargetSelection {
  readonly ranks?: readonly number[];
  readonly targets?: readonly number[];
}

/** An engine whose targets a pool takes. */
export interface MapEngine {
  readonly rank: number;
  readonly domain: string;
  /** How many it has. */
  readonly targets: number;
}

/** The map of a new pool: version 1, all targets serve. `engines` ascending by rank. */
export function newMap(engines: readonly MapEngine[]): MapRecord {
  return { version: 1, targets: appended([], engines, "UPIN", 1) };
}

/**
 * All targets of these engines added, NEW: they serve once they are filled. Those that are there already are left alone.
 * Throws ALREADY_EXISTS (the pool has targets of the rank that are out of service), TOO_LARGE.
 */
export function extendMap(pool: string, map: MapRecord, engines: readonly MapEngine[]): MapRecord {
  for (const { rank, state } of map.targets) {
    if (state === "UPIN" || state === "NEW" || !engines.some((engine) => engine.rank === rank)) continue;
    const now = `it has targets of rank ${rank}, which are ${state}. Reintegrate them instead`;
    throw new DaosError("ALREADY_EXISTS", `Cannot extend pool "${pool}": ${now}.`);
  }
  const known = new Set(ranksOf(map));
  const version = map.version + 1;
  const targets = appended(
    map.targets,
    engines.filter(({ rank }) => !known.has(rank)),
    "NEW",
    version,
  );
  if (targets.length <= MAX_POOL_TARGETS) return targets.length === map.targets.length ? map : { version, targets };
  const state = `it would have ${targets.length} targets, a pool may have ${MAX_POOL_TARGETS}`;
  throw new DaosError("TOO_LARGE", `Cannot extend pool "${pool}": ${state}. Name fewer ranks.`);
}

function appended(
  present: readonly MapTargetRecord[],
  engines: readonly MapEngine[],
  state: TargetState,
  since: number,
): MapTargetRecord[] {
  const targets = [...present];
  for (const { rank, domain, targets: count } of engines) {
    for (let target = 0; target < count; target += 1) {
      const index = (targets.at(-1)?.index ?? -1) + 1;
      targets.push({ index, rank, target, domain, state, since });
    }
  }
  return targets;
}

/** Takes part in the pool: what it has is served, or will be once it is filled. */
export function takesPart(state: TargetState): boolean {
  return state !== "DOWN" && state !== "DOWNOUT";
}

/** The pool's space is on it, for good as far as one knows. */
export function isKeeping(state: TargetState): boolean {
  return state === "UPIN" || state === "UP";
}

export function ranksOf(map: MapRecord): number[] {
  return [...new Set(map.targets.map(({ rank }) => rank))].toSorted((left, right) => left - right);
}

/** Ranks with a target that is gone and not made up for yet. */
export function downRanksOf(map: MapRecord): number[] {
  return ranksOf({ ...map, targets: map.targets.filter(({ state }) => state === "DOWN") });
}

/** Ranks with a target that takes part. */
export function partakingRanksOf(map: MapRecord): number[] {
  return ranksOf({ ...map, targets: map.targets.filter(({ state }) => takesPart(state)) });
}

/**
 * UPIN and DRAIN -> DOWN; UP -> DOWNOUT, for others still have all that it is being filled with; NEW ones are no part of
 * the pool any more. `isSilent`: because nobody hears of them; what serves, or came back, is marked so. Those that somebody
 * excludes lose that mark. Throws NOT_FOUND, INVALID_ARGUMENT (the last serving target).
 */
export function excludeTargets(pool: string, map: MapRecord, selection: TargetSelection, isSilent = false): MapRecord {
  const chosen = selected("exclude targets from", pool, map, selection);
  const excluded = changeStates("exclude", pool, map, chosen, ({ state }) => {
    if (state === "UPIN" || state === "DRAIN") return "DOWN";
    if (state === "UP") return "DOWNOUT";
    return state === "NEW" ? "gone" : state;
  });
  const wasServing = new Set(map.targets.filter(({ state }) => isKeeping(state)).map(({ index }) => index));
  const changed = marked(excluded, (target) => {
    if (!chosen.has(target.index)) return target.silent === true;
    return isSilent && (target.silent === true || wasServing.has(target.index));
  });
  if (changed.targets.some(({ state }) => state === "UPIN" || state === "DRAIN")) return changed;
  const state = "no target would be left that serves its data";
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot exclude targets from pool "${pool}": ${state}. Reintegrate others first, or destroy the pool.`,
  );
}

/**
 * UPIN -> DRAIN. Throws NOT_FOUND, INVALID_ARGUMENT (no target would be left to move to), BUSY (it does not serve, or
 * others are being added: these could not take anything over).
 */
export function drainTargets(pool: string, map: MapRecord, selection: TargetSelection): MapRecord {
  const chosen = selected("drain targets of", pool, map, selection);
  if (map.targets.some(({ state }) => state === "NEW")) {
    const state = "others are being added to it, and take nothing over before they serve";
    throw new DaosError("BUSY", `Cannot drain targets of pool "${pool}": ${state}. Wait until they are UPIN.`);
  }
  const changed = changeStates("drain", pool, map, chosen, ({ state, drained }) => {
    if (state === "DRAIN" || (state === "DOWNOUT" && drained !== undefined)) return state;
    return state === "UPIN" ? "DRAIN" : undefined;
  });
  if (changed.targets.some(({ state }) => state === "UPIN")) return changed;
  const state = "no target would be left that its data could move to";
  throw new DaosError("INVALID_ARGUMENT", `Cannot drain targets of pool "${pool}": ${state}. Extend the pool first.`);
}

/**
 * DOWNOUT -> UP, and DOWN -> UP where nothing is filled: else spares would be read that do not have all yet. Throws NOT_FOUND,
 * BUSY (being added or drained, or DOWN and being rebuilt elsewhere).
 */
export function reintegrateTargets(
  pool: string,
  map: MapRecord,
  selection: TargetSelection,
  isFilled = false,
): MapRecord {
  const chosen = selected("reintegrate targets of", pool, map, selection);
  return changeStates("reintegrate", pool, map, chosen, ({ state }) => {
    if (state === "DOWNOUT" || (state === "DOWN" && !isFilled)) return "UP";
    return state === "UPIN" || state === "UP" ? state : undefined;
  });
}

/** Something is to be filled, or somebody is. */
export function isUnderWay({ targets }: MapRecord): boolean {
  return targets.some(({ state }) => state === "DOWN" || isMoving(state));
}

/** Data moves to it or away from it, though nothing is lost. */
export function isMoving(state: TargetState): boolean {
  return state === "UP" || state === "NEW" || state === "DRAIN";
}

/** Everything under way is done, all at once: DOWN and DRAIN -> DOWNOUT, UP and NEW -> UPIN. */
export function completeAll(pool: string, map: MapRecord): MapRecord {
  const all = new Set(map.targets.map(({ index }) => index));
  return changeStates("complete", pool, map, all, ({ state }) => {
    if (state === "DOWN" || state === "DRAIN") return "DOWNOUT";
    return state === "UP" || state === "NEW" ? "UPIN" : state;
  });
}

/** Failures are made up for by others: DOWN -> DOWNOUT. What moves goes on. */
export function completeRebuilds(pool: string, map: MapRecord): MapRecord {
  const all = new Set(map.targets.map(({ index }) => index));
  return changeStates("complete", pool, map, all, ({ state }) => (state === "DOWN" ? "DOWNOUT" : state));
}

/** UP -> UPIN, once the data is caught up; targets in another state meanwhile stay in it. */
export function completeTargets(pool: string, map: MapRecord, selection: TargetSelection): MapRecord {
  const chosen = selected("complete the reintegration of targets of", pool, map, selection);
  return changeStates("complete", pool, map, chosen, ({ state }) => (state === "UP" ? "UPIN" : state));
}

/** With the mark `silent` where it belongs; the same record when it is so already. */
function marked(map: MapRecord, isSilent: (target: MapTargetRecord) => boolean): MapRecord {
  if (map.targets.every((target) => (target.silent === true) === isSilent(target))) return map;
  const targets = map.targets.map((target): MapTargetRecord => {
    const { silent: _silent, ...rest } = target;
    return isSilent(target) ? { ...rest, silent: true } : rest;
  });
  return { ...map, targets };
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

/** `next` says the state after; `gone`: the target is no part of the pool any more; undefined: BUSY. */
function changeStates(
  action: string,
  pool: string,
  map: MapRecord,
  chosen: ReadonlySet<number>,
  next: (target: MapTargetRecord) => TargetState | "gone" | undefined,
): MapRecord {
  const version = map.version + 1;
  const taken = new Set<number>();
  let hasChanged = false;
  const targets = map.targets.flatMap((target): MapTargetRecord[] => {
    if (!chosen.has(target.index)) return [target];
    const state = next(target);
    if (state === undefined) {
      const now = `it is ${target.state}: another operation on it is under way, or it is out of service`;
      const advice = "Wait for its end; see `daos pool query-targets`";
      throw new DaosError("BUSY", `Cannot ${action} target ${target.index} of pool "${pool}": ${now}. ${advice}.`);
    }
    if (state === target.state) return [target];
    hasChanged = true;
    if (state === "gone") return [];
    if (serves(target.state) && !serves(state)) taken.add(target.rank);
    return [changed(target, state, version)];
  });
  if (!hasChanged) return map;
  const record = { version, targets: withOutages(map.targets, targets) };
  return taken.size === 0 ? record : { ...record, taken: [...taken].toSorted((left, right) => left - right) };
}

function changed(target: MapTargetRecord, state: TargetState, version: number): MapTargetRecord {
  const { drained, silent, ...rest } = target;
  if (state === "UPIN") {
    return { ...rest, state, since: version, ...(target.state === "NEW" && { added: version }) };
  }
  // The order in which targets went decides who stands in: it stays until a target is there again.
  const hasLeft = target.state === "UPIN";
  const moved = target.state === "DRAIN" && state === "DOWNOUT" ? version : drained;
  const since = hasLeft ? version : target.since;
  return {
    ...rest,
    state,
    since,
    ...(moved !== undefined && { drained: moved }),
    ...(silent === true && state !== "UP" && { silent }),
  };
}

/** What it has is read. */
function serves(state: TargetState): boolean {
  return state === "UPIN" || state === "DRAIN";
}
