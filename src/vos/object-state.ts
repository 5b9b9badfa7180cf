/**
 * What is remembered of each object between operations, so that objects that were never punched cost no lookups: the
 * latest version of its object cell. Bounded: the least recently used half is forgotten when the cache is full, and read
 * again from the store when needed, and all are when a record was aborted. A state must not be kept across an await: ask again.
 */
import { EPOCH_MAX, type Epoch } from "../base/epoch.ts";
import { isRedundant, type ObjectId } from "../base/object-id.ts";
import { type CellStore, VersionKind } from "../store/cell.ts";
import { ownCellKey } from "./cell-key.ts";
import { ObjectCellFlag, objectMetaFlags, objectMetaPunchEpoch } from "./cell-meta.ts";
import type { ContainerState } from "./snapshots.ts";

/** Objects remembered, at most. */
export const MAX_OBJECT_STATES = 65_536;

export interface ObjectState {
  readonly container: ContainerState;
  readonly oid: ObjectId;
  /** Prefix of the object's cells. */
  readonly prefix: string;
  /** Epoch of the newest version of the object cell; 0 when it has none, then the rest is 0 too. */
  epoch: number;
  /** Epoch of the newest punch of the object. */
  punchEpoch: number;
  /** ObjectCellFlag. */
  flags: number;
  /** Sequence of that version. */
  sequence: number;
}

/**
 * An object with redundancy has no cell of its own, for its dkeys are in groups whose leaders do not know of each other:
 * it counts as holding arrays and punched dkeys, and is punched dkey by dkey.
 */
const REDUNDANT_STATE = { epoch: 1, flags: ObjectCellFlag.arrays | ObjectCellFlag.dkeyPunches };

export class ObjectStates {
  readonly #store: CellStore;
  readonly #half: number;
  #young = new Map<string, ObjectState>();
  #old = new Map<string, ObjectState>();
  #last: ObjectState | undefined;

  constructor(store: CellStore, maxStates = MAX_OBJECT_STATES) {
    this.#store = store;
    this.#half = Math.max(1, maxStates >> 1);
  }

  /** The object's state now. */
  get(container: ContainerState, oid: ObjectId): ObjectState {
    const last = this.#last;
    if (last !== undefined && last.oid === oid && last.container === container) return last;
    const prefix = container.prefix + oid;
    let state = this.#young.get(prefix);
    if (state === undefined) {
      state = this.#old.get(prefix) ?? this.#load(container, oid, prefix);
      if (this.#young.size >= this.#half) {
        this.#old = this.#young;
        this.#young = new Map();
      }
      this.#young.set(prefix, state);
    }
    this.#last = state;
    return state;
  }

  /** Reads every state again when it is needed: some may rest on what was undone. */
  forget(): void {
    this.#young = new Map();
    this.#old = new Map();
    this.#last = undefined;
  }

  #load(container: ContainerState, oid: ObjectId, prefix: string): ObjectState {
    const state: ObjectState = { container, oid, prefix, epoch: 0, punchEpoch: 0, flags: 0, sequence: 0 };
    if (isRedundant(oid)) return Object.assign(state, REDUNDANT_STATE);
    const version = this.#store.get(ownCellKey(prefix), EPOCH_MAX);
    if (version === undefined) return state;
    state.epoch = version.epoch;
    state.sequence = version.sequence;
    if (version.kind === VersionKind.tombstone) return state;
    state.flags = objectMetaFlags(version);
    state.punchEpoch = objectMetaPunchEpoch(version);
    return state;
  }

  /** Epoch of the newest punch of the object at or before `epoch`, 0 for none. */
  punchEpochAt(state: ObjectState, epoch: Epoch): number {
    if (state.epoch <= epoch) return state.punchEpoch;
    const version = this.#store.get(ownCellKey(state.prefix), epoch);
    return version === undefined || version.kind === VersionKind.tombstone ? 0 : objectMetaPunchEpoch(version);
  }
}
