/**
 * Updates and punches of one target: in order among the others of their redundancy group, once however often they are
 * sent, and answered when nothing can undo them. Part of the data path (target-service.ts).
 */
import type { DtxId } from "../base/dtx-id.ts";
import { type Epoch, EPOCH_NONE } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { isErasureCoded, isRedundant } from "../base/object-id.ts";
import type { LedUpdate } from "../dtx/led-update.ts";
import type { RunUpdate } from "../dtx/group-follower.ts";
import type { Replication } from "../dtx/replication.ts";
import { type ArrayShare, receivedParts } from "../dtx/shard-parts.ts";
import {
  decodeObjectRequest,
  encodeObjectReply,
  OBJECT_REPLY_BYTES,
  ObjectFlag,
  type ObjectRequest,
} from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import type { PreparedPart } from "../format/prepare-request.ts";
import { decodeStagedPayload, type StagedPayload, type StagedShard } from "../format/staged-payload.ts";
import { decodeTransactionStep, type TransactionStep } from "../format/transaction-part.ts";
import type { Random } from "../contracts/world.ts";
import type { RpcReply, RpcRequest } from "../rpc/request.ts";
import type { CellStore } from "../store/cell.ts";
import { DtxMap } from "../store/dtx-map.ts";
import { isUndecided } from "../store/stability.ts";
import type { WriteOutcome } from "../vos/single-value.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import type { WriteOrder } from "../vos/write-order.ts";
import type { Attachment } from "./attachments.ts";
import { ErasureUpdates } from "./erasure-updates.ts";
import { ObjectSweeps, type ObjectSweepsParts } from "./object-sweeps.ts";
import { OwnSteps } from "./own-steps.ts";
import type { QuotaTable } from "./quota.ts";
import type { StageService } from "./stage-service.ts";
import { runOperation } from "./update-operation.ts";
import {
  checkStep,
  dkeyByDkey,
  forgottenRequest,
  notStageable,
  oldRequest,
  sentTwice,
  unnamed,
} from "./update-refusals.ts";

/** What a small write takes in the log beside its value and keys, at most: the records of two cells and a header. */
const RECORD_OVERHEAD_BYTES = 512;

export interface UpdateServiceParts {
  readonly store: CellStore;
  readonly objects: VersionedObjects;
  readonly quotas: QuotaTable;
  readonly random: Random;
  /** The clock by which this target gives epochs. */
  readonly now: () => Epoch;
  /** Absent where no object has more than one copy. */
  readonly replication?: Replication | undefined;
  /** The container that the request may write to. Throws STALE or PERMISSION. */
  readonly writable: (request: RpcRequest, handle: number) => Attachment;
  readonly failed: (error: unknown, reply: RpcReply) => void;
}

/** An update with all that its steps need. */
interface Update {
  readonly request: RpcRequest;
  readonly object: OrderedRequest;
  readonly container: number;
  readonly led: LedUpdate | undefined;
  readonly reply: RpcReply;
  /** The payload is a record of this, which the members have staged; undefined: it has the bytes. */
  readonly staged: StagedPayload | undefined;
}

type OrderedRequest = ObjectRequest & {
  order?: WriteOrder | undefined;
  /** See TransactionRequest. */
  isMoving?: boolean | undefined;
};

export class UpdateService {
  readonly #parts: UpdateServiceParts;
  readonly #erasure: ErasureUpdates | undefined;
  /** Replies to the same request sent again while it runs. */
  readonly #running = new DtxMap<RpcReply[]>();
  readonly #stages: StageService | undefined;
  readonly #sweeps: ObjectSweeps | undefined;
  readonly #steps: OwnSteps;
  readonly counters = { updates: 0, punches: 0 };

  constructor(parts: UpdateServiceParts, stages: StageService | undefined) {
    this.#parts = parts;
    this.#stages = stages;
    const { objects, replication } = parts;
    if (replication !== undefined) this.#erasure = new ErasureUpdates({ objects, replication });
    this.#steps = new OwnSteps(parts, this.#erasure);
    if (replication === undefined) return;
    const runStep: ObjectSweepsParts["runStep"] = (...step) => this.#steps.run(...step);
    this.#sweeps = new ObjectSweeps({ ...parts, replication, runStep });
  }

  /** Runs a write or punch. What it returns settles when the request's payload is no longer needed; at once: undefined. */
  handle(request: RpcRequest, reply: RpcReply): Promise<void> | undefined {
    const object: OrderedRequest = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    const { container, quota } = this.#parts.writable(request, object.handle);
    if (object.sequence !== 0 && this.#isKnown(object, container, reply)) return undefined;
    const staged = this.#stagedPayload(request, object);
    const isWrite = request.opcode === Opcode.valueUpdate || request.opcode === Opcode.arrayWrite;
    if (isWrite) {
      this.counters.updates += 1;
      this.#parts.quotas.charge(quota, recordBytes(request, object));
    } else if (request.opcode !== Opcode.transactionStep) this.counters.punches += 1;
    const step = request.opcode === Opcode.transactionStep ? decodeTransactionStep(request.payload) : undefined;
    if (step !== undefined) checkStep(step, this.#parts.replication?.poolOf(container)?.groups.mapVersion);
    // Only what takes space for long is refused for want of it.
    if (step?.kind === "prepare") this.#parts.quotas.charge(quota, recordBytes(request, object));
    const before = this.#before(container, object, step);
    const update: Update = { request, object, container, led: undefined, reply, staged };
    if (before === undefined) return this.#begin(update, isWrite);
    request.retain();
    return this.#track(
      update,
      before.then(() => this.#begin(update, isWrite)),
    );
  }

  /** What has to be done before the update takes its place; undefined: nothing. */
  #before(container: number, object: ObjectRequest, step: TransactionStep | undefined): Promise<void> | undefined {
    const { replication } = this.#parts;
    const isLed = isRedundant(object.oid) || replication?.movesSingle(container, object.oid) === true;
    const filling = isLed ? replication?.fillBefore(container, object) : undefined;
    if (step === undefined) return filling;
    if (filling === undefined) return this.#sweeps?.before(container, object, step);
    return filling.then(() => this.#sweeps?.before(container, object, step));
  }

  /** What the payload tells of staged bytes; takes the flag from the conditions. Bytes that came before are of no use without. */
  #stagedPayload(request: RpcRequest, object: OrderedRequest): StagedPayload | undefined {
    if ((object.flags & ObjectFlag.staged) === 0) {
      if (object.sequence !== 0) this.#stages?.drop(object);
      return undefined;
    }
    object.flags &= ~ObjectFlag.staged;
    const isWrite = request.opcode === Opcode.valueUpdate || request.opcode === Opcode.arrayWrite;
    const staged = decodeStagedPayload(request.payload);
    const isCopied = !isErasureCoded(object.oid);
    if (!isWrite || !isRedundant(object.oid) || (isCopied && staged.shards[0]!.lengthBytes === 0)) throw notStageable();
    return staged;
  }

  #begin(unordered: Update, isWrite: boolean): Promise<void> | undefined {
    const { request, object, container } = unordered;
    const { replication } = this.#parts;
    if (this.#isPlanned(object)) {
      request.retain();
      const planned = this.#runPlanned(unordered);
      replication?.track(container, planned);
      return this.#track(unordered, planned);
    }
    const led = this.#order(unordered);
    const update: Update = { ...unordered, led };
    const running = isWrite ? this.#admit(update) : this.#run(update);
    if (running !== undefined) {
      replication?.track(container, running);
      if (led !== undefined) {
        // The members are sent it later.
        request.retain();
        led.moved(request.payload);
      }
    }
    const tracked = running === undefined ? undefined : this.#track(update, running);
    return led === undefined || request.payloadBuffer === undefined ? tracked : this.#untilSent(led, tracked);
  }

  /**
   * Whether the payload is copied into the log within the turn, or elsewhere when it has to wait there. Another one must be
   * retained: what is stored or sent later must not lie in the connection's receive buffer.
   */
  #isStoredInTurn(opcode: number, container: number, payloadLength: number): boolean {
    if (opcode !== Opcode.arrayWrite && opcode !== Opcode.valueUpdate) return false;
    return payloadLength <= this.#parts.objects.inlineBytes(container);
  }

  /** Gives the update its place. */
  #order({ request, object, container, staged }: Update): LedUpdate | undefined {
    const { opcode } = request;
    const { replication } = this.#parts;
    if (!isRedundant(object.oid) && replication?.movesSingle(container, object.oid) === true) {
      if (opcode === Opcode.objectPunch) throw dkeyByDkey();
      object.isMoving = true;
    }
    if (replication?.isLed(container, object.oid, object) !== true) {
      if (object.sequence !== 0) object.order = { origin: object, isPrepared: false, epoch: undefined };
      return undefined;
    }
    if (object.sequence === 0) throw unnamed();
    const isSentLater = staged !== undefined || !this.#isStoredInTurn(opcode, container, request.payloadLength);
    if (isSentLater) request.retain();
    const payload = request.payloadLength === 0 ? undefined : request.payload;
    const led = replication.begin({ container, opcode, object, payload, staged });
    object.order = led;
    return led;
  }

  /** Answers a request that was sent before. */
  #isKnown(object: ObjectRequest, container: number, reply: RpcReply): boolean {
    const open = this.#parts.replication?.openUpdate(container, object);
    if (open !== undefined) {
      open.whenDecided((error) => this.#answer(error, open.givenEpoch, reply));
      return true;
    }
    const running = this.#running.get(object);
    if (running !== undefined) {
      running.push(reply);
      return true;
    }
    const { store } = this.#parts;
    const completed = store.requests.completed(object, object.firstIncomplete);
    if (completed === undefined) {
      if ((object.issued ?? EPOCH_NONE) < store.requests.forgottenTo) throw forgottenRequest(object);
      return false;
    }
    if (completed === "old") throw oldRequest(object);
    store.whenStable(completed.sequence, (error) => this.#answer(error, completed.epoch, reply));
    return true;
  }

  /** While an update runs on behind this turn, the same one sent again waits for it. */
  async #track({ object }: Pick<Update, "object">, running: Promise<void>): Promise<void> {
    if (object.sequence === 0) return running;
    const others: RpcReply[] = [];
    this.#running.add(object, others);
    try {
      await running;
    } finally {
      this.#running.delete(object);
      // What the first one was told is found in the store, or it did not happen.
      for (const reply of others) reply.fail(sentTwice());
    }
  }

  /** Settles when neither this target nor a call to another one needs the payload. */
  async #untilSent(led: LedUpdate, running: Promise<void> | undefined): Promise<void> {
    await running;
    if (led.isAppended && led.isPrepared) await new Promise<void>((resolve) => led.whenDone(resolve));
  }

  /** As the others, once its parts are known; keeps the dkey until it is decided. */
  async #runPlanned(unordered: Update): Promise<void> {
    const { request, object, container, staged } = unordered;
    if (object.sequence === 0) throw unnamed();
    const { opcode } = request;
    const payload = request.payloadLength === 0 ? undefined : request.payload;
    const { led, unlock } = await this.#erasure!.begin(opcode, container, object, payload, staged);
    try {
      object.order = led;
      await this.#untilSent(led, this.#run({ ...unordered, led }));
    } finally {
      if (led.isAppended) led.whenDecided(unlock);
      else unlock();
    }
  }

  #admit(update: Update): Promise<void> | undefined {
    const { request, object, container } = update;
    const { objects, store } = this.#parts;
    // What the store may need after this turn must not lie in the connection's receive buffer. Small writes are stored
    // within the turn unless the log is full: then they wait here, with a copy.
    if (request.payloadLength > objects.inlineBytes(container)) request.retain();
    else {
      const wait = store.admit(recordBytes(request, object));
      if (wait !== undefined) {
        request.retain();
        return wait.then(() => this.#run(update));
      }
    }
    return this.#run(update);
  }

  #run(update: Update): Promise<void> | undefined {
    const result = this.#ownShare(update);
    if (!(result instanceof Promise)) return this.#ran(update, result);
    return result.then((outcome) => this.#ran(update, outcome));
  }

  /** Runs what a leader has ordered. See RunUpdate. */
  prepared(...[{ opcode, container, object, parts }, message, order]: Parameters<RunUpdate>): ReturnType<RunUpdate> {
    if ((object.flags & ObjectFlag.staged) !== 0) {
      const { shards } = decodeStagedPayload(message.payload as Buffer);
      const update = { ...object, flags: 0, order };
      return this.#takeStaged(opcode, container, update, order.origin, parts, shards[0]!);
    }
    this.#stages?.drop(order.origin);
    if (parts !== undefined || !this.#isStoredInTurn(opcode, container, message.payloadLength)) message.retain();
    const { payload } = message;
    if (parts !== undefined) {
      if (this.#erasure === undefined)
        throw new DaosError("UNSUPPORTED", "Cannot prepare parts: nothing is shared here.");
      return this.#erasure.apply(container, { ...object, order }, receivedParts(parts, payload));
    }
    // Nobody follows in updates of objects without redundancy unless they move.
    const isMoving = !isRedundant(object.oid);
    return this.#apply(opcode, container, { ...object, order, isMoving }, payload);
  }

  #apply(
    opcode: number,
    container: number,
    object: OrderedRequest,
    payload: Uint8Array,
    shares?: ArrayShare[],
  ): WriteOutcome | Promise<WriteOutcome> {
    const shard = this.#erasure?.shardOf(container, object.oid, object.order, shares);
    return runOperation(this.#parts.objects, opcode, container, { ...object, shard }, payload);
  }

  /** Makes the update of what the client has staged here. Throws NOT_STAGED. */
  #takeStaged(
    opcode: number,
    container: number,
    object: OrderedRequest,
    id: DtxId,
    parts: readonly PreparedPart[] | undefined,
    shard: StagedShard,
  ): WriteOutcome | Promise<WriteOutcome> {
    if (this.#stages === undefined)
      throw new DaosError("NOT_STAGED", "Cannot make the update: nothing is staged here.");
    return this.#stages.take(id, { container, opcode, object, parts, shard }).write(object);
  }

  #ownShare({ request, object, container, led }: Update): WriteOutcome | Promise<WriteOutcome> {
    const parts = led?.ownParts;
    const shard = led?.ownStaged;
    if (shard !== undefined) return this.#takeStaged(request.opcode, container, object, object, parts, shard);
    if (parts !== undefined) return this.#erasure!.apply(container, object, parts);
    return this.#apply(request.opcode, container, object, led?.payload ?? request.payload, led?.arrayShares);
  }

  #ran({ led, reply }: Update, outcome: WriteOutcome): undefined {
    const { store, replication } = this.#parts;
    if (led?.isAppended === true) {
      led.whenDecided((error) => this.#answer(error, outcome.epoch, reply));
      return;
    }
    let isAnswered = false;
    store.whenStable(outcome.sequence, (error) => {
      isAnswered = true;
      this.#answer(error ?? outcome.error, outcome.epoch, reply);
    });
    if (!isAnswered && isUndecided(outcome.sequence)) replication?.ask();
  }

  /** Takes a step of a transaction that no client asks for now, under its number; settles when nothing can undo it. */
  async takeStep(container: number, object: ObjectRequest, payload: Uint8Array): Promise<void> {
    const isUnderWay = this.#parts.replication?.openUpdate(container, object) !== undefined;
    if (isUnderWay || this.#running.get(object) !== undefined) return;
    const swept = this.#before(container, object, decodeTransactionStep(payload));
    const running = async (): Promise<void> => {
      if (swept !== undefined) await swept;
      await this.#steps.run(container, object, payload);
    };
    await this.#track({ object }, running());
  }

  #isPlanned({ oid }: ObjectRequest): boolean {
    return this.#erasure !== undefined && isErasureCoded(oid);
  }

  #answer(error: Error | undefined, epoch: Epoch, reply: RpcReply): void {
    if (error !== undefined) {
      this.#parts.failed(error, reply);
      return;
    }
    const at = reply.start(OBJECT_REPLY_BYTES, 0);
    encodeObjectReply(reply.block, at, { epoch, lengthBytes: 0, recordBytes: 0, flags: 1 });
    reply.finish();
  }
}

function recordBytes({ payloadLength }: RpcRequest, { dkey, akey }: ObjectRequest): number {
  return payloadLength + RECORD_OVERHEAD_BYTES + 2 * (dkey.length + akey.length);
}
