/**
 * Updates of erasure-coded objects, as the leader of a dkey makes them: the plan says what each shard has to do, and all of
 * them do it as one update. A punch of array bytes may have to read first, so it runs alone on its dkey.
 */
import { EPOCH_MAX, EPOCH_NONE } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import {
  MAX_ARRAY_BYTES,
  MAX_ARRAY_IO_BYTES,
  MAX_TRANSACTION_BYTES,
  MAX_TRANSACTION_PUNCH_BYTES,
} from "../base/limits.ts";
import { isErasureCoded, type ObjectId } from "../base/object-id.ts";
import type { RedundancyScheme, ShardPart } from "../contracts/redundancy.ts";
import type { Unlock } from "../dtx/dkey-locks.ts";
import type { UpdateRange } from "../dtx/folding.ts";
import type { LedUpdate } from "../dtx/led-update.ts";
import type { Replication } from "../dtx/replication.ts";
import { type ArrayShare, NO_PARTS, type ShardParts, shardParts, storedBytes } from "../dtx/shard-parts.ts";
import type { ShardedAkey } from "../dtx/sharded-akey.ts";
import type { ObjectRequest } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import type { PartBytes } from "../format/prepare-request.ts";
import type { StagedPayload, StagedShard } from "../format/staged-payload.ts";
import {
  decodeTransactionStep,
  encodeTransactionStep,
  type PartWrite,
  type TransactionStep,
} from "../format/transaction-part.ts";
import { byteRange, writtenRange } from "../vos/array-read.ts";
import type { WriteOutcome } from "../vos/single-value.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import type { WriteOrder } from "../vos/write-order.ts";
import { arrayParts } from "./array-parts.ts";
import { stagedParts } from "./staged-parts.ts";
import { TransactionParts } from "./transaction-parts.ts";

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

  /**
   * Plans the update and takes it into order. `staged`: the payload is a record of this, not the bytes. Rejects as
   * Replication.begin, and with TOO_LARGE, INVALID_ARGUMENT, CORRUPT, and NOT_STAGED when the plan needs other bytes.
   */
  async begin(
    opcode: number,
    container: number,
    object: ObjectRequest,
    payload: Uint8Array | undefined,
    staged: StagedPayload | undefined,
  ): Promise<PlannedUpdate> {
    if (opcode === Opcode.transactionStep) return this.#beginStep(container, object, payload ?? NO_BYTES);
    const { replication } = this.#parts;
    const isPunch = opcode === Opcode.arrayPunch;
    const mayAppend = await this.#foldForSnapshot(opcode, container, object);
    const unlock = await replication.lock(container, object, isPunch ? "alone" : "shared");
    try {
      const akey = replication.shardedAkey(container, object);
      const isBlind = akey.own < akey.scheme.dataShards;
      if (object.flags !== 0 && isBlind) throw blind();
      // Its plan is another one (arrayParts): nobody has staged that.
      if (staged !== undefined && isBlind) throw otherBytes();
      const parts =
        staged === undefined
          ? await this.#plan(opcode, container, akey, object, payload)
          : stagedParts(akey.scheme, opcode, object, staged.lengthBytes);
      const sharded = parts === undefined ? undefined : shardParts(parts);
      if (staged !== undefined) checkStaged(staged, sharded!, akey.scheme);
      const led = replication.begin({ container, opcode, object, payload, parts: sharded, staged, mayAppend });
      return { led, unlock };
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /** A step of a transaction. What has to read, or may be damaged, is done when it is prepared: its end needs nothing but room. */
  async #beginStep(container: number, object: ObjectRequest, payload: Uint8Array): Promise<PlannedUpdate> {
    const { replication } = this.#parts;
    const step = decodeTransactionStep(payload);
    const ranges = rangesToFold(step);
    // What is swept was written before the object was held: only snapshots from before the punch have to do with it.
    const upTo = step.kind === "sweep" ? this.#parts.objects.newestSnapshot(container, object.epoch) : EPOCH_MAX;
    const unlock = await replication.lock(container, object, ranges.length > 0 ? "alone" : "shared");
    try {
      const { own, scheme } = replication.shardedAkey(container, object);
      if (asks(step) && own < scheme.dataShards) throw blind();
      if (ranges.length > 0 && upTo !== EPOCH_NONE) await replication.foldAlone(container, object, ranges, upTo);
      const kept = step.kind === "prepare" ? await this.#withRest(container, object, step, payload) : payload;
      return { led: replication.begin({ container, opcode: Opcode.transactionStep, object, payload: kept }), unlock };
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /** The step with what its punches of records have to write anew. */
  async #withRest(
    container: number,
    object: ObjectRequest,
    step: TransactionStep & { readonly kind: "prepare" },
    payload: Uint8Array,
  ): Promise<Uint8Array> {
    if (!step.writes.some(({ kind }) => kind === "punchRecords")) return payload;
    const writes: PartWrite[] = [];
    let left = 2 * MAX_TRANSACTION_BYTES - payload.length;
    for (const write of step.writes) {
      if (write.kind !== "punchRecords") {
        writes.push(write);
        continue;
      }
      const { start, end } = byteRange(write, write.recordBytes, MAX_TRANSACTION_PUNCH_BYTES);
      const akey = this.#parts.replication.shardedAkey(container, { ...object, akey: write.akey });
      const rest = await akey.run((alive) => akey.scheme.planPunch(start, end - start, alive));
      for (const { bytes } of rest) left -= bytes.length;
      if (left < 0) throw tooMuchRest();
      writes.push({ ...write, rest });
    }
    return encodeTransactionStep({ ...step, writes });
  }

  /** What this target's shard has to know for a step of a transaction. `shares`: see TransactionParts. */
  shardOf(
    container: number,
    oid: ObjectId,
    order: WriteOrder | undefined,
    shares?: ArrayShare[],
  ): TransactionParts | undefined {
    if (!isErasureCoded(oid) || order?.shard === undefined) return undefined;
    return new TransactionParts(this.#parts.replication.schemeOf(container, oid), order.shard, shares);
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
        return arrayParts(scheme, akey.own, start, end - start, bytes);
      }
      case Opcode.arrayPunch: {
        if (object.recordBytes === 0) object.recordBytes = await this.#recordBytes(container, object);
        const { start, end } = byteRange(object, object.recordBytes, MAX_ARRAY_BYTES);
        const rest = await akey.run((alive) => scheme.planPunch(start, end - start, alive));
        return scheme.punchParts(start, end - start, rest);
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

/** Throws NOT_STAGED when the client has planned otherwise. */
function checkStaged({ shards }: StagedPayload, parts: ShardParts, { shardCount }: RedundancyScheme): void {
  const isOwn = ({ lengthBytes }: StagedShard, number: number): boolean =>
    lengthBytes === storedBytes(parts.get(number) ?? NO_PARTS);
  if (shards.length !== shardCount || !shards.every(isOwn)) throw otherBytes();
}

function otherBytes(): DaosError {
  const state = "the shards have other bytes than it wants";
  return new DaosError("NOT_STAGED", `Cannot update the object: ${state}. Send them with the update.`);
}

/** Whether a step is about what is there already. */
function asks(step: TransactionStep): boolean {
  return step.kind === "prepare" && step.reads.length + step.writes.length > 0;
}

function rangesToFold(step: TransactionStep): UpdateRange[] {
  if (step.kind === "sweep") return foldedRange({ kind: "punchDkey" });
  return step.kind === "prepare" ? step.writes.flatMap(foldedRange) : [];
}

/** What of the dkey's arrays a write of a transaction changes. */
function foldedRange(write: PartWrite): UpdateRange[] {
  switch (write.kind) {
    case "update":
      return write.replaces ? [{ akey: write.akey, bytes: undefined }] : [];
    case "punchAkey":
      return [{ akey: write.akey, bytes: undefined }];
    case "punchDkey":
      return [{ akey: undefined, bytes: undefined }];
    default:
      return [{ akey: write.akey, bytes: byteRange(write, write.recordBytes, MAX_ARRAY_IO_BYTES) }];
  }
}

function newerSnapshot(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot update the object now: a snapshot has just been taken. Retry.");
}

function tooMuchRest(): DaosError {
  const state = `with the rest of their stripes it has more than ${2 * MAX_TRANSACTION_BYTES} bytes`;
  return new DaosError("TOO_LARGE", `Cannot punch records in the transaction: ${state}. Punch whole stripes.`);
}

function blind(): DaosError {
  const state = "all parity shards of its group are away, and no other knows all of its keys";
  return new DaosError(
    "UNAVAILABLE",
    `Cannot decide what conditions or transactions ask for: ${state}. Retry when an engine is back.`,
  );
}
