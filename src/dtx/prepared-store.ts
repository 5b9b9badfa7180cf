/** What replication needs of a target's store, in its own words: an update belongs to a dkey. */
import type { ByteString } from "../base/bytes.ts";
import type { Decision, DtxId } from "../base/dtx-id.ts";
import type { Epoch } from "../base/epoch.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { CellStore, DtxState } from "../store/cell.ts";
import { containerOf, dkeyPrefixOf, nameOfPrefix, OBJECT_PREFIX_BYTES, objectOfPrefix } from "../vos/cell-key.ts";

/** A prepared record that somebody may still ask for: not decided, or not forgotten. */
export interface OpenUpdate {
  readonly id: DtxId;
  readonly state: DtxState;
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
  logDecisions(): number;
  /** Oldest first. */
  openUpdates(): OpenUpdate[];
}

/** A CellStore as replication sees it. */
export function preparedStore(store: CellStore): PreparedStore {
  const { transactions } = store;
  return {
    whenDurable: (sequence, callback) => store.whenDurable(sequence, callback),
    // The store keeps the id and copies it into its log: it must be plain, not an update whose names are getters.
    decide: ({ client, sequence }, decision) => void transactions.decide({ client, sequence }, decision),
    forget: (id) => {
      if (transactions.stateOf(id) !== "prepared") transactions.forget(id);
    },
    stateOf: (id) => transactions.stateOf(id),
    logDecisions: () => transactions.logDecisions(),
    openUpdates: () =>
      transactions.undecided().map(({ id, epoch, keys }) => ({ id, state: "prepared", epoch, ...placeOf(keys[0]!) })),
  };
}

/** Objects with redundancy have cells at their dkeys and beneath only. */
function placeOf(key: ByteString): { container: number; oid: ObjectId; dkey: ByteString } {
  const object = key.slice(0, OBJECT_PREFIX_BYTES);
  return { container: containerOf(key), oid: objectOfPrefix(key), dkey: nameOfPrefix(dkeyPrefixOf(key), object) };
}
