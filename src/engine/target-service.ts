/**
 * The data path of one target: decodes each object operation, runs it on the versioned objects, and answers once
 * everything the answer tells of is stable. One instance a target thread; the connections call `handle`.
 *
 * Guarantees: no answer speaks of a record that a crash could still undo, also no failed condition does; a container that
 * the connection did not attach is never touched.
 */
import type { Epoch } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { isErasureCoded, isRedundant } from "../base/object-id.ts";
import { TransactionConflict } from "../base/transaction-conflict.ts";
import type { RunUpdate } from "../dtx/group-follower.ts";
import { PeerSession, type Replication } from "../dtx/replication.ts";
import {
  decodeObjectRequest,
  encodeObjectReply,
  OBJECT_REPLY_BYTES,
  type ObjectReply,
  ReplyFlag,
} from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import { encodeShardReadReply } from "../format/shard-read.ts";
import { OUTPUT_REFERENCE_BYTES } from "../rpc/output-queue.ts";
import type { PayloadBuffers } from "../rpc/payload-buffers.ts";
import type { Clock, Random, Timers } from "../contracts/world.ts";
import type { RpcHandler, RpcPeer, RpcReply, RpcRequest } from "../rpc/request.ts";
import type { CellStore } from "../store/cell.ts";
import { isUndecided } from "../store/stability.ts";
import type { ArrayReadOutcome } from "../vos/array-read.ts";
import { type FetchOutcome, type Outcome } from "../vos/single-value.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import type { AttachmentTable } from "./attachment-table.ts";
import type { Attachment } from "./attachments.ts";
import { encodeEnumerated, type EnumerationService } from "./enumeration-service.ts";
import type { Lease } from "./lease.ts";
import { checkMapVersion, NewerMap } from "./pool-map-table.ts";
import type { QuotaTable } from "./quota.ts";
import type { ShardReadService } from "./shard-read-service.ts";
import type { TargetCounters } from "./target-calls.ts";
import { StageService } from "./stage-service.ts";
import { TransactionService } from "./transaction-service.ts";
import { UpdateService } from "./update-service.ts";

export interface TargetServiceParts {
  readonly store: CellStore;
  readonly objects: VersionedObjects;
  readonly attachments: AttachmentTable;
  readonly quotas: QuotaTable;
  readonly enumeration: EnumerationService;
  /** Where large payloads were received; they go back when written. */
  readonly payloadBuffers: PayloadBuffers;
  /** Refuses every request while the engine may not serve; always serving without it. */
  readonly lease?: Lease;
  /** Brings a newer map that a request was placed by. */
  readonly learnMap: (newer: NewerMap) => Promise<void>;
  readonly replication: Replication;
  readonly shardReads: ShardReadService;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly random: Random;
  /** The clock by which this target gives epochs. */
  readonly now: () => Epoch;
}

export class TargetService implements RpcHandler {
  readonly #counters = { requests: 0, failures: 0, fetches: 0 };
  readonly #store: CellStore;
  readonly #objects: VersionedObjects;
  readonly #attachments: AttachmentTable;
  readonly #enumeration: EnumerationService;
  readonly #payloadBuffers: PayloadBuffers;
  readonly #lease: Lease | undefined;
  readonly #learnMap: (newer: NewerMap) => Promise<void>;
  readonly #stages: StageService;
  readonly #updates: UpdateService;
  readonly #replication: Replication;
  readonly #shardReads: ShardReadService;
  readonly #transactions: TransactionService;
  /** Reply records are copied by `send`, so one serves all. */
  readonly #record = Buffer.alloc(OBJECT_REPLY_BYTES);
  readonly #reply: ObjectReply = { epoch: 0 as Epoch, lengthBytes: 0, recordBytes: 0, flags: 0 };

  constructor(parts: TargetServiceParts) {
    this.#store = parts.store;
    this.#objects = parts.objects;
    this.#attachments = parts.attachments;
    this.#enumeration = parts.enumeration;
    this.#payloadBuffers = parts.payloadBuffers;
    this.#lease = parts.lease;
    this.#learnMap = parts.learnMap;
    this.#replication = parts.replication;
    this.#shardReads = parts.shardReads;
    const writable = (request: RpcRequest, handle: number): Attachment => this.#writable(request, handle);
    const failed = (error: unknown, reply: RpcReply): void => this.#failed(error, reply);
    this.#stages = new StageService({ ...parts, writable });
    this.#updates = new UpdateService({ ...parts, writable, failed }, this.#stages);
    const attached = (request: RpcRequest, handle: number): Attachment => this.#attached(request, handle);
    this.#transactions = new TransactionService({ ...parts, updates: this.#updates, attached });
  }

  get counters(): Omit<TargetCounters, "connections" | "destagedBytes"> {
    return { ...this.#counters, ...this.#updates.counters, stagedBytes: this.#stages.stagedBytes };
  }

  /** Runs what the leader of a group has ordered. */
  runPrepared(...update: Parameters<RunUpdate>): ReturnType<RunUpdate> {
    return this.#updates.prepared(...update);
  }

  /** Serves other targets that ask what became of transactions. */
  serveStates(request: RpcRequest, reply: RpcReply): void {
    this.#transactions.serveStates(request, reply);
  }

  /** Ends what runs in the background. */
  stop(): void {
    this.#transactions.stop();
    this.#stages.stop();
  }

  /** Runs one request; every path ends in exactly one `reply.send` or `reply.fail`. */
  handle(request: RpcRequest, reply: RpcReply): void {
    this.#counters.requests += 1;
    this.#serve(request, reply, false);
  }

  #serve(request: RpcRequest, reply: RpcReply, hasLearnt: boolean): void {
    try {
      this.#lease?.check();
      const pending = this.#dispatch(request, reply);
      if (pending === undefined) this.#releasePayload(request);
      else {
        pending.then(
          () => this.#releasePayload(request),
          (error: unknown) => this.#ended(error, request, reply, hasLearnt),
        );
      }
    } catch (error) {
      this.#ended(error, request, reply, hasLearnt);
    }
  }

  /** A request that was placed by a newer map is run again with that map, once. */
  #ended(error: unknown, request: RpcRequest, reply: RpcReply, hasLearnt: boolean): void {
    if (!(error instanceof NewerMap) || hasLearnt) {
      this.#releasePayload(request);
      this.#failed(error, reply);
      if (!this.mayMiss(request.connection, request.opcode)) request.connection.terminate();
      return;
    }
    request.retain();
    this.#learnMap(error).then(
      () => this.#serve(request, reply, true),
      (failure: unknown) => this.#ended(failure, request, reply, true),
    );
  }

  #releasePayload(request: RpcRequest): void {
    if (request.payloadBuffer !== undefined) this.#payloadBuffers.release(request.payloadBuffer);
  }

  mayMiss(connection: RpcPeer, opcode: number): boolean {
    return this.#replication.mayMiss(connection, opcode);
  }

  connectionClosed(connection: RpcPeer): void {
    if (connection.session instanceof PeerSession) this.#replication.connectionClosed(connection);
    else this.#attachments.connectionClosed(connection);
    this.#stages.connectionClosed(connection);
  }

  #failed(error: unknown, reply: RpcReply): void {
    if (!(error instanceof DaosError)) throw error;
    this.#counters.failures += 1;
    const isUndone = hasCode(error, "CONFLICT") && !(error instanceof TransactionConflict);
    reply.fail(isUndone ? undone(error) : error);
  }

  #dispatch(request: RpcRequest, reply: RpcReply): Promise<void> | undefined {
    const wait = this.#transactions.gate(request);
    if (wait !== undefined) {
      return wait.then(() => {
        this.#lease?.check();
        return this.#dispatch(request, reply);
      });
    }
    switch (request.opcode) {
      case Opcode.valueFetch:
        return this.#valueFetch(request, reply);
      case Opcode.arrayRead:
        return this.#arrayRead(request, reply);
      case Opcode.valueUpdate:
      case Opcode.arrayWrite:
      case Opcode.arrayPunch:
      case Opcode.objectPunch:
      case Opcode.dkeyPunch:
      case Opcode.akeyPunch:
      case Opcode.transactionStep:
        return this.#updates.handle(request, reply);
      case Opcode.valueStage:
      case Opcode.arrayStage:
        return this.#stages.serve(request, reply);
      case Opcode.dtxPrepare:
      case Opcode.dtxDecide:
      case Opcode.dtxRefresh:
      case Opcode.dtxResync:
      case Opcode.dtxShardArrayRead:
      case Opcode.dtxShardValueFetch:
      case Opcode.dtxFold:
      case Opcode.dtxFoldedTo:
      case Opcode.dtxFill:
      case Opcode.dtxShardExtents:
      case Opcode.dtxAttach:
      case Opcode.transactionState:
        return new Promise((resolve) => this.#replication.handle(request, reply, resolve));
      case Opcode.shardArrayRead:
        return this.#shardRead(request, reply, "array");
      case Opcode.shardValueFetch:
        return this.#shardRead(request, reply, "value");
      case Opcode.attach:
      case Opcode.detach:
        reply.send(this.#attachments.handle(request));
        return undefined;
      default:
        return this.#enumerate(request, reply);
    }
  }

  #valueFetch(request: RpcRequest, reply: RpcReply): Promise<void> | undefined {
    this.#counters.fetches += 1;
    const object = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    const { container } = this.#attached(request, object.handle);
    if (isErasureCoded(object.oid)) throw coded();
    if (isRedundant(object.oid)) this.#replication.checkReadable(container, object);
    const result = this.#objects.fetchValue(container, object);
    if (!(result instanceof Promise)) return this.#answerView(result, result.value, 0, reply);
    return result.then((fetched) => this.#answerOwned(fetched, fetched.value, 0, reply));
  }

  #arrayRead(request: RpcRequest, reply: RpcReply): Promise<void> | undefined {
    this.#counters.fetches += 1;
    const object = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    reply.hold(object.recordCount * object.recordBytes);
    const { container } = this.#attached(request, object.handle);
    if (isErasureCoded(object.oid)) throw coded();
    if (isRedundant(object.oid)) this.#replication.checkReadable(container, object);
    const result = this.#objects.readArray(container, object);
    if (!(result instanceof Promise)) return this.#answerView(result, result.bytes, result.recordBytes, reply);
    return result.then((read) => this.#answerOwned(read, read.bytes, read.recordBytes, reply));
  }

  async #shardRead(request: RpcRequest, reply: RpcReply, kind: "array" | "value"): Promise<void> {
    this.#counters.fetches += 1;
    const object = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    reply.hold(kind === "array" ? object.recordCount : 0);
    const { container } = this.#attached(request, object.handle);
    if (!isErasureCoded(object.oid)) throw notCoded();
    this.#replication.checkReadable(container, object);
    const answer = await this.#shardReads.read(container, object, kind);
    const { bytes, error } = answer;
    if (error !== undefined) this.#failed(error, reply);
    else if (bytes.length === 0) reply.send(encodeShardReadReply(answer));
    else reply.send(encodeShardReadReply(answer), bytes, () => this.#payloadBuffers.release(bytes));
  }

  /** `bytes` may be the store's own: answers at once when all that was read is durable, else later with a copy. */
  #answerView(
    outcome: FetchOutcome | ArrayReadOutcome,
    bytes: Uint8Array,
    recordBytes: number,
    reply: RpcReply,
  ): undefined {
    if (this.#isSettled(outcome)) {
      this.#fill(outcome.epoch, bytes.length, recordBytes, outcome.found);
      if (bytes.length < OUTPUT_REFERENCE_BYTES) this.#answerInPlace(bytes, reply);
      else reply.send(this.#encoded(), bytes);
      return;
    }
    const copy = new Uint8Array(bytes);
    this.#whenStable(outcome, reply, () => {
      this.#fill(outcome.epoch, copy.length, recordBytes, outcome.found);
      reply.send(this.#encoded(), copy);
    });
  }

  /** Writes what was filled in, and the bytes behind it, where they leave from. */
  #answerInPlace(bytes: Uint8Array, reply: RpcReply): void {
    const at = reply.start(OBJECT_REPLY_BYTES, bytes.length);
    encodeObjectReply(reply.block, at, this.#reply);
    if (bytes.length > 0) reply.block.set(bytes, at + OBJECT_REPLY_BYTES);
    reply.finish();
  }

  /** `bytes` came from the payload buffers: they are sent as they are, and given back then. */
  #answerOwned(
    outcome: FetchOutcome | ArrayReadOutcome,
    bytes: Uint8Array,
    recordBytes: number,
    reply: RpcReply,
  ): undefined {
    const release = (): void => {
      if (bytes.length > 0) this.#payloadBuffers.release(bytes);
    };
    const answer = (): void => {
      this.#fill(outcome.epoch, bytes.length, recordBytes, outcome.found);
      if (bytes.length === 0) reply.send(this.#encoded());
      else reply.send(this.#encoded(), bytes, release, outcome.checksum);
    };
    this.#whenStable(outcome, reply, answer, release);
  }

  async #enumerate(request: RpcRequest, reply: RpcReply): Promise<void> {
    request.retain();
    const containerOf = (handle: number): number => this.#attached(request, handle).container;
    const enumerated = await this.#enumeration.run(request, containerOf);
    this.#whenStable(enumerated, reply, () => reply.send(encodeEnumerated(enumerated)));
  }

  /** Answers with the outcome's error, after `refused`, or by `answer`, once all the outcome rests on is stable. */
  #whenStable(outcome: Outcome, reply: RpcReply, answer: () => void, refused = (): void => {}): void {
    if (this.#isSettled(outcome)) return answer();
    const settled = (failure: unknown): void => {
      const error = failure ?? outcome.error;
      if (error === undefined) return answer();
      refused();
      this.#failed(error, reply);
    };
    const { reads } = this.#objects;
    let isStable = false;
    this.#store.whenStable(outcome.sequence, (failure) => {
      isStable = true;
      if (failure !== undefined || reads.isDurable) settled(failure);
      else reads.durable().then(() => settled(undefined), settled);
    });
    if (!isStable && isUndecided(outcome.sequence)) this.#replication.ask();
  }

  /** Whether nothing can undo what the answer tells of, nor anything that is written later go before it. */
  #isSettled({ sequence, error }: Outcome): boolean {
    return sequence <= this.#store.durableSequence && error === undefined && this.#objects.reads.isDurable;
  }

  /** The container of a handle, which the request was placed in by the present map. */
  #attached(request: RpcRequest, handle: number): Attachment {
    const attachment = this.#attachments.get(request, handle);
    checkMapVersion(request.mapVersion, attachment.pool);
    return attachment;
  }

  #writable(request: RpcRequest, handle: number): Attachment {
    const attachment = this.#attached(request, handle);
    if (attachment.writable) return attachment;
    throw new DaosError("PERMISSION", "Cannot write: the container was opened read-only. Open it for writing.");
  }

  #fill(epoch: Epoch, lengthBytes: number, recordBytes: number, found: boolean): void {
    const reply = this.#reply;
    reply.epoch = epoch;
    reply.lengthBytes = lengthBytes;
    reply.recordBytes = recordBytes;
    reply.flags = found ? ReplyFlag.found : 0;
  }

  /** What was filled in, as `send` copies it. */
  #encoded(): Buffer {
    encodeObjectReply(this.#record, 0, this.#reply);
    return this.#record;
  }
}

function coded(): DaosError {
  const state = "it is erasure-coded, and one shard has only a part of it";
  return new DaosError("INVALID_ARGUMENT", `Cannot read the object: ${state}. Read its shards.`);
}

function notCoded(): DaosError {
  return new DaosError("INVALID_ARGUMENT", "Cannot read a shard: the object is not erasure-coded. Read it as it is.");
}

/** What an answer rested on was undone: nothing of the request happened. */
function undone(cause: DaosError): DaosError {
  const state = "an update that it rests on was undone when a target was lost";
  return new DaosError("UNAVAILABLE", `Cannot serve the request: ${state}. Send it again.`, { cause });
}
