/**
 * What others have of an akey, as the shard of one target shows it: where the bytes come from by which a target mends its own. Of
 * copies each other one is a source; of erasure code the shard is made of the others. What a source gives may be of another
 * moment than what is to be mended, for nothing is held meanwhile: whoever takes it has a checksum that tells.
 */
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import type { ShardReadResult } from "../contracts/redundancy.ts";
import { ObjectFlag, type ObjectRequest } from "../format/object-request.ts";
import type { StoredPlace } from "../vos/stored-place.ts";
import type { PoolReplication } from "./pool-replication.ts";
import { akeyRequest, readTarget, ShardedAkey, without } from "./sharded-akey.ts";

const NO_BYTES = new Uint8Array(0);

/** All that is left of an epoch, whatever was aggregated since; EPOCH_NONE: the latest. */
export interface RepairSource {
  /** Bytes of the local array, holes as zeros. Rejects as ShardedAkey.run. */
  array(address: number, length: number, epoch: Epoch): Promise<Uint8Array>;
  /** The local single value; empty when there is none. */
  value(epoch: Epoch): Promise<Uint8Array>;
}

/** The sources of what this target has of an akey, best first. Throws UNSUPPORTED. */
export function repairSources(pool: PoolReplication, place: StoredPlace): RepairSource[] {
  const { readable, shards } = pool.groups.groupOf(place.oid, place.dkey);
  if (!readable.includes(pool.self)) return [];
  if (shards === undefined) return without(readable, pool.self).map((target) => new Copy(pool, place, target));
  const call: PoolReplication["call"] = (...request) => pool.call(...request);
  const unused = (): Promise<never> => Promise.reject(new Error("this target's own shard is not asked"));
  const scheme = pool.schemeOf(place.container, place.oid);
  const { self } = pool;
  const flags = ObjectFlag.asStored;
  const parts = { scheme, shards, self, flags, readOwn: unused, listOwn: unused, call, checkMap: () => {} };
  return [new OtherShards(new ShardedAkey(parts, place.container, akeyRequest(place)))];
}

class Copy implements RepairSource {
  readonly #pool: PoolReplication;
  readonly #place: StoredPlace;
  readonly #target: number;

  constructor(pool: PoolReplication, place: StoredPlace, target: number) {
    this.#pool = pool;
    this.#place = place;
    this.#target = target;
  }

  async array(address: number, length: number, epoch: Epoch): Promise<Uint8Array> {
    const { bytes } = await this.#read("array", address, length, epoch);
    return bytes.length === 0 ? new Uint8Array(length) : bytes;
  }

  async value(epoch: Epoch): Promise<Uint8Array> {
    return (await this.#read("value", 0, 0, epoch)).bytes;
  }

  #read(kind: "array" | "value", address: number, length: number, epoch: Epoch): Promise<ShardReadResult> {
    const flags = epoch === EPOCH_NONE ? 0 : ObjectFlag.asStored;
    const request: ObjectRequest = {
      ...akeyRequest(this.#place),
      handle: this.#place.container,
      flags,
      epoch,
      recordIndex: address,
      recordCount: length,
    };
    return readTarget((...call) => this.#pool.call(...call), this.#target, request, kind);
  }
}

class OtherShards implements RepairSource {
  readonly #akey: ShardedAkey;

  constructor(akey: ShardedAkey) {
    this.#akey = akey;
  }

  /** Stripe by stripe: what they show together, and what this shard has of that. */
  async array(address: number, length: number, epoch: Epoch): Promise<Uint8Array> {
    const { scheme, own } = this.#akey;
    const image = new Uint8Array(length);
    const touched = scheme.arrayExtents(own, [{ address, length, epoch: EPOCH_NONE }]);
    for (const { address: from, length: bytes } of touched) {
      const first = Math.floor(from / scheme.stripeBytes);
      const last = Math.floor((from + bytes - 1) / scheme.stripeBytes);
      for (let stripe = first; stripe <= last; stripe += 1) await this.#stripe(stripe, epoch, address, image);
    }
    return image;
  }

  async #stripe(stripe: number, epoch: Epoch, address: number, image: Uint8Array): Promise<void> {
    const { scheme, own } = this.#akey;
    const { stripeBytes } = scheme;
    const start = stripe * stripeBytes;
    const content = await this.#akey.run((alive) => scheme.planRead(start, stripeBytes, epoch, without(alive, own)));
    const bytes = content.bytes.length === 0 ? new Uint8Array(stripeBytes) : content.bytes;
    const spaces = scheme.footprint(own, start, stripeBytes);
    if (own < scheme.dataShards) {
      const [cell] = spaces;
      const [shown] = scheme.arrayExtents(own, [{ address: cell!.start, length: 1, epoch: EPOCH_NONE }]);
      const at = shown!.address - start;
      overlay(image, address, cell!.start, bytes.subarray(at, at + cell!.end - cell!.start));
      return;
    }
    // As it came, and folded: the two lie apart.
    overlay(image, address, spaces[0]!.start, bytes);
    for (const { shard, holds, address: at, views } of scheme.planWrite(start, stripeBytes, bytes)) {
      if (shard === own && holds === "parity") overlay(image, address, at, Buffer.concat([...views]));
    }
  }

  async value(epoch: Epoch): Promise<Uint8Array> {
    const { scheme, own } = this.#akey;
    const content = await this.#akey.run((alive) => scheme.planValueRead(epoch, without(alive, own)));
    if (content === "absent") return NO_BYTES;
    const part = scheme.planValue(content.bytes.length, content.bytes).find(({ shard }) => shard === own);
    return part === undefined ? NO_BYTES : Buffer.concat([...part.views]);
  }
}

/** Puts bytes that lie at `start` into the image, which begins at `base`, as far as they are in it. */
function overlay(image: Uint8Array, base: number, start: number, bytes: Uint8Array): void {
  const low = Math.max(start, base);
  const high = Math.min(start + bytes.length, base + image.length);
  if (low < high) image.set(bytes.subarray(low - start, high - start), low - base);
}
