/**
 * Placement under one pool map: from object id and dkey to target index, as the data path asks it for every operation.
 * Layouts are computed once an object and kept, at most MAX_CACHED_LAYOUTS of them. A new pool map means a new Placement.
 */
import { type ByteString } from "../base/bytes.ts";
import { crc32 } from "../base/checksum.ts";
import { MAX_DKEY_BYTES } from "../base/limits.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { PoolMap } from "../format/pool-map.ts";
import { type FaultDomain, faultDomainTree } from "./fault-domain.ts";
import { groupOfDkey, type Layout, layoutOf } from "./layout.ts";

/** Layouts kept; the oldest goes first. */
export const MAX_CACHED_LAYOUTS = 4096;

export class Placement {
  readonly mapVersion: number;
  /** Indices of all targets of the map, ascending. */
  readonly targets: readonly number[];
  readonly #tree: FaultDomain;
  /** The target there is when there is only one, else -1. */
  readonly #onlyTarget: number;
  readonly #layouts = new Map<ObjectId, Layout>();
  readonly #dkey = Buffer.alloc(MAX_DKEY_BYTES);
  #latestId: ObjectId | undefined;
  #latest: Layout | undefined;

  /** Throws PROTOCOL for a map that places nothing. */
  constructor(map: PoolMap) {
    this.mapVersion = map.version;
    this.#tree = faultDomainTree(map);
    this.targets = map.targets.map((target) => target.index).toSorted((left, right) => left - right);
    this.#onlyTarget = this.#tree.targetCount === 1 ? map.targets[0]!.index : -1;
  }

  /** Index of the target that holds the dkey. The dkey is within its limit. Throws INVALID_ARGUMENT for an id without class. */
  targetOf(oid: ObjectId, dkey: ByteString): number {
    if (this.#onlyTarget !== -1) return this.#onlyTarget;
    const layout = this.layout(oid);
    if (layout.groups.length === 1) return layout.groups[0]!;
    const length = this.#dkey.latin1Write(dkey);
    const checksum = crc32(this.#dkey.subarray(0, length), layout.seed);
    return layout.groups[groupOfDkey(checksum, layout.groups.length)]!;
  }

  /** Indices of all targets that may hold something of the object, ascending. */
  targetsOf(oid: ObjectId): readonly number[] {
    return this.layout(oid).targets;
  }

  /** The object's layout. Throws INVALID_ARGUMENT for an id without class. */
  layout(oid: ObjectId): Layout {
    if (oid === this.#latestId) return this.#latest!;
    let layout = this.#layouts.get(oid);
    if (layout === undefined) {
      layout = layoutOf(oid, this.#tree);
      if (this.#layouts.size >= MAX_CACHED_LAYOUTS) {
        for (const oldest of this.#layouts.keys()) {
          this.#layouts.delete(oldest);
          break;
        }
      }
      this.#layouts.set(oid, layout);
    }
    this.#latestId = oid;
    this.#latest = layout;
    return layout;
  }
}
