/**
 * Layouts: which target holds each shard of each redundancy group of an object. Pure and deterministic: every client and
 * engine with the same object id, pool map and layout version gets the same answer, and nothing of it is stored.
 *
 * Classes without redundancy take single targets: groups by jump hash of (object id, group, attempt), not used yet while
 * there are any; over all targets (SX, or more groups than targets) in map order. Classes with redundancy take rows of the
 * map's group table (group-table.ts). Spares (spare.ts) then stand in for targets that are gone.
 *
 * A layout says where things are now; `next` where they will be once what is under way (targets that are NEW, UP or DRAIN)
 * is done. Whoever writes writes to both; who rebuilds fills each shard that is `rebuilding`, and each of `next`. So a map
 * may follow in which all of it is done, or a failure's rebuild alone, or all but that: any of these reads only what was
 * filled. It must not follow that of several targets in NEW, UP and DRAIN only some are done.
 */
import { bytesOf } from "../base/bytes.ts";
import { crc32 } from "../base/checksum.ts";
import { DaosError } from "../base/errors.ts";
import { GROUPS_MAX, type ObjectClass } from "../base/object-class.ts";
import { type ObjectId, objectClassOf } from "../base/object-id.ts";
import { isGone, type PoolMap } from "../format/pool-map.ts";
import { FaultDomainTree } from "./fault-domain.ts";
import { EMPTY_CELL, GroupTable } from "./group-table.ts";
import { jumpHashOf32, mix32 } from "./jump-hash.ts";
import { type Era, membersOf, NO_POSITION, type TargetView, targetView } from "./spare.ts";

/** The way of placing that this file implements. Containers carry the number that they were made with. */
export const LAYOUT_VERSION = 1;

/** Hashes tried for a group before the first free target in map order is taken. */
const MAX_PLACEMENT_ATTEMPTS = 32;
/** Hashes tried for a group's row; the one that reuses the fewest targets is taken. */
const MAX_ROW_ATTEMPTS = 16;
/** Rows a group among which an object with several groups chooses. */
const CHOICE_ROWS = 8;
/** Group tables that objects of one map and shard count part over, so that no two targets always go together. */
const FAMILY_COUNT = 4;

/** Target of a shard that has none. */
export const NO_TARGET = -1;
const NOWHERE: readonly number[] = [];

export interface Shard {
  /** Index of the target that has it, or is being filled with it; NO_TARGET when it is missing. */
  readonly target: number;
  /** `serving`: to be read and written. `rebuilding`: to be written, not read. `missing`: neither. */
  readonly state: "serving" | "rebuilding" | "missing";
  /**
   * Target that has it when none is gone, or, without redundancy, that has it and is gone; NO_TARGET when the map has too few
   * targets.
   */
  readonly home: number;
  /** Targets to be written beside `target` and not to be read: where the shard is moving. Set by Placement.groupOf. */
  readonly alsoWrite: readonly number[];
  /** It would have to move, and there is no target that could take it. Set by Placement.groupOf. */
  readonly isStranded?: boolean;
}

export type ShardGroup = readonly Shard[];

export interface Layout {
  readonly objectClass: ObjectClass;
  /** CRC-32 of the object id: the seed of its dkeys' hashes. */
  readonly seed: number;
  /** By group index; in each a shard by its number. */
  readonly groups: readonly ShardGroup[];
  /** For each group the target to ask first: of its first shard that serves, else the home of shard 0. */
  readonly firstTargets: readonly number[];
  /** Indices of all targets that may hold something, each once, ascending. */
  readonly targets: readonly number[];
  /** The layout that is being moved to; undefined when nothing of the object moves. */
  readonly next: Layout | undefined;
}

type Moment = "current" | "next";

/** Makes the layouts of one pool map. */
export class Layouts {
  readonly tree: FaultDomainTree;
  /** Positions that layouts are made of: without NEW targets, and with them. */
  readonly #positions: Readonly<Record<Moment, readonly number[]>>;
  readonly #moves: boolean;
  readonly #views = new Map<string, TargetView>();
  readonly #tables = new Map<string, GroupTable>();

  /** Throws PROTOCOL for a map that places nothing, UNSUPPORTED for a layout version that is not known. */
  constructor(map: PoolMap, layoutVersion: number = LAYOUT_VERSION) {
    if (layoutVersion !== LAYOUT_VERSION) {
      const state = `this release knows version ${LAYOUT_VERSION}`;
      throw new DaosError("UNSUPPORTED", `Cannot use layout version ${layoutVersion}: ${state}. Use a newer release.`);
    }
    this.tree = new FaultDomainTree(map);
    const all = this.tree.indices.map((_, position) => position);
    const current = all.filter((position) => this.tree.states[position] !== "NEW");
    // A pool whose targets are all new has nowhere else to be.
    this.#positions = { current: current.length === 0 ? all : current, next: all };
    this.#moves = this.tree.states.some((state) => state === "NEW" || state === "UP" || state === "DRAIN");
  }

  /** Throws INVALID_ARGUMENT when the id's bits name no class. */
  layoutOf(oid: ObjectId): Layout {
    const objectClass = objectClassOf(oid);
    const seed = crc32(bytesOf(oid));
    const current = this.#layoutAt("current", objectClass, seed);
    if (!this.#moves) return current;
    const next = this.#layoutAt("next", objectClass, seed);
    return sameTargets(current, next) ? current : { ...current, next };
  }

  #layoutAt(moment: Moment, objectClass: ObjectClass, seed: number): Layout {
    const view = this.#view(moment, objectClass.redundancy.kind);
    const eras = this.#eras(moment, view).map(({ from, until, count }) => {
      return eraOf(from, until, count, objectClass, seed, this.#homes(moment, count, objectClass, seed));
    });
    const last = eras.at(-1)!;
    const groups = Array.from({ length: last.groupCount }, (_, group) => this.#shards(moment, view, eras, group));
    const firstTargets = groups.map((group) => (group.find(({ state }) => state === "serving") ?? group[0]!).target);
    for (const [group, target] of firstTargets.entries())
      if (target === NO_TARGET) firstTargets[group] = groups[group]![0]!.home;
    return { objectClass, seed, groups, firstTargets, targets: targetsOf(groups, firstTargets), next: undefined };
  }

  /** The last, and those since the first failure that may matter. */
  #eras(moment: Moment, { failedAt, beside }: TargetView): { from: number; until: number; count: number }[] {
    const all = this.#positions[moment].length;
    const added = this.tree.added.slice(0, all);
    const starts = [...new Set(added)];
    const eras = starts.map((from, index) => {
      const until = starts[index + 1] ?? Number.POSITIVE_INFINITY;
      return { from, until, count: added.filter((each) => each <= from).length };
    });
    const remembersMore = beside.some((outages) => outages !== undefined);
    const first = remembersMore
      ? 0
      : failedAt.reduce((least, failed) => Math.min(least, failed), Number.POSITIVE_INFINITY);
    return eras.filter(({ until }, index) => index === eras.length - 1 || until > first);
  }

  /** Positions of the groups, when the pool has only the first `count` targets. */
  #homes(moment: Moment, count: number, objectClass: ObjectClass, seed: number): (readonly number[])[] {
    if (objectClass.redundancy.kind !== "none") return this.#rows(moment, count, objectClass, seed);
    const positions = this.#positions[moment].slice(0, count);
    return singleTargets(positions, objectClass.groupCount, seed).map((position) => [position]);
  }

  #shards(moment: Moment, view: TargetView, eras: readonly ObjectEra[], group: number): ShardGroup {
    const { states, indices } = this.tree;
    const homes = eras.at(-1)!.row(group)!.homes;
    const { positions, rebuilding, drained } = membersOf(this.tree, view, eras, group);
    return positions.map((member, place): Shard => {
      const position = moment === "current" ? (drained.get(place) ?? member) : member;
      const common = { home: homes[place] === EMPTY_CELL ? NO_TARGET : indices[homes[place]!]!, alsoWrite: NOWHERE };
      // Without redundancy a target that is gone is not replaced: it may come back, and no other has the data.
      if (position === NO_POSITION) return { target: NO_TARGET, state: "missing", ...common };
      if (isGone(states[position]!)) {
        return { target: NO_TARGET, state: "missing", home: indices[position]!, alsoWrite: NOWHERE };
      }
      return { target: indices[position]!, state: rebuilding.has(place) ? "rebuilding" : "serving", ...common };
    });
  }

  #view(moment: Moment, kind: ObjectClass["redundancy"]["kind"]): TargetView {
    const name = `${moment} ${kind}`;
    const view = this.#views.get(name) ?? targetView(this.tree, moment, kind);
    this.#views.set(name, view);
    return view;
  }

  #table(moment: Moment, count: number, shardCount: number, family: number): GroupTable {
    const name = `${moment} ${count} ${shardCount} ${family}`;
    const positions = this.#positions[moment].slice(0, count);
    const table = this.#tables.get(name) ?? new GroupTable(this.tree, positions, shardCount, family);
    this.#tables.set(name, table);
    return table;
  }

  /** Rows of the group table. All of them for GX: as many groups as rows. */
  #rows(
    moment: Moment,
    targetCount: number,
    { redundancy, groupCount }: ObjectClass,
    seed: number,
  ): (readonly number[])[] {
    const table = this.#table(moment, targetCount, redundancy.shardCount, mix32(seed) % FAMILY_COUNT);
    const count = groupCount === GROUPS_MAX ? table.rowCount : groupCount;
    if (count >= table.rowCount) return Array.from({ length: count }, (_, group) => table.row(group % table.rowCount));
    return rowsOfGroups(table, seed, count);
  }
}

interface ObjectEra extends Era {
  readonly groupCount: number;
}

function eraOf(
  from: number,
  until: number,
  targetCount: number,
  { groupCount, redundancy }: ObjectClass,
  seed: number,
  homes: readonly (readonly number[])[],
): ObjectEra {
  // The rows of a table double: a group was part of the one that had the low bits of its index.
  const hasDoubled = groupCount === GROUPS_MAX && redundancy.kind !== "none";
  const row: Era["row"] = (group) => {
    const index = hasDoubled ? group & (homes.length - 1) : group;
    const found = homes[index];
    return found && { homes: found, key: crc32(groupStep(index, 0xffff_ffff), seed) };
  };
  return { from, until, targetCount, groupCount: homes.length, row };
}

function singleTargets(positions: readonly number[], groupCount: number, seed: number): number[] {
  const count = groupCount === GROUPS_MAX ? positions.length : groupCount;
  if (count >= positions.length) {
    return Array.from({ length: count }, (_, group) => positions[group % positions.length]!);
  }
  const used = new Set<number>();
  for (let group = 0; group < count; group += 1) used.add(freePosition(positions, seed, group, used));
  return [...used];
}

/** Group of a dkey, given as the CRC-32 of object id then dkey. */
export function groupOfDkey({ objectClass, groups }: Layout, checksum: number): number {
  if (groups.length === 1) return 0;
  // The rows of a table double: row r parts over r and r + rows, which is what the low bits do.
  if (objectClass.groupCount === GROUPS_MAX && objectClass.redundancy.kind !== "none") {
    return mix32(checksum) & (groups.length - 1);
  }
  return jumpHashOf32(checksum, groups.length);
}

/** A position that no earlier group took. There is one: there are fewer groups than positions. */
function freePosition(positions: readonly number[], seed: number, group: number, used: ReadonlySet<number>): number {
  for (let attempt = 0; attempt < MAX_PLACEMENT_ATTEMPTS; attempt += 1) {
    const position = positions[jumpHashOf32(crc32(groupStep(group, attempt), seed), positions.length)]!;
    if (!used.has(position)) return position;
  }
  return positions.find((position) => !used.has(position))!;
}

/**
 * Rows for groups that are fewer than rows. Each takes the first row by hash whose targets no earlier group uses; failing
 * that, the one they are used least in. What counts is who was in the rows when there were CHOICE_ROWS a group: so that
 * a pool that has grown beyond does not choose again with each new target, which would move old groups.
 */
function rowsOfGroups(table: GroupTable, seed: number, groupCount: number): (readonly number[])[] {
  let choiceRows = 1;
  while (choiceRows < groupCount * CHOICE_ROWS && choiceRows < table.rowCount) choiceRows *= 2;
  const uses = new Map<number, number>();
  return Array.from({ length: groupCount }, (_, group) => {
    let best = 0;
    let fewest = Number.POSITIVE_INFINITY;
    for (let attempt = 0; attempt < MAX_ROW_ATTEMPTS && fewest > 0; attempt += 1) {
      const hash = mix32(crc32(groupStep(group, attempt), seed));
      const row = table.earlierRow(choiceRows, hash & (choiceRows - 1));
      const used = row.reduce((sum, position) => sum + (uses.get(position) ?? 0), 0);
      if (used >= fewest) continue;
      best = hash;
      fewest = used;
    }
    for (const position of table.earlierRow(choiceRows, best & (choiceRows - 1))) {
      uses.set(position, (uses.get(position) ?? 0) + 1);
    }
    return table.row(best & (table.rowCount - 1));
  });
}

const step = Buffer.alloc(8);

/** Group and attempt as bytes; valid until the next call. */
function groupStep(group: number, attempt: number): Buffer {
  step.writeUInt32LE(group, 0);
  step.writeUInt32LE(attempt, 4);
  return step;
}

function sameTargets(left: Layout, right: Layout): boolean {
  return (
    left.groups.length === right.groups.length &&
    left.groups.every((group, index) =>
      group.every(({ target }, shard) => target === right.groups[index]![shard]!.target),
    )
  );
}

function targetsOf(groups: readonly ShardGroup[], firstTargets: readonly number[]): number[] {
  const targets = new Set(firstTargets);
  for (const group of groups) for (const { target } of group) targets.add(target);
  targets.delete(NO_TARGET);
  return [...targets].toSorted((left, right) => left - right);
}
