/**
 * Staging, as a target serves it: takes in the bytes of an update of a redundant object ahead of the update, checks that the
 * target is to have them and has room, and puts them where they stay. Conditions are looked at by the leader, with the update.
 */
import { DaosError } from "../base/errors.ts";
import { isRedundant } from "../base/object-id.ts";
import type { DtxId } from "../base/dtx-id.ts";
import type { Replication } from "../dtx/replication.ts";
import { NO_PARTS, receivedParts, shardParts, storedBytes } from "../dtx/shard-parts.ts";
import { decodeObjectRequest, type ObjectRequest } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import type { PartBytes } from "../format/prepare-request.ts";
import type { RpcPeer, RpcReply, RpcRequest } from "../rpc/request.ts";
import type { StagedWrite } from "../vos/staged-write.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import type { Attachment } from "./attachments.ts";
import type { QuotaTable } from "./quota.ts";
import { stagedParts } from "./staged-parts.ts";
import { type StagedFor, Staging } from "./staging.ts";
import type { Timers } from "../contracts/world.ts";

const NO_ARGUMENTS = new Uint8Array(0);

export interface StageServiceParts {
  readonly objects: VersionedObjects;
  readonly quotas: QuotaTable;
  readonly replication: Pick<Replication, "ownShard">;
  readonly timers: Timers;
  /** The container that the request may write to. Throws STALE or PERMISSION. */
  readonly writable: (request: RpcRequest, handle: number) => Attachment;
}

export class StageService {
  readonly #parts: StageServiceParts;
  readonly #staging: Staging;
  /** Of all that were staged since the start. */
  stagedBytes = 0;

  constructor(parts: StageServiceParts) {
    this.#parts = parts;
    this.#staging = new Staging(parts.timers);
  }

  /** Answers when the bytes are on the device; settles when the request's payload is no longer needed. */
  async serve(request: RpcRequest, reply: RpcReply): Promise<void> {
    const object = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    const { container, quota } = this.#parts.writable(request, object.handle);
    const { payloadLength } = request;
    if (object.sequence === 0 || !isRedundant(object.oid) || payloadLength === 0) throw notStageable();
    const opcode = request.opcode === Opcode.valueStage ? Opcode.valueUpdate : Opcode.arrayWrite;
    const parts = this.#ownParts(container, opcode, object, payloadLength);
    this.#parts.quotas.charge(quota, payloadLength);
    request.retain();
    const { payload, connection } = request;
    const shard = { lengthBytes: payloadLength, checksum: request.payloadChecksum };
    const update: StagedFor = { container, opcode, object, parts, shard };
    await this.#staging.keep(connection, update, () => this.#store(update, payload));
    this.stagedBytes += payloadLength;
    reply.send(NO_ARGUMENTS);
  }

  /** What this target's shard does, of erasure code; undefined of copies. Throws also when the bytes are not those of that. */
  #ownParts(
    container: number,
    opcode: number,
    object: ObjectRequest,
    payloadLength: number,
  ): readonly PartBytes[] | undefined {
    const own = this.#parts.replication.ownShard(container, object);
    if (own === undefined) return undefined;
    const { recordCount, recordBytes } = object;
    const lengthBytes = opcode === Opcode.valueUpdate ? recordCount : recordCount * recordBytes;
    const parts = shardParts(stagedParts(own.scheme, opcode, object, lengthBytes)).get(own.number) ?? NO_PARTS;
    if (storedBytes(parts) !== payloadLength) throw otherBytes(payloadLength, storedBytes(parts));
    return parts;
  }

  #store({ container, opcode, object, parts, shard }: StagedFor, payload: Uint8Array): Promise<StagedWrite> {
    const { objects } = this.#parts;
    const { checksum } = shard;
    if (opcode === Opcode.valueUpdate) return objects.stageValue(container, { ...object, checksum }, payload);
    if (parts === undefined) return objects.stageArray(container, { ...object, checksum }, payload);
    return objects.stageShard(container, object, receivedParts(parts, payload, checksum));
  }

  /** See Staging.take. */
  take(id: DtxId, update: StagedFor): StagedWrite {
    return this.#staging.take(id, update);
  }

  /** See Staging.drop. */
  drop(id: DtxId): void {
    this.#staging.drop(id);
  }

  connectionClosed(connection: RpcPeer): void {
    this.#staging.connectionClosed(connection);
  }

  stop(): void {
    this.#staging.stop();
  }
}

function notStageable(): DaosError {
  const state = "it has no bytes, no number, or is of an object without redundancy";
  return new DaosError("INVALID_ARGUMENT", `Cannot stage for the update: ${state}. Send the update.`);
}

function otherBytes(sentBytes: number, ownBytes: number): DaosError {
  const state = `${sentBytes} bytes were sent, this shard gets ${ownBytes}`;
  return new DaosError("INVALID_ARGUMENT", `Cannot stage for the update: ${state}. Send the bytes of its parts.`);
}
