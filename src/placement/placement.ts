/**
 * Placement under one pool map: from object id and dkey to targets, as the data path asks it for every operation. Layouts
 * are computed once an object and kept, at most MAX_CACHED_LAYOUTS of them with MAX_CACHED_GROUPS groups together. A new
 * pool map means a new Placement.
 */
import { type ByteString } from "../base/bytes.ts";
import { crc32 } from "../base/checksum.ts";
import { MAX_DKEY_BYTES } from "../base/limits.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { PoolMap } from "../format/pool-map.ts";
import { mix32 } from "./jump-hash.ts";
import { groupOfDkey, type Layout, LAYOUT_VERSION, Layouts, NO_TARGET, type Shard, type ShardGroup } from "./layout.ts";

/** Layouts kept; the oldest goes first. */
export const MAX_CACHED_LAYOUTS = 4096;
/** Groups of all layouts kept: an object over all of ten thousand targets has as many. */
const MAX_CACHED_GROUPS = 262_144;

/** Salt of the hash that turns the shards. */
const ROTATION_SALT = 0x85eb_ca6b;

/** Where a dkey is: the index of its group, and the group's shards. */
export interface GroupPlace {
  readonly index: number;
  readonly shards: ShardGroup;
}

export class Placement {
  readonly mapVersion: number;
  /** Indices of all targets of the map, ascending. */
  readonly targets: readonly number[];
  /** Makes the layouts; here they are cached. */
  readonly layouts: Layouts;
  /** The target there is when there is only one, else -1. */
  readonly #onlyTarget: number;
  readonly #cached = new Map<ObjectId, Layout>();
  #cachedGroups = 0;
  readonly #dkey = Buffer.alloc(MAX_DKEY_BYTES);
  #latestId: ObjectId | undefined;
  #latest: Layout | undefined;

  /** Throws PROTOCOL for a map that places nothing, UNSUPPORTED for a layout version that is not known. */
  constructor(map: PoolMap, layoutVersion: number = LAYOUT_VERSION) {
    this.mapVersion = map.version;
    this.layouts = new Layouts(map, layoutVersion);
    this.targets = this.layouts.tree.indices;
    this.#onlyTarget = this.targets.length === 1 ? this.targets[0]! : NO_TARGET;
  }

  /**
   * Index of the target to ask first about the dkey. For a class without redundancy it is the one that has it, whether it
   * answers or not. The dkey is within its limit. Throws INVALID_ARGUMENT for an id without class.
   */
  targetOf(oid: ObjectId, dkey: ByteString): number {
    if (this.#onlyTarget !== NO_TARGET) return this.#onlyTarget;
    const layout = this.layout(oid);
    if (layout.firstTargets.length === 1) return layout.firstTargets[0]!;
    return layout.firstTargets[groupOfDkey(layout, this.#checksum(layout, dkey))]!;
  }

  /** Group of the dkey, with where its shards are and, while they move, where else to write. Throws as targetOf. */
  groupOf(oid: ObjectId, dkey: ByteString): GroupPlace {
    const layout = this.layout(oid);
    const { next } = layout;
    const checksum = layout.groups.length === 1 && next === undefined ? 0 : this.#checksum(layout, dkey);
    const index = groupOfDkey(layout, checksum);
    const shards = layout.groups[index]!;
    if (next === undefined) return { index, shards };
    return { index, shards: movingShards(shards, next.groups[groupOfDkey(next, checksum)]!) };
  }

  /**
   * Names the set of an object's dkeys that the dkey is in: those of one set have the same targets in the same roles, now
   * and where the object moves to. Without redundancy it is the target.
   */
  dkeySetOf(oid: ObjectId, dkey: ByteString): number {
    const layout = this.layout(oid);
    const { kind, shardCount } = layout.objectClass.redundancy;
    if (kind === "none") return this.targetOf(oid, dkey);
    const checksum = this.#checksum(layout, dkey);
    // Where groups part, each of the finer ones comes from one of the others.
    const group = groupOfDkey(finerOf(layout), checksum);
    return kind === "erasure" ? group * shardCount + (this.dkeyHash(oid, dkey) % shardCount) : group;
  }

  /** How many sets of dkeys an object has. */
  dkeySetCount(oid: ObjectId): number {
    const layout = this.layout(oid);
    const { kind, shardCount } = layout.objectClass.redundancy;
    if (kind === "none") return new Set(layout.firstTargets).size;
    return finerOf(layout).groups.length * (kind === "erasure" ? shardCount : 1);
  }

  /** 32 bits that turn the order of a group's shards for the dkey; independent of which group it is in. */
  dkeyHash(oid: ObjectId, dkey: ByteString): number {
    return mix32(this.#checksum(this.layout(oid), dkey) ^ ROTATION_SALT);
  }

  /** Indices of all targets that may hold something of the object now, ascending. */
  targetsOf(oid: ObjectId): readonly number[] {
    return this.layout(oid).targets;
  }

  /** The object's layout. Throws INVALID_ARGUMENT for an id without class. */
  layout(oid: ObjectId): Layout {
    if (oid === this.#latestId) return this.#latest!;
    let layout = this.#cached.get(oid);
    if (layout === undefined) {
      layout = this.layouts.layoutOf(oid);
      this.#keep(oid, layout);
    }
    this.#latestId = oid;
    this.#latest = layout;
    return layout;
  }

  #keep(oid: ObjectId, layout: Layout): void {
    this.#cached.set(oid, layout);
    this.#cachedGroups += groupCountOf(layout);
    for (const [oldest, old] of this.#cached) {
      if (this.#cached.size <= MAX_CACHED_LAYOUTS && this.#cachedGroups <= MAX_CACHED_GROUPS) return;
      this.#cached.delete(oldest);
      this.#cachedGroups -= groupCountOf(old);
    }
  }

  #checksum(layout: Layout, dkey: ByteString): number {
    const length = this.#dkey.latin1Write(dkey);
    return crc32(this.#dkey.subarray(0, length), layout.seed);
  }
}

function finerOf(layout: Layout): Layout {
  const { next } = layout;
  return next !== undefined && next.groups.length > layout.groups.length ? next : layout;
}

function groupCountOf({ groups, next }: Layout): number {
  return groups.length + (next?.groups.length ?? 0);
}

/** The shards as they are, each with the target that it moves to. */
function movingShards(shards: ShardGroup, next: ShardGroup): ShardGroup {
  return shards.map((shard, index): Shard => {
    const { target } = next[index]!;
    if (target === shard.target) return shard;
    return target === NO_TARGET ? { ...shard, isStranded: true } : { ...shard, alsoWrite: [target] };
  });
}
