/**
 * A dkey's part in transactions over several dkeys (after Percolator: Peng and Dabek, 2010). Each step is one atomic
 * record of the dkey, ordered and replicated as its updates are:
 *
 *   prepare   checks what was read, keeps what is to be written, and locks the dkey: from here on nobody writes it, and
 *             nobody reads it at this epoch or later, until it is resolved
 *   commit    at the primary dkey alone: writes at the epoch of the transaction, unlocks, and keeps the decision
 *   resolve   the same at the others, or, without an epoch, unlocks and writes nothing
 *   forget    drops the decision
 *
 * The part of a transaction that punches an object stands for all dkeys of the object with one leader, and lies at one of
 * them. Without redundancy its end punches what the target has of the object. With redundancy, or while the object moves, it
 * writes nothing: before it the leader has given each of its dkeys a step of its own,
 *
 *   sweep     punches a dkey of an object that the transaction holds, at the epoch of the transaction
 *
 * The epoch of the transaction is not below that of any of its locks. A transaction of which the primary has neither a
 * lock nor a decision did not happen and never will, for a commit needs the lock.
 */
import type { DkeyPlace } from "../base/key-place.ts";
import { type Epoch, EPOCH_NONE } from "../base/epoch.ts";
import type { DtxId } from "../base/dtx-id.ts";
import { isErasureCoded, isRedundant, type ObjectId } from "../base/object-id.ts";
import {
  decodePartWrites,
  encodePartWrites,
  encodeTransactionDecision,
  encodeTransactionPart,
  type PartWrite,
  type TransactionDecision,
  type TransactionStep,
  UNKNOWN_STATE,
} from "../format/transaction-part.ts";
import { type CellWrite, type ExtentRef, VersionKind } from "../store/cell.ts";
import { isUndecided } from "../store/stability.ts";
import { dkeyPrefix, ownCellKey } from "./cell-key.ts";
import {
  encodeObjectMeta,
  NO_META,
  ObjectCellFlag,
  TRANSACTION_DECISION_META,
  TRANSACTION_PART_META,
  TRANSACTION_WRITES_META,
} from "./cell-meta.ts";
import { anythingVisible, LATEST } from "./condition.ts";
import { RECORD_OVERHEAD_BYTES, refusedWrite, type WriteOutcome } from "./single-value.ts";
import { Seen, type TargetObjects } from "./target-objects.ts";
import { changedSince, writeRefusal } from "./transaction-checks.ts";
import { sweptBefore } from "./swept-dkey.ts";
import { decisionKey, partKey, writesKey } from "./transaction-cells.ts";
import { isHeldByOther } from "./transaction-holds.ts";
import { isKept, isSame, type TransactionOutcome, transactionState } from "./transaction-state.ts";
import {
  begunToMove,
  clockBehind,
  lockedByOther,
  notAlone,
  notDecidedHere,
  notPrepared,
  notResolved,
  notSettled,
  undone,
  unknownShard,
  unnamed,
  wrongEpoch,
} from "./transaction-refusals.ts";
import type { TransactionShard } from "./transaction-shard.ts";
import { type Gathered, endBytes, gatheredBytes } from "./transaction-size.ts";
import { type TransactionOperations, TransactionWrites } from "./transaction-writes.ts";
import type { WriteOrder } from "./write-order.ts";

/** A step of a transaction on a dkey. */
export interface TransactionRequest extends DkeyPlace {
  /** See transaction-part.ts. */
  readonly epoch: Epoch;
  readonly order?: WriteOrder | undefined;
  /** Of erasure code. */
  readonly shard?: TransactionShard | undefined;
  /** Of an object without redundancy: it moves to other targets. */
  readonly isMoving?: boolean | undefined;
}

export class Transactions {
  readonly #target: TargetObjects;
  readonly #writes: TransactionWrites;

  constructor(target: TargetObjects, operations: TransactionOperations) {
    this.#target = target;
    this.#writes = new TransactionWrites(operations);
  }

  /**
   * Runs a step; its bytes are not needed once this returns. Rejects as the operations that it is made of, and with
   * CONFLICT (TransactionConflict). The epoch of the outcome is that of the lock (prepare), or of the transaction.
   */
  async step(container: number, request: TransactionRequest, step: TransactionStep): Promise<WriteOutcome> {
    if (request.order === undefined) throw unnamed();
    switch (step.kind) {
      case "prepare":
        return this.#prepare(container, request, step);
      case "commit":
        return this.#resolve(container, request, step.decision.id, step.decision);
      case "resolve":
        return this.#resolve(container, request, step.id, undefined);
      case "sweep":
        return this.#sweep(container, request, step.id);
      case "forget":
        return this.#forget(container, request, step.id);
      default:
        return step satisfies never;
    }
  }

  #prefixOf(container: number, { oid, dkey }: DkeyPlace): string {
    return dkeyPrefix(this.#target.object(container, oid).prefix, dkey);
  }

  async #prepare(
    container: number,
    request: TransactionRequest,
    step: TransactionStep & { kind: "prepare" },
  ): Promise<WriteOutcome> {
    const target = this.#target;
    const { order } = request;
    checkShard(request);
    if (step.part.punchesUnder !== undefined && step.writes.length + step.reads.length > 0) throw notAlone();
    const early = this.#refusal(container, request, step, new Seen());
    if (early !== undefined) return early;
    const bytes = encodePartWrites(step.writes);
    const isInline = bytes.length <= target.inlineBytes(container);
    // It is to be certain now that the record that resolves it can be written.
    const recordBytes = endBytes(step, request, target.threshold(container));
    let extent: ExtentRef | undefined;
    if (!isInline) {
      await target.admit(recordBytes, false);
      extent = await target.store.writeExtent(bytes);
    }
    let isAppended = false;
    try {
      // At the primary the decision is in it, too: the client knows how long that will be.
      const promised = recordBytes + (step.part.primary === undefined ? (step.part.endBytes ?? 0) : 0);
      await target.admitLock(isInline ? Math.max(bytes.length, recordBytes) : recordBytes, promised, order);
      const refusal = this.#refusal(container, request, step, new Seen());
      if (refusal !== undefined) return refusal;
      const locked = { ...step, part: { ...step.part, endBytes: promised } };
      const outcome = this.#lock(container, request, locked, isInline ? { inline: bytes } : { extent: extent! });
      isAppended = true;
      return outcome;
    } finally {
      if (!isAppended && extent !== undefined) target.store.abandonExtent(extent);
    }
  }

  /** The outcome when the dkey is not to be locked, or is already. What follows a leader looks at no reads. */
  #refusal(
    container: number,
    request: TransactionRequest,
    { part, reads, writes }: TransactionStep & { kind: "prepare" },
    seen: Seen,
  ): WriteOutcome | undefined {
    const target = this.#target;
    const prefix = this.#prefixOf(container, request);
    const lock = target.locks.of(prefix);
    if (request.order?.epoch !== undefined) {
      // The leader has resolved what is still locked here: this target has refused that.
      if (lock !== undefined && !isSame(lock.part.id, part.id)) throw notResolved();
      return undefined;
    }
    const version = target.store.get(partKey(prefix), LATEST);
    if (version !== undefined) seen.add(version.sequence);
    if (lock !== undefined && isSame(lock.part.id, part.id)) {
      return { epoch: lock.epoch, sequence: seen.sequence, error: undefined };
    }
    if (lock !== undefined || isHeldByOther(target, prefix, part)) return refusedWrite(lockedByOther(), 0);
    const { oid, dkey, epoch, shard } = request;
    const view = { container, oid, dkey, epoch, shard };
    const error = changedSince(target, view, reads, seen) ?? writeRefusal(target, view, writes, seen);
    return error === undefined ? undefined : refusedWrite(error, seen.sequence);
  }

  #lock(
    container: number,
    request: TransactionRequest,
    { part, writes }: TransactionStep & { kind: "prepare" },
    data: Pick<CellWrite, "inline" | "extent">,
  ): WriteOutcome {
    const target = this.#target;
    const { order } = request;
    const prefix = this.#prefixOf(container, request);
    const epoch = target.writeEpoch(order);
    const kind = VersionKind.value;
    const cells: CellWrite[] = [
      { key: partKey(prefix), epoch, kind, meta: TRANSACTION_PART_META, inline: encodeTransactionPart(part) },
      { key: writesKey(prefix), epoch, kind, meta: TRANSACTION_WRITES_META, ...data },
    ];
    const marked = this.#marked(container, request, writes, epoch);
    if (marked !== undefined) cells.push(marked);
    const sequence = target.append(cells, undefined, epoch, order);
    if (marked !== undefined) target.states.forget();
    target.locks.setLock(prefix, epoch, part);
    return { epoch, sequence, error: undefined };
  }

  /**
   * The object's cell, when it does not say yet what the transaction will make of the object: later its epoch may be
   * behind that of the cell, which all dkeys here share.
   */
  #marked(container: number, { oid }: DkeyPlace, writes: readonly PartWrite[], epoch: Epoch): CellWrite | undefined {
    if (isRedundant(oid)) return undefined;
    const state = this.#target.object(container, oid);
    let flags = state.flags;
    for (const { kind } of writes) {
      if (kind === "write" || kind === "punchRecords") flags |= ObjectCellFlag.arrays;
      if (kind === "punchDkey") flags |= ObjectCellFlag.dkeyPunches;
    }
    if (flags === state.flags) return undefined;
    const meta = encodeObjectMeta(flags, state.punchEpoch);
    return { key: ownCellKey(state.prefix), epoch, kind: VersionKind.value, meta };
  }

  /** Ends the dkey's part: with the writes at the request's epoch, or without them. */
  async #resolve(
    container: number,
    request: TransactionRequest,
    id: DtxId,
    decision: TransactionDecision | undefined,
  ): Promise<WriteOutcome> {
    const target = this.#target;
    const { order } = request;
    if (order?.turn !== undefined) await order.turn;
    const prefix = this.#prefixOf(container, request);
    const lock = target.locks.of(prefix);
    if (lock === undefined || !isSame(lock.part.id, id)) return this.#ended(prefix, id, decision, order);
    const { epoch } = request;
    if (decision !== undefined && (epoch < lock.epoch || decision.epoch !== epoch)) throw wrongEpoch(epoch);
    // It comes from a target with a faster clock, not too fast for the one that committed: ours will be there soon.
    if (order?.epoch === undefined && !target.clock.observe(epoch)) throw clockBehind(epoch);
    const gathered: Gathered = { writes: [], reclaims: [] };
    let isAppended = false;
    try {
      if (epoch !== 0 && lock.part.punchesUnder !== undefined) {
        const isSwept = request.isMoving === true || this.isSwept(container, request.oid, epoch);
        if (decision !== undefined && isSwept) {
          throw isRedundant(request.oid) ? notDecidedHere() : begunToMove();
        }
        if (!isSwept) await this.#writes.gatherObject(container, request, gathered);
      } else if (epoch !== 0) {
        checkShard(request);
        await this.#writes.gather(container, request, await this.#writesOf(prefix), gathered);
      }
      const decided = decision === undefined ? undefined : encodeTransactionDecision(decision);
      await target.admitEnd(gatheredBytes(gathered) + (decided?.length ?? 0));
      if (!isSame(target.locks.of(prefix)?.part.id, id)) return this.#ended(prefix, id, decision, order);
      const outcome = this.#unlock(prefix, request, gathered, decision, decided);
      isAppended = true;
      return outcome;
    } finally {
      if (!isAppended) for (const { extent } of gathered.writes) if (extent) target.store.abandonExtent(extent);
      // The object's cell was not known to be appended, nor in which record.
      if (lock.part.punchesUnder !== undefined) target.states.forget();
    }
  }

  /**
   * Whether a punch of the object at this epoch is made dkey by dkey where the object does not move: with redundancy, or when
   * the object's cell has been written since, to move.
   */
  isSwept(container: number, oid: ObjectId, epoch: Epoch): boolean {
    return isRedundant(oid) || this.#target.object(container, oid).epoch >= epoch;
  }

  /** Punches a dkey with its object. The epochs of what it has are earlier, for the object is held. */
  async #sweep(container: number, request: TransactionRequest, id: DtxId): Promise<WriteOutcome> {
    const target = this.#target;
    const { oid, dkey, order, epoch: at } = request;
    if (order?.turn !== undefined) await order.turn;
    const prefix = this.#prefixOf(container, request);
    const isHeld = (): boolean =>
      [...target.locks.ofObject(prefix)].some(({ part, epoch }) => isSame(part.id, id) && epoch <= at);
    const isLed = order?.epoch !== undefined;
    const gathered: Gathered = { writes: [], reclaims: [] };
    if (isLed) this.#checkSettled(container, { oid, dkey });
    await this.#writes.gather(container, request, [{ kind: "punchDkey" }], gathered);
    await target.admit(gatheredBytes(gathered), true);
    if (!isLed && !isHeld()) throw notPrepared();
    const before = isLed ? undefined : sweptBefore(target, prefix, at);
    if (before) return before;
    const epoch = target.writeEpoch(order, true);
    const sequence = target.append(gathered.writes, gathered.reclaims, epoch, order, "holder");
    return { epoch: at, sequence, error: undefined };
  }

  /** Throws UNAVAILABLE when all of a dkey may be hidden by another attempt to punch it at the same epoch. */
  #checkSettled(container: number, { oid, dkey }: DkeyPlace): void {
    const target = this.#target;
    const state = target.object(container, oid);
    const prefix = dkeyPrefix(state.prefix, dkey);
    const seen = new Seen();
    const floor = target.floor(state, prefix, LATEST, seen);
    const isThere = anythingVisible(target, state, prefix, "dkey", floor, LATEST, seen);
    if (!isThere && isUndecided(seen.sequence)) throw notSettled();
  }

  #unlock(
    prefix: string,
    { epoch: at, order }: TransactionRequest,
    { writes, reclaims }: Gathered,
    decision: TransactionDecision | undefined,
    inline: Uint8Array | undefined,
  ): WriteOutcome {
    const target = this.#target;
    // What is written here from now on is later than the transaction, also after a crash: this record is.
    target.clock.restore(at);
    const epoch = target.writeEpoch(order, true);
    const gone = { epoch, kind: VersionKind.tombstone, meta: NO_META };
    const cells: CellWrite[] = [
      { key: partKey(prefix), ...gone },
      { key: writesKey(prefix), ...gone },
    ];
    const isKept = decision !== undefined && decision.participants.length > 0;
    if (isKept && inline !== undefined) {
      const key = decisionKey(prefix, decision.id);
      cells.push({ key, epoch, kind: VersionKind.value, meta: TRANSACTION_DECISION_META, inline });
    }
    const sequence = target.append([...cells, ...writes], reclaims, epoch, order, "holder");
    target.locks.unlock(prefix);
    if (isKept) target.locks.setDecision(decisionKey(prefix, decision.id), decision);
    return { epoch: at, sequence, error: undefined };
  }

  /** The dkey has no lock of the transaction any more: what that means for who asked to resolve it. */
  #ended(
    prefix: string,
    id: DtxId,
    decision: TransactionDecision | undefined,
    order: WriteOrder | undefined,
  ): WriteOutcome {
    // What its leader has, it has too; else it must not say that it followed.
    if (order?.epoch !== undefined) throw notPrepared();
    const { state, sequence } = transactionState(this.#target, prefix, id);
    if (decision === undefined) return { epoch: EPOCH_NONE, sequence, error: undefined };
    if (state === UNKNOWN_STATE) return refusedWrite(undone(), sequence);
    return { epoch: state as Epoch, sequence, error: undefined };
  }

  async #writesOf(prefix: string): Promise<PartWrite[]> {
    const { store } = this.#target;
    const version = store.get(writesKey(prefix), LATEST);
    if (version?.extent === undefined) return decodePartWrites(version?.inline ?? new Uint8Array(0));
    const { extent } = version;
    const bytes = new Uint8Array(extent.length);
    await store.readExtent(extent, 0, extent.length, bytes);
    return decodePartWrites(bytes);
  }

  async #forget(container: number, request: TransactionRequest, id: DtxId): Promise<WriteOutcome> {
    const target = this.#target;
    const { order } = request;
    if (order?.turn !== undefined) await order.turn;
    await target.admit(RECORD_OVERHEAD_BYTES, true);
    const prefix = this.#prefixOf(container, request);
    const key = decisionKey(prefix, id);
    if (!isKept(target.store.get(key, LATEST)?.kind) && order?.epoch === undefined) {
      return this.#ended(prefix, id, undefined, order);
    }
    const epoch = target.writeEpoch(order);
    const cells = [{ key, epoch, kind: VersionKind.tombstone, meta: NO_META }];
    const sequence = target.append(cells, undefined, epoch, order);
    target.locks.forget(key);
    return { epoch, sequence, error: undefined };
  }

  /** What the dkey knows of a transaction. Nothing of it may be told before `sequence` is stable. */
  stateOf(container: number, place: DkeyPlace, id: DtxId): TransactionOutcome {
    return transactionState(this.#target, this.#prefixOf(container, place), id);
  }
}

/** Throws when nobody has said which shard of an erasure-coded dkey this target has: its writes are shared out. */
function checkShard({ oid, shard }: TransactionRequest): void {
  if (isErasureCoded(oid) !== (shard !== undefined)) throw unknownShard();
}
