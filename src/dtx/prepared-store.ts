/** What replication needs of a target's store, in its own words: an update belongs to a dkey. */
import type { ByteString } from "../base/bytes.ts";
import type { Decision, DtxId } from "../base/dtx-id.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { ObjectId } from "../base/object-id.ts";
import { DtxState as AnsweredState } from "../format/dtx-messages.ts";
import type { CellStore, DtxState } from "../store/cell.ts";
import { undecidedSequence } from "../store/stability.ts";
import { containerOf, dkeyPrefixOf, nameOfPrefix, OBJECT_PREFIX_BYTES, objectOfPrefix } from "../vos/cell-key.ts";
import { isTransactionKey, withoutRegion } from "../vos/transaction-cells.ts";

/** A prepared record that is not decided. */
export interface OpenUpdate {
  readonly id: DtxId;
  readonly epoch: Epoch;
  readonly container: number;
  readonly oid: ObjectId;
  readonly dkey: ByteString;
}

export interface PreparedStore {
  /** See CellStore and Transactions for these. */
  whenDurable(sequence: number, callback: (error?: Error) => void): void;
  decide(id: DtxId, decision: Decision): void;
  forget(id: DtxId): void;
  stateOf(id: DtxId): DtxState | undefined;
  /** Epoch of an undecided update. */
  epochOf(id: DtxId): Epoch | undefined;
  /**
   * Calls back when everything that was appended or decided so far is durable; with NO_SPACE while the log is full, with
   * READ_ONLY when the medium failed.
   */
  whenAllDurable(callback: (error?: Error) => void): void;
  /** The same for what was decided. */
  whenDecisionsDurable(callback: (error?: Error) => void): void;
  /** See Transactions.onPersist. */
  onPersist(listener: () => void): void;
  /** Oldest first. */
  openUpdates(): OpenUpdate[];
  /** What is decided and not forgotten. */
  decided(): DtxId[];
}

/** A CellStore as replication sees it. */
export function preparedStore(store: CellStore): PreparedStore {
  const { transactions } = store;
  const logged = (callback: (error?: Error) => void, wait: (sequence: number) => void): void => {
    let sequence: number;
    try {
      sequence = transactions.logDecisions();
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      callback(error);
      return;
    }
    wait(sequence);
  };
  return {
    whenDurable: (sequence, callback) => store.whenDurable(sequence, callback),
    // The store keeps the id and copies it into its log: it must be plain, not an update whose names are getters.
    decide: ({ client, sequence }, decision) => void transactions.decide({ client, sequence }, decision),
    forget: (id) => {
      if (transactions.stateOf(id) !== "prepared") transactions.forget(id);
    },
    stateOf: (id) => transactions.stateOf(id),
    epochOf: (id) => transactions.undecidedRecord(id)?.epoch,
    whenAllDurable: (callback) => logged(callback, () => store.whenDurable(undecidedSequence(0), callback)),
    whenDecisionsDurable: (callback) => logged(callback, (sequence) => store.whenDurable(sequence, callback)),
    onPersist: (listener) => transactions.onPersist(listener),
    openUpdates: () => transactions.undecided().map(({ id, epoch, keys }) => ({ id, epoch, ...placeOf(keys[0]!) })),
    decided: () => transactions.decided(),
  };
}

/** The same with the open updates of some containers only. */
export function storeOfContainers(store: PreparedStore, has: (container: number) => boolean): PreparedStore {
  return { ...store, openUpdates: () => store.openUpdates().filter(({ container }) => has(container)) };
}

/** Objects with redundancy have cells at their dkeys and beneath only, and transactions have some of theirs. */
function placeOf(first: ByteString): { container: number; oid: ObjectId; dkey: ByteString } {
  const key = isTransactionKey(first) ? withoutRegion(first) : first;
  const object = key.slice(0, OBJECT_PREFIX_BYTES);
  return { container: containerOf(key), oid: objectOfPrefix(key), dkey: nameOfPrefix(dkeyPrefixOf(key), object) };
}

/** The state of a transaction as others are told of it. */
export function dtxStateOf(store: Pick<PreparedStore, "stateOf">, id: DtxId): AnsweredState {
  const state = store.stateOf(id);
  return state === undefined ? AnsweredState.unknown : AnsweredState[state];
}
