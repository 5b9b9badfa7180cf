/**
 * Layouts: which target holds each redundancy group of an object. Pure and deterministic: every client and engine with
 * the same object id and tree gets the same answer, and nothing of it is stored.
 *
 * A group descends from the root by jump hash of (object id, group, attempt). Groups take targets not used yet while
 * there are any, then start over. An object over all targets (SX, or more groups than targets) takes them in map order:
 * group g is target g mod n, which needs no hashing and moves nothing when targets are appended. A dkey belongs to the
 * group that jump hash gives the CRC-32 of object id and dkey.
 *
 * The classes of this version have one shard a group; redundant classes will add shards beside each group's first.
 */
import { bytesOf } from "../base/bytes.ts";
import { crc32 } from "../base/checksum.ts";
import { GROUPS_MAX } from "../base/object-class.ts";
import { type ObjectId, objectClassOf } from "../base/object-id.ts";
import type { FaultDomain } from "./fault-domain.ts";
import { jumpHashOf32 } from "./jump-hash.ts";

/** Hashes tried for a group before the first free target in map order is taken. */
const MAX_PLACEMENT_ATTEMPTS = 32;

export interface Layout {
  /** CRC-32 of the object id: the seed of its dkeys' hashes. */
  readonly seed: number;
  /** Target index of each group. */
  readonly groups: readonly number[];
  /** The targets in `groups`, each once, ascending. */
  readonly targets: readonly number[];
}

/** Throws INVALID_ARGUMENT when the id's bits name no class. */
export function layoutOf(oid: ObjectId, tree: FaultDomain): Layout {
  const { groupCount } = objectClassOf(oid);
  const seed = crc32(bytesOf(oid));
  const count = groupCount === GROUPS_MAX ? tree.targetCount : groupCount;
  const groups = count >= tree.targetCount ? inMapOrder(tree, count) : byHash(tree, seed, count);
  return { seed, groups, targets: [...new Set(groups)].toSorted((left, right) => left - right) };
}

/** Group of a dkey, given as the CRC-32 of object id then dkey. */
export function groupOfDkey(checksum: number, groupCount: number): number {
  return groupCount === 1 ? 0 : jumpHashOf32(checksum, groupCount);
}

function inMapOrder(tree: FaultDomain, count: number): number[] {
  const leaves = targetsBeneath(tree);
  return Array.from({ length: count }, (_unused, group) => leaves[group % leaves.length]!);
}

function byHash(tree: FaultDomain, seed: number, count: number): number[] {
  const used = new Set<number>();
  const groups: number[] = [];
  for (let group = 0; group < count; group += 1) {
    const target = freeTarget(tree, seed, group, used);
    used.add(target);
    groups.push(target);
  }
  return groups;
}

/** A target that no earlier group took. There is one: byHash has fewer groups than the tree has targets. */
function freeTarget(tree: FaultDomain, seed: number, group: number, used: ReadonlySet<number>): number {
  for (let attempt = 0; attempt < MAX_PLACEMENT_ATTEMPTS; attempt += 1) {
    const target = descend(tree, seed, group, attempt);
    if (!used.has(target)) return target;
  }
  return targetsBeneath(tree).find((target) => !used.has(target))!;
}

/** The leaf that (seed, group, attempt) lead to: one jump hash a level, keyed by the way taken so far. */
function descend(tree: FaultDomain, seed: number, group: number, attempt: number): number {
  const step = Buffer.alloc(8);
  step.writeUInt32LE(group, 0);
  step.writeUInt32LE(attempt, 4);
  let key = crc32(step, seed);
  let node = tree;
  while (node.children.length > 0) {
    const child = jumpHashOf32(key, node.children.length);
    node = node.children[child]!;
    step.writeUInt32LE(child, 0);
    key = crc32(step, key);
  }
  return node.target;
}

function targetsBeneath(node: FaultDomain): number[] {
  return node.children.length === 0 ? [node.target] : node.children.flatMap(targetsBeneath);
}
