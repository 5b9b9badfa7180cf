/**
 * The punch of an object with redundancy, as the leader of some of its dkeys does it once the transaction that punches the
 * object is decided: dkey by dkey, each a replicated step at the epoch of the transaction, while the lock keeps everybody
 * else from them. Only when nothing that this target leads is left visible may the lock go.
 *
 * Whoever leads later does what is left: a dkey that is punched is not punched again. Bounded: SWEEP_WINDOW dkeys at a
 * time, one page of keys in memory.
 */
import type { ByteString } from "../base/bytes.ts";
import type { DtxId } from "../base/dtx-id.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { MAX_ENUMERATION_KEYS } from "../base/limits.ts";
import { isErasureCoded, isRedundant, type ObjectId } from "../base/object-id.ts";
import type { Random } from "../contracts/world.ts";
import type { Replication } from "../dtx/replication.ts";
import { DKEY_STEP, type ObjectRequest } from "../format/object-request.ts";
import { encodeTransactionStep, type TransactionStep } from "../format/transaction-part.ts";
import { RequestNumbers } from "../rpc/request-numbers.ts";
import type { CellStore } from "../store/cell.ts";
import { isUndecided, joinSequences } from "../store/stability.ts";
import { stable } from "../vos/durable.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";

/** Dkeys of one object that are punched at once. */
const SWEEP_WINDOW = 16;

export interface ObjectSweepsParts {
  readonly store: CellStore;
  readonly objects: VersionedObjects;
  readonly replication: Replication;
  readonly random: Random;
  /** The clock by which this target gives epochs. */
  readonly now: () => Epoch;
  /** Takes a step that no client asks for; settles when nothing can undo it. */
  readonly runStep: (container: number, object: ObjectRequest, payload: Uint8Array) => Promise<void>;
}

/** Dkeys that are looked at in one turn. */
const SHARD_PAGE_DKEYS = 64;

/** Keys in order, and what it rests on that there are no others between. */
interface Page {
  readonly keys: readonly ByteString[];
  readonly sequence: number;
}

/** An object that a decided transaction punches. */
interface PunchedObject {
  readonly container: number;
  readonly oid: ObjectId;
  readonly id: DtxId;
  /** Of the transaction. */
  readonly epoch: Epoch;
}

export class ObjectSweeps {
  readonly #parts: ObjectSweepsParts;
  /** By container, object and transaction: several leaders' parts of one object may lie here. */
  readonly #running = new Map<string, Promise<void>>();
  #numbers: RequestNumbers | undefined;

  constructor(parts: ObjectSweepsParts) {
    this.#parts = parts;
  }

  /**
   * Before a step: undefined, or settles when the step may be taken: when this target has punched what it leads of the
   * object that the step lets go. Rejects when a dkey could not be punched; those that were stay so.
   */
  before(container: number, { oid, dkey, epoch }: ObjectRequest, step: TransactionStep): Promise<void> | undefined {
    const isPrepare = step.kind === "prepare" && step.part.punchesUnder !== undefined;
    if (isPrepare) return isErasureCoded(oid) ? this.#foldBefore(container, oid) : undefined;
    if (step.kind !== "resolve" || epoch === EPOCH_NONE || !isRedundant(oid)) return undefined;
    const { locks, copies } = this.#parts.objects;
    const part = locks.of(copies.prefixOf(container, oid, dkey))?.part;
    const { client, sequence } = step.id;
    const isPunch = part?.punchesUnder !== undefined && part.id.client === client && part.id.sequence === sequence;
    if (!isPunch) return undefined;
    const name = `${container}/${client}/${sequence}/${oid}`;
    const known = this.#running.get(name);
    if (known !== undefined) return known;
    const sweep = this.#sweep({ container, oid, id: step.id, epoch }).finally(() => this.#running.delete(name));
    this.#running.set(name, sweep);
    return sweep;
  }

  /**
   * Before an erasure-coded object is locked: folds what snapshots show with replicas of the dkeys that this target
   * leads. Once the punch is decided nothing may be in its way that cannot be read. Rejects with UNAVAILABLE.
   */
  async #foldBefore(container: number, oid: ObjectId): Promise<void> {
    const { objects, replication } = this.#parts;
    const snapshot = objects.newestSnapshot(container);
    if (snapshot === EPOCH_NONE) return;
    for await (const { keys } of this.#shardPages(container, oid)) {
      for (const dkey of this.#led({ container, oid }, keys)) {
        await replication.foldBefore(container, { oid, dkey }, { akey: undefined, bytes: undefined }, snapshot);
      }
    }
  }

  #led({ container, oid }: Pick<PunchedObject, "container" | "oid">, keys: readonly ByteString[]): ByteString[] {
    const pool = this.#parts.replication.poolOf(container);
    return keys.filter((dkey) => pool?.groups.groupOf(oid, dkey).leader === pool?.self);
  }

  async #sweep(object: PunchedObject): Promise<void> {
    const { replication, store } = this.#parts;
    const { container, oid } = object;
    const pool = replication.poolOf(container);
    // Members have to know what was decided of what is punched now.
    pool?.leader.flushDecisions();
    const pages = isErasureCoded(oid) ? this.#shardPages(container, oid) : this.#pages(container, oid);
    for await (const { keys, sequence } of pages) {
      await this.#punchAll(object, keys);
      // What is not there may be there again when a punch of before is undone.
      if (isUndecided(sequence)) replication.ask();
      await stable(store, sequence);
    }
  }

  /** Of copies: what is visible. */
  async *#pages(container: number, oid: ObjectId): AsyncGenerator<Page, void, void> {
    for (let after: ByteString | undefined; ;) {
      const request = { oid, limit: MAX_ENUMERATION_KEYS, epoch: EPOCH_NONE, ...(after !== undefined && { after }) };
      const { keys, done, anchor, sequence } = await this.#parts.objects.listDkeys(container, request);
      yield { keys, sequence };
      if (done || anchor === undefined) return;
      after = anchor;
    }
  }

  /** Of erasure code: what may have something visible on any shard. */
  async *#shardPages(container: number, oid: ObjectId): AsyncGenerator<Page, void, void> {
    const { objects } = this.#parts;
    for (let after: string | undefined; ;) {
      const list = objects.copies.list(container, after, SHARD_PAGE_DKEYS, oid);
      let sequence = 0;
      const keys = list.places.flatMap((place) => {
        const held = objects.presenceOf(container, place);
        sequence = joinSequences(sequence, held.sequence);
        return held.isThere ? [place.dkey] : [];
      });
      yield { keys, sequence };
      if (list.after === undefined) return;
      after = list.after;
    }
  }

  async #punchAll(object: PunchedObject, keys: readonly ByteString[]): Promise<void> {
    const left = this.#led(object, keys).toReversed();
    const work = async (): Promise<void> => {
      for (let dkey = left.pop(); dkey !== undefined; dkey = left.pop()) await this.#punch(object, dkey);
    };
    const outcomes = await Promise.allSettled(Array.from({ length: SWEEP_WINDOW }, work));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  async #punch({ container, oid, id, epoch }: PunchedObject, dkey: ByteString): Promise<void> {
    const { replication, random, runStep, now } = this.#parts;
    await replication.fillBefore(container, { oid, dkey });
    const numbers = (this.#numbers ??= new RequestNumbers(random, { now }));
    const sequence = numbers.begin();
    try {
      const { client, firstIncomplete } = numbers;
      const issued = numbers.issued(sequence);
      const object: ObjectRequest = { ...DKEY_STEP, oid, dkey, epoch, client, sequence, firstIncomplete, issued };
      await runStep(container, object, encodeTransactionStep({ kind: "sweep", id }));
    } finally {
      numbers.end(sequence);
    }
  }
}
