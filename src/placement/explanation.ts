/**
 * A layout in words and numbers, for people: where each shard is, what may fail before data is lost, and what share of the
 * space is left for data. Pure, as layouts are.
 */
import { DaosError } from "../base/errors.ts";
import { type ObjectClass, REDUNDANCIES } from "../base/object-class.ts";
import { formatObjectId, type ObjectId } from "../base/object-id.ts";
import type { TargetState } from "../format/pool-map.ts";
import type { FaultDomainTree } from "./fault-domain.ts";
import { type Layouts, NO_TARGET, type Shard, type ShardGroup } from "./layout.ts";

export interface ExplainedShard {
  readonly shard: number;
  readonly role: "data" | "replica" | "parity";
  /** Of the shard; see Shard. */
  readonly state: Shard["state"];
  readonly target: number | null;
  readonly rank: number | null;
  /** Named domain of the target; `/` when it has none. */
  readonly domain: string | null;
  readonly targetState: TargetState | null;
  /** Target that it stands in for. */
  readonly spareOf: number | null;
  /** Target that is being filled with it. */
  readonly movesTo: number | null;
}

export interface ToleratedFailures {
  /** `domain 1` (topmost), ..., `rank`, `target`. */
  readonly level: string;
  /** So many of these may fail now, whichever they are, and no data of the object is lost. */
  readonly failures: number;
}

export interface LayoutExplanation {
  readonly objectId: string;
  readonly class: string;
  readonly dataShards: number;
  readonly parityShards: number;
  /** Share of the space taken that is data: 1/3 for three copies. */
  readonly usableFraction: number;
  readonly tolerates: readonly ToleratedFailures[];
  readonly groups: readonly (readonly ExplainedShard[])[];
}

/** Trees do not change. */
const domainCounts = new WeakMap<FaultDomainTree, number>();

/** Fault domains that a class can count on: the engines, without those whose targets are all NEW. */
export function domainCount(tree: FaultDomainTree): number {
  const known = domainCounts.get(tree);
  if (known !== undefined) return known;
  const { domains, states, levelCount } = tree;
  const ranks = domains[levelCount - 1]!;
  const count = new Set(ranks.filter((_, position) => states[position] !== "NEW")).size;
  domainCounts.set(tree, count);
  return count;
}

/** Throws INVALID_ARGUMENT, with the numbers, when the map has fewer fault domains than a group has shards. */
export function checkClassFits({ name, redundancy }: ObjectClass, tree: FaultDomainTree): void {
  const count = domainCount(tree);
  if (redundancy.shardCount <= count) return;
  const fitting = REDUNDANCIES.filter(({ kind, shardCount }) => kind === redundancy.kind && shardCount <= count);
  const instead = fitting.at(-1)?.word;
  const advice = instead === undefined ? "Add engines" : `Add engines, or use ${instead}`;
  const state = `${redundancy.word} needs ${redundancy.shardCount} fault domains, the pool has ${count} (its engines)`;
  throw new DaosError("INVALID_ARGUMENT", `Cannot use object class "${name}": ${state}. ${advice}.`);
}

/** Throws INVALID_ARGUMENT for an id without class, or of a class that the map cannot hold. */
export function explainLayout(layouts: Layouts, oid: ObjectId): LayoutExplanation {
  const { tree } = layouts;
  const { objectClass, groups, next } = layouts.layoutOf(oid);
  checkClassFits(objectClass, tree);
  const { dataShards, parityShards, shardCount } = objectClass.redundancy;
  const positions = new Map(tree.indices.map((index, position) => [index, position]));
  const explained = groups.map((group, index) =>
    group.map((shard, number): ExplainedShard => {
      const position = positions.get(shard.target);
      const moved = next?.groups[index]?.[number]?.target ?? NO_TARGET;
      return {
        shard: number,
        role: roleOf(objectClass, number),
        state: shard.state,
        target: position === undefined ? null : shard.target,
        rank: position === undefined ? null : tree.ranks[position]!,
        domain: position === undefined ? null : tree.paths[position]!,
        targetState: position === undefined ? null : tree.states[position]!,
        spareOf: shard.home === shard.target || shard.home === NO_TARGET ? null : shard.home,
        movesTo: moved === shard.target || moved === NO_TARGET ? null : moved,
      };
    }),
  );
  return {
    objectId: formatObjectId(oid),
    class: objectClass.name,
    dataShards,
    parityShards,
    usableFraction: dataShards / shardCount,
    tolerates: toleratedFailures(tree, objectClass, groups, positions),
    groups: explained,
  };
}

function roleOf({ redundancy }: ObjectClass, shard: number): ExplainedShard["role"] {
  if (redundancy.kind === "replica") return "replica";
  return shard < redundancy.dataShards ? "data" : "parity";
}

function toleratedFailures(
  tree: FaultDomainTree,
  { redundancy }: ObjectClass,
  groups: readonly ShardGroup[],
  positions: ReadonlyMap<number, number>,
): ToleratedFailures[] {
  const levels = tree.domains.map((domains, level) => ({
    level: level === tree.levelCount - 1 ? "rank" : `domain ${level + 1}`,
    domainOf: (position: number) => domains[position]!,
  }));
  levels.push({ level: "target", domainOf: (position) => position });
  return levels.map(({ level, domainOf }) => {
    const failures = groups.map((group) => {
      const alive = group.filter(({ state }) => state === "serving");
      const spare = redundancy.toleratedFailures - (group.length - alive.length);
      return failuresSurvived(
        alive.map(({ target }) => domainOf(positions.get(target)!)),
        spare,
      );
    });
    return { level, failures: Math.min(...failures) };
  });
}

/** How many domains may fail, the fullest first, until more than `spare` shards are gone. */
function failuresSurvived(domains: readonly number[], spare: number): number {
  const counts = new Map<number, number>();
  for (const domain of domains) counts.set(domain, (counts.get(domain) ?? 0) + 1);
  let lost = 0;
  let failures = 0;
  for (const count of [...counts.values()].toSorted((left, right) => right - left)) {
    lost += count;
    if (lost > spare) break;
    failures += 1;
  }
  return failures;
}
