/**
 * The fault-domain tree of a pool map as placement reads it: each target's place in the map's order, and the domain that
 * it lies in at every level, from the topmost named domain down to its rank. Two targets fail together at a level when
 * they have the same number there.
 *
 * Held as flat arrays by position (0, 1, ... in ascending target index), for layouts walk it many times. The order of
 * targets is part of placement: new ones are appended, none is ever moved.
 */
import { DaosError } from "../base/errors.ts";
import type { Outage, PoolMap, TargetState } from "../format/pool-map.ts";

/** Deepest path of named domains that is told apart; what lies deeper counts as one level. */
const MAX_NAMED_LEVELS = 8;
/** Base of the numbers that `sharedLevels` gives: more than a group has shards. */
const SHARED_BASE = 32;

export class FaultDomainTree {
  readonly mapVersion: number;
  /** Target index by position, ascending. */
  readonly indices: readonly number[];
  readonly states: readonly TargetState[];
  readonly since: readonly number[];
  /** Map version from which on each was UPIN first, ascending; Infinity while it is NEW. */
  readonly added: readonly number[];
  /** Whether it is gone, and others have what it had. */
  readonly isDrained: readonly boolean[];
  /** See MapTarget. */
  readonly beside: readonly (readonly Outage[] | undefined)[];
  readonly ranks: readonly number[];
  /** Named domain of each target, `/` when it has none. */
  readonly paths: readonly string[];
  /** Levels of domains: the named ones and, lowest, the rank. At least 1. */
  readonly levelCount: number;
  /** `domains[level][position]`: number of the domain there, from 0 in order of appearance. */
  readonly domains: readonly Int32Array[];
  /** Number of domains of each level. */
  readonly domainCounts: readonly number[];

  /** Throws PROTOCOL when the map names no target, or one twice: such a map places nothing. */
  constructor(map: PoolMap) {
    const targets = map.targets.toSorted((left, right) => left.index - right.index);
    const repeated = targets.some(({ index }, position) => index === targets[position - 1]?.index);
    if (targets.length === 0 || repeated) {
      const state = repeated ? "it names a target twice" : "it names no target";
      throw new DaosError(
        "PROTOCOL",
        `Cannot use pool map version ${map.version}: ${state}. Ask the engine's operator.`,
      );
    }
    this.mapVersion = map.version;
    this.indices = targets.map(({ index }) => index);
    this.states = targets.map(({ state }) => state);
    this.since = targets.map(({ since }) => since);
    this.added = targets.map(({ added = 1, state }) => (state === "NEW" ? Number.POSITIVE_INFINITY : added));
    this.isDrained = targets.map(({ drained }) => drained !== undefined);
    this.beside = targets.map(({ beside }) => beside);
    this.ranks = targets.map(({ rank }) => rank);
    this.paths = targets.map(({ domain }) => domain);
    const paths = targets.map(({ domain }) => pathOf(domain));
    const namedLevels = Math.max(...paths.map((path) => path.length));
    this.levelCount = namedLevels + 1;
    const levels = Array.from({ length: namedLevels }, (_, level) =>
      numbered(paths.map((path) => `/${path.slice(0, level + 1).join("/")}`)),
    );
    levels.push(numbered(targets.map(({ rank }) => String(rank))));
    this.domains = levels.map(({ numbers }) => numbers);
    this.domainCounts = levels.map(({ count }) => count);
  }

  get targetCount(): number {
    return this.indices.length;
  }

  /**
   * How closely a target at `position` lies to the others of a group, as one number: how many of them share its topmost
   * domain, then its next, ... as digits, the topmost most significant. 0: it shares no domain. Infinity: it is one of
   * them. `except` is the one not to count; positions below 0 are empty places.
   */
  sharedLevels(position: number, group: ArrayLike<number>, start: number, length: number, except: number): number {
    let shared = 0;
    for (let level = 0; level < this.levelCount; level += 1) {
      const domains = this.domains[level]!;
      const own = domains[position]!;
      let count = 0;
      for (let place = start; place < start + length; place += 1) {
        const other = group[place]!;
        if (place === except || other < 0) continue;
        if (other === position) return Number.POSITIVE_INFINITY;
        if (domains[other]! === own) count += 1;
      }
      // Whoever shares no domain here shares none beneath it.
      if (count === 0 && level === 0) return 0;
      shared = shared * SHARED_BASE + count;
    }
    return shared;
  }
}

function pathOf(domain: string): string[] {
  const names = domain.split("/").filter((name) => name !== "");
  if (names.length <= MAX_NAMED_LEVELS) return names;
  return [...names.slice(0, MAX_NAMED_LEVELS - 1), names.slice(MAX_NAMED_LEVELS - 1).join("/")];
}

/** Numbers names in order of appearance. */
function numbered(all: readonly string[]): { numbers: Int32Array; count: number } {
  const found = new Map<string, number>();
  const numbers = new Int32Array(all.length);
  for (const [position, name] of all.entries()) {
    const number = found.get(name) ?? found.size;
    found.set(name, number);
    numbers[position] = number;
  }
  return { numbers, count: found.size };
}
