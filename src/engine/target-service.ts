/**
 * The data path of one target: decodes each object operation, runs it on the versioned objects, and answers once
 * everything the answer tells of is durable. One instance a target thread; the connections call `handle`.
 *
 * Guarantees: no answer speaks of a record that a crash could still undo, also no failed condition does; a container that
 * the connection did not attach is never touched.
 */
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import {
  decodeObjectRequest,
  encodeObjectReply,
  OBJECT_REPLY_BYTES,
  type ObjectReply,
  type ObjectRequest,
  ReplyFlag,
} from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import { OUTPUT_REFERENCE_BYTES } from "../rpc/output-queue.ts";
import type { PayloadBuffers } from "../rpc/payload-buffers.ts";
import type { RpcHandler, RpcPeer, RpcReply, RpcRequest } from "../rpc/request.ts";
import type { CellStore } from "../store/cell.ts";
import type { ArrayReadOutcome } from "../vos/array-read.ts";
import { type FetchOutcome, NO_BYTES, type Outcome, type WriteOutcome } from "../vos/single-value.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import type { AttachmentTable } from "./attachment-table.ts";
import type { Attachment } from "./attachments.ts";
import { encodeEnumerated, type EnumerationService } from "./enumeration-service.ts";
import type { QuotaTable } from "./quota.ts";

/** What a small write takes in the log beside its value and keys, at most: the records of two cells and a header. */
const RECORD_OVERHEAD_BYTES = 512;

/**
 * Called with each update and punch that may happen, before it commits: where the leader of a redundancy group prepares
 * the update on the other shards. It goes on when the promise resolves, at once on undefined, and not at all when it
 * rejects. `request` stays valid until then.
 */
export type BeforeCommit = (request: RpcRequest, object: ObjectRequest, container: number) => undefined | Promise<void>;

export interface TargetServiceParts {
  readonly store: CellStore;
  readonly objects: VersionedObjects;
  readonly attachments: AttachmentTable;
  readonly quotas: QuotaTable;
  readonly enumeration: EnumerationService;
  /** Where large payloads were received; they go back when written. */
  readonly payloadBuffers: PayloadBuffers;
  /** The pool map that requests must have been placed by. */
  readonly mapVersion: number;
  /** Absent where a group has one shard. */
  readonly beforeCommit?: BeforeCommit;
}

export class TargetService implements RpcHandler {
  readonly counters = { requests: 0, failures: 0, fetches: 0, updates: 0, punches: 0 };
  readonly #store: CellStore;
  readonly #objects: VersionedObjects;
  readonly #attachments: AttachmentTable;
  readonly #quotas: QuotaTable;
  readonly #enumeration: EnumerationService;
  readonly #payloadBuffers: PayloadBuffers;
  readonly #mapVersion: number;
  readonly #beforeCommit: BeforeCommit | undefined;
  /** Reply records are copied by `send`, so one serves all. */
  readonly #record = Buffer.alloc(OBJECT_REPLY_BYTES);
  readonly #reply: ObjectReply = { epoch: 0 as Epoch, lengthBytes: 0, recordBytes: 0, flags: 0 };

  constructor(parts: TargetServiceParts) {
    this.#store = parts.store;
    this.#objects = parts.objects;
    this.#attachments = parts.attachments;
    this.#quotas = parts.quotas;
    this.#enumeration = parts.enumeration;
    this.#payloadBuffers = parts.payloadBuffers;
    this.#mapVersion = parts.mapVersion;
    this.#beforeCommit = parts.beforeCommit;
  }

  /** Runs one request; every path ends in exactly one `reply.send` or `reply.fail`. */
  handle(request: RpcRequest, reply: RpcReply): void {
    this.counters.requests += 1;
    try {
      if (request.mapVersion !== this.#mapVersion && request.mapVersion !== 0)
        throw staleMap(request, this.#mapVersion);
      const pending = this.#dispatch(request, reply);
      if (pending === undefined) this.#releasePayload(request);
      else this.#await(pending, request, reply);
    } catch (error) {
      this.#releasePayload(request);
      this.#failed(error, reply);
    }
  }

  #await(pending: Promise<void>, request: RpcRequest, reply: RpcReply): void {
    void pending.then(
      () => this.#releasePayload(request),
      (error: unknown) => {
        this.#releasePayload(request);
        this.#failed(error, reply);
      },
    );
  }

  #releasePayload(request: RpcRequest): void {
    if (request.payloadBuffer !== undefined) this.#payloadBuffers.release(request.payloadBuffer);
  }

  connectionClosed(connection: RpcPeer): void {
    this.#attachments.connectionClosed(connection);
  }

  #failed(error: unknown, reply: RpcReply): void {
    if (!(error instanceof DaosError)) throw error;
    this.counters.failures += 1;
    reply.fail(error);
  }

  #dispatch(request: RpcRequest, reply: RpcReply): Promise<void> | undefined {
    switch (request.opcode) {
      case Opcode.valueFetch:
        return this.#valueFetch(request, reply);
      case Opcode.arrayRead:
        return this.#arrayRead(request, reply);
      case Opcode.valueUpdate:
      case Opcode.arrayWrite:
        return this.#write(request, reply);
      case Opcode.arrayPunch:
      case Opcode.objectPunch:
      case Opcode.dkeyPunch:
      case Opcode.akeyPunch:
        return this.#punch(request, reply);
      case Opcode.attach:
      case Opcode.detach:
        reply.send(this.#attachments.handle(request));
        return undefined;
      default:
        return this.#enumerate(request, reply);
    }
  }

  #valueFetch(request: RpcRequest, reply: RpcReply): Promise<void> | undefined {
    this.counters.fetches += 1;
    const object = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    const result = this.#objects.fetchValue(this.#attachments.get(request, object.handle).container, object);
    if (!(result instanceof Promise)) return this.#answerView(result, result.value, 0, reply);
    return result.then((fetched) => this.#answerOwned(fetched, fetched.value, 0, reply));
  }

  #arrayRead(request: RpcRequest, reply: RpcReply): Promise<void> | undefined {
    this.counters.fetches += 1;
    const object = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    reply.hold(object.recordCount * object.recordBytes);
    const result = this.#objects.readArray(this.#attachments.get(request, object.handle).container, object);
    if (!(result instanceof Promise)) return this.#answerView(result, result.bytes, result.recordBytes, reply);
    return result.then((read) => this.#answerOwned(read, read.bytes, read.recordBytes, reply));
  }

  /** `bytes` may be the store's own: answers at once when all that was read is durable, else later with a copy. */
  #answerView(
    outcome: FetchOutcome | ArrayReadOutcome,
    bytes: Uint8Array,
    recordBytes: number,
    reply: RpcReply,
  ): undefined {
    if (outcome.sequence <= this.#store.durableSequence && outcome.error === undefined) {
      this.#fill(outcome.epoch, bytes.length, recordBytes, outcome.found);
      if (bytes.length < OUTPUT_REFERENCE_BYTES) this.#answerInPlace(bytes, reply);
      else reply.send(this.#encoded(), bytes);
      return;
    }
    const copy = Uint8Array.from(bytes);
    this.#whenDurable(outcome, reply, () => {
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
    this.#whenDurable(outcome, reply, () => {
      this.#fill(outcome.epoch, bytes.length, recordBytes, outcome.found);
      if (bytes.length === 0) reply.send(this.#encoded());
      else reply.send(this.#encoded(), bytes, () => this.#payloadBuffers.release(bytes), outcome.checksum);
    });
  }

  #write(request: RpcRequest, reply: RpcReply): Promise<void> | undefined {
    this.counters.updates += 1;
    const object = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    const attachment = this.#writable(request, object.handle);
    const recordBytes = request.payloadLength + RECORD_OVERHEAD_BYTES + 2 * (object.dkey.length + object.akey.length);
    this.#quotas.charge(attachment.quota, recordBytes);
    const prepared = this.#prepare(request, object, attachment.container);
    if (prepared !== undefined)
      return prepared.then(() => this.#admit(request, object, attachment, recordBytes, reply));
    return this.#admit(request, object, attachment, recordBytes, reply);
  }

  #prepare(request: RpcRequest, object: ObjectRequest, container: number): undefined | Promise<void> {
    if (this.#beforeCommit === undefined) return undefined;
    request.retain();
    return this.#beforeCommit(request, object, container);
  }

  #admit(
    request: RpcRequest,
    object: ObjectRequest,
    attachment: Attachment,
    recordBytes: number,
    reply: RpcReply,
  ): Promise<void> | undefined {
    // What the store may need after this turn must not lie in the connection's receive buffer. Small writes are stored
    // within the turn unless the log is full: then they wait here, with a copy.
    if (request.payloadLength > this.#objects.inlineBytes(attachment.container)) request.retain();
    else {
      const wait = this.#store.admit(recordBytes);
      if (wait !== undefined) {
        request.retain();
        return wait.then(() => this.#apply(request, object, attachment, reply));
      }
    }
    return this.#apply(request, object, attachment, reply);
  }

  #apply(
    request: RpcRequest,
    object: ObjectRequest,
    attachment: Attachment,
    reply: RpcReply,
  ): Promise<void> | undefined {
    const result =
      request.opcode === Opcode.valueUpdate
        ? this.#objects.updateValue(attachment.container, object, request.payload)
        : this.#objects.writeArray(attachment.container, object, request.payload);
    if (!(result instanceof Promise)) return this.#answerWrite(result, reply);
    return result.then((written) => this.#answerWrite(written, reply));
  }

  #punch(request: RpcRequest, reply: RpcReply): Promise<void> | undefined {
    this.counters.punches += 1;
    const object = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    const { container } = this.#writable(request, object.handle);
    const prepared = this.#prepare(request, object, container);
    if (prepared !== undefined) return prepared.then(() => this.#applyPunch(request, object, container, reply));
    return this.#applyPunch(request, object, container, reply);
  }

  #applyPunch(
    request: RpcRequest,
    object: ObjectRequest,
    container: number,
    reply: RpcReply,
  ): Promise<void> | undefined {
    const result = this.#punchAt(request.opcode, container, object);
    if (result instanceof Promise) return result.then((written) => this.#answerWrite(written, reply));
    return this.#answerWrite(result, reply);
  }

  #punchAt(opcode: number, container: number, object: ObjectRequest): WriteOutcome | Promise<WriteOutcome> {
    if (opcode === Opcode.objectPunch) return this.#objects.punchObject(container, object);
    if (opcode === Opcode.dkeyPunch) return this.#objects.punchDkey(container, object);
    if (opcode === Opcode.akeyPunch) return this.#objects.punchAkey(container, object);
    return this.#objects.punchArray(container, object);
  }

  async #enumerate(request: RpcRequest, reply: RpcReply): Promise<void> {
    request.retain();
    const containerOf = (handle: number): number => this.#attachments.get(request, handle).container;
    const enumerated = await this.#enumeration.run(request, containerOf);
    this.#whenDurable(enumerated, reply, () => reply.send(encodeEnumerated(enumerated)));
  }

  #answerWrite(written: WriteOutcome, reply: RpcReply): undefined {
    this.#store.whenDurable(written.sequence, (failure) => {
      const error = failure ?? written.error;
      if (error !== undefined) return this.#failed(error, reply);
      this.#fill(written.epoch, 0, 0, true);
      this.#answerInPlace(NO_BYTES, reply);
    });
  }

  /** Answers with the outcome's error or by `answer`, once all the outcome rests on is durable. */
  #whenDurable(outcome: Outcome, reply: RpcReply, answer: () => void): void {
    if (outcome.error === undefined && outcome.sequence <= this.#store.durableSequence) return answer();
    this.#store.whenDurable(outcome.sequence, (failure) => {
      const error = failure ?? outcome.error;
      if (error === undefined) answer();
      else this.#failed(error, reply);
    });
  }

  #writable(request: RpcRequest, handle: number): Attachment {
    const attachment = this.#attachments.get(request, handle);
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

function staleMap(request: RpcRequest, mapVersion: number): DaosError {
  return new DaosError(
    "STALE",
    `Cannot serve the request: it was placed by pool map ${request.mapVersion}, the target has ${mapVersion}. ` +
      "Open the container again.",
  );
}
