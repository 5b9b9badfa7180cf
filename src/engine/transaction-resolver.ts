/**
 * Ends what clients have left of transactions at the dkeys that this target leads. The part of a dkey is resolved by what
 * its primary says; a primary that hears nothing for TRANSACTION_LIFETIME_MS undoes the transaction; a decision that is
 * told to everybody is forgotten. Each is a step as a client would take it, under the number that the client gave it, so
 * that it does not matter who takes it, or whether both do.
 */
import type { DkeyPlace } from "../base/key-place.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import type { DtxId } from "../base/dtx-id.ts";
import { DaosError } from "../base/errors.ts";
import { TRANSACTION_LIFETIME_MS } from "../base/limits.ts";
import type { Clock, Timers } from "../contracts/world.ts";
import type { PoolReplication } from "../dtx/pool-replication.ts";
import type { Replication } from "../dtx/replication.ts";
import { DKEY_STEP, type ObjectRequest } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import {
  decodeStates,
  encodeStateQueries,
  encodeTransactionStep,
  MAX_STATE_QUERIES,
  PREPARED_STATE,
  type StateQuery,
  type TransactionStep,
  UNKNOWN_STATE,
} from "../format/transaction-part.ts";
import type { DkeyLock, HeldDecision } from "../vos/transaction-locks.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import type { UpdateService } from "./update-service.ts";

/** Between two looks, milliseconds; and the least time between two when somebody waits. */
const LOOK_MS = 200;
const HURRIED_LOOK_MS = 20;
/** Age from which the primary of a part is asked, or the others of a decision, milliseconds: clients are faster. */
const ASK_AFTER_MS = 300;
const FORGET_AFTER_MS = 2_000;
const NO_ARGUMENTS = new Uint8Array(0);

export interface TransactionResolverParts {
  readonly objects: VersionedObjects;
  readonly replication: Replication;
  readonly updates: UpdateService;
  readonly timers: Timers;
  readonly clock: Clock;
  /** What dkeys that this target leads know. */
  readonly states: (queries: readonly StateQuery[]) => Promise<number[]>;
}

export class TransactionResolver {
  readonly #parts: TransactionResolverParts;
  /** When each lock and decision was first seen here, milliseconds. */
  readonly #since = new WeakMap<object, number>();
  readonly #busy = new Set<object>();
  #cancel: (() => void) | undefined;
  #isHurried = false;
  #isStopped = false;

  constructor(parts: TransactionResolverParts) {
    this.#parts = parts;
    void this.#watch();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  /** Somebody waits for what is not resolved. */
  hurry(): void {
    if (this.#isHurried) return;
    this.#isHurried = true;
    this.#arm(HURRIED_LOOK_MS);
  }

  async #watch(): Promise<void> {
    const { locks } = this.#parts.objects;
    while (!this.#isStopped) {
      if (locks.size > 0 && this.#cancel === undefined) this.#arm(LOOK_MS);
      await locks.changed();
    }
  }

  #arm(delayMs: number): void {
    if (this.#isStopped) return;
    this.#cancel?.();
    this.#cancel = this.#parts.timers.after(delayMs, () => {
      this.#cancel = undefined;
      this.#look(this.#isHurried);
      this.#isHurried = false;
      if (this.#parts.objects.locks.size > 0 && this.#cancel === undefined) this.#arm(LOOK_MS);
    });
  }

  #look(isHurried: boolean): void {
    const { locks } = this.#parts.objects;
    for (const lock of locks.locks) this.#work(lock, (pool) => this.#lookAtLock(lock, pool, isHurried));
    for (const held of locks.decisions) this.#work(held, (pool) => this.#lookAtDecision(held, pool));
  }

  /** Has `work` see to what this target leads, unless it does already. What fails is tried at the next look. */
  #work(held: DkeyLock | HeldDecision, work: (pool: PoolReplication) => Promise<void>): void {
    if (!this.#since.has(held)) this.#since.set(held, this.#nowMs());
    const pool = this.#parts.replication.poolOf(held.container);
    if (pool === undefined || leaderOf(pool, held) !== pool.self || this.#busy.has(held)) return;
    this.#busy.add(held);
    work(pool)
      .catch((error: unknown) => {
        if (!(error instanceof DaosError)) throw error;
      })
      .finally(() => this.#busy.delete(held));
  }

  #nowMs(): number {
    return this.#parts.clock.monotonicNs() / 1e6;
  }

  #ageMs(held: object): number {
    return this.#nowMs() - this.#since.get(held)!;
  }

  async #lookAtLock(lock: DkeyLock, pool: PoolReplication, isHurried: boolean): Promise<void> {
    const { id, primary, resolveSequence } = lock.part;
    const step = { kind: "resolve", id } as const;
    if (primary === undefined) {
      if (this.#ageMs(lock) > TRANSACTION_LIFETIME_MS) await this.#take(lock, EPOCH_NONE, step, resolveSequence);
      return;
    }
    if (!isHurried && this.#ageMs(lock) < ASK_AFTER_MS) return;
    const [state] = await this.#ask(pool, leaderOf(pool, primary), [{ ...primary, container: lock.container, id }]);
    if (state === PREPARED_STATE) return;
    const epoch = state === UNKNOWN_STATE ? EPOCH_NONE : (state as Epoch);
    await this.#take(lock, epoch, step, resolveSequence);
  }

  async #lookAtDecision(held: HeldDecision, pool: PoolReplication): Promise<void> {
    if (this.#ageMs(held) < FORGET_AFTER_MS) return;
    const { id, participants, forgetSequence } = held.decision;
    for (let first = 0; first < participants.length; first += MAX_STATE_QUERIES) {
      const asked = participants.slice(first, first + MAX_STATE_QUERIES);
      const queries = asked.map((place) => ({ ...place, container: held.container, id }));
      const states = await Promise.all(queries.map((query) => this.#ask(pool, leaderOf(pool, query), [query])));
      if (states.flat().includes(PREPARED_STATE)) return;
    }
    await this.#take(held, EPOCH_NONE, { kind: "forget", id }, forgetSequence);
  }

  async #ask(pool: PoolReplication, leader: number, queries: readonly StateQuery[]): Promise<number[]> {
    if (leader === pool.self) return this.#parts.states(queries);
    const answer = await pool.call(leader, Opcode.transactionState, NO_ARGUMENTS, encodeStateQueries(queries));
    return decodeStates(answer.payload, queries.length);
  }

  #take(
    { container, oid, dkey }: DkeyLock | HeldDecision,
    epoch: Epoch,
    step: TransactionStep & { readonly id: DtxId },
    sequence: number,
  ): Promise<void> {
    const id = { client: step.id.client, sequence, firstIncomplete: 0 };
    const object: ObjectRequest = { ...DKEY_STEP, ...id, oid, dkey, epoch };
    return this.#parts.updates.takeStep(container, object, encodeTransactionStep(step));
  }
}

function leaderOf(pool: PoolReplication, { oid, dkey }: DkeyPlace): number {
  return pool.groups.groupOf(oid, dkey).leader;
}
