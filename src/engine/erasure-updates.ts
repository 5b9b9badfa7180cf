/**
 * Updates of erasure-coded objects, as the leader of a dkey makes them: the plan says what each shard has to do, and all of
 * them do it as one update. A punch of array bytes may have to read first, so it runs alone on its dkey.
 */
import { EPOCH_NONE } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_ARRAY_BYTES } from "../base/limits.ts";
import type { ShardPart } from "../contracts/redundancy.ts";
import type { Unlock } from "../dtx/dkey-locks.ts";
import type { LedUpdate } from "../dtx/led-update.ts";
import type { Replication } from "../dtx/replication.ts";
import { shardParts } from "../dtx/shard-parts.ts";
import type { ShardedAkey } from "../dtx/sharded-akey.ts";
import type { ObjectRequest } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import type { PartBytes } from "../format/prepare-request.ts";
import { byteRange, writtenRange } from "../vos/array-read.ts";
import type { WriteOutcome } from "../vos/single-value.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import type { WriteOrder } from "../vos/write-order.ts";

/** An update that is taken into order, and what it has to give back when it is decided, or was refused. */
export interface PlannedUpdate {
  readonly led: LedUpdate;
  readonly unlock: Unlock;
}

export interface ErasureUpdatesParts {
  readonly objects: VersionedObjects;
  readonly replication: Replication;
}

export class ErasureUpdates {
  readonly #parts: ErasureUpdatesParts;

  constructor(parts: ErasureUpdatesParts) {
    this.#parts = parts;
  }

  /** Plans the update and takes it into order. Rejects as Replication.begin, and with TOO_LARGE, INVALID_ARGUMENT, CORRUPT. */
  async begin(
    opcode: number,
    container: number,
    object: ObjectRequest,
    payload: Uint8Array | undefined,
  ): Promise<PlannedUpdate> {
    const { replication } = this.#parts;
    const isPunch = opcode === Opcode.arrayPunch;
    const mayAppend = await this.#foldForSnapshot(opcode, container, object);
    const unlock = await replication.lock(container, object, isPunch ? "alone" : "shared");
    try {
      const akey = replication.shardedAkey(container, object);
      if (object.flags !== 0 && akey.own < akey.scheme.dataShards) throw blind();
      const parts = await this.#plan(opcode, container, akey, object, payload);
      const sharded = parts === undefined ? undefined : shardParts(parts);
      const led = replication.begin({ container, opcode, object, payload, parts: sharded, mayAppend });
      return { led, unlock };
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /** What a snapshot shows as replicas is folded before it changes. Returns what says, at the append, whether it still is. */
  async #foldForSnapshot(opcode: number, container: number, object: ObjectRequest): Promise<() => void> {
    const { objects, replication } = this.#parts;
    const snapshot = objects.newestSnapshot(container);
    if (snapshot !== EPOCH_NONE) {
      const isArray = opcode === Opcode.arrayWrite || opcode === Opcode.arrayPunch;
      const isBounded = isArray && object.recordBytes > 0;
      const bytes = isBounded ? byteRange(object, object.recordBytes, MAX_ARRAY_BYTES) : undefined;
      const akey = opcode === Opcode.dkeyPunch ? undefined : object.akey;
      await replication.foldBefore(container, object, { akey, bytes }, snapshot);
    }
    return () => {
      if (objects.newestSnapshot(container) !== snapshot) throw newerSnapshot();
    };
  }

  /** Undefined: every shard does the same, as in punches of whole keys. */
  async #plan(
    opcode: number,
    container: number,
    akey: ShardedAkey,
    object: ObjectRequest,
    payload: Uint8Array | undefined,
  ): Promise<readonly ShardPart[] | undefined> {
    const { scheme } = akey;
    const bytes = payload ?? NO_BYTES;
    switch (opcode) {
      case Opcode.valueUpdate:
        return scheme.planValue(bytes.length, bytes);
      case Opcode.arrayWrite: {
        const { start, end } = writtenRange(object, bytes);
        return announced(scheme.planWrite(start, end - start, bytes));
      }
      case Opcode.arrayPunch: {
        if (object.recordBytes === 0) object.recordBytes = await this.#recordBytes(container, object);
        const { start, end } = byteRange(object, object.recordBytes, MAX_ARRAY_BYTES);
        return akey.run((alive) => scheme.planPunch(start, end - start, alive));
      }
      default:
        return undefined;
    }
  }

  /** Bytes of a record of the array that is there; 1 when there is none. */
  async #recordBytes(container: number, { oid, dkey, akey }: ObjectRequest): Promise<number> {
    const request = { oid, dkey, akey, epoch: EPOCH_NONE };
    const { recordBytes } = await this.#parts.objects.readShardArray(container, request, { address: 0, length: 0 });
    return recordBytes === 0 ? 1 : recordBytes;
  }

  /** Does a shard's share of an update: its parts, or none. */
  apply(
    container: number,
    object: ObjectRequest & { readonly order?: WriteOrder | undefined },
    parts: readonly PartBytes[],
  ): WriteOutcome | Promise<WriteOutcome> {
    const { objects } = this.#parts;
    const value = parts.find(({ kind }) => kind === "value");
    if (value !== undefined) return objects.updateValue(container, object, value.bytes);
    return objects.writeShard(container, object, parts);
  }
}

const NO_BYTES = new Uint8Array(0);
/** A write of nothing: the array is there. */
const ANNOUNCEMENT: ShardPart = { shard: 0, kind: "write", holds: "data", address: 0, length: 0, views: [] };

/** Shard 0 hears of every array, too: it leads when no parity shard can be read, and has to know what there is to be filled. */
function announced(parts: readonly ShardPart[]): readonly ShardPart[] {
  return parts.some(({ shard }) => shard === ANNOUNCEMENT.shard) ? parts : [...parts, ANNOUNCEMENT];
}

function newerSnapshot(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot update the object now: a snapshot has just been taken. Retry.");
}

function blind(): DaosError {
  const state = "all parity shards of its group are away, and no other knows all of its keys";
  return new DaosError("UNAVAILABLE", `Cannot check conditions on the object: ${state}. Retry when an engine is back.`);
}
