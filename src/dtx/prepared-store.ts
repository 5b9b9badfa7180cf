/** What replication needs of a target's store: see CellStore for what each member promises. */
import type { Decision, DtxId } from "../base/dtx-id.ts";
import type { Epoch } from "../base/epoch.ts";
import type { ObjectId } from "../base/object-id.ts";

/** A prepared record that somebody may still ask for: not decided, or not forgotten. */
export interface OpenUpdate {
  readonly id: DtxId;
  readonly state: "prepared" | "committed" | "aborted";
  readonly epoch: Epoch;
  readonly sequence: number;
  readonly container: number;
  readonly oid: ObjectId;
}

export interface PreparedStore {
  whenDurable(sequence: number, callback: (error?: Error) => void): void;
  decide(id: DtxId, decision: Decision): unknown;
  /** Everybody who took part knows the decision. */
  forget(id: DtxId): void;
  stateOf(id: DtxId): "prepared" | "committed" | "aborted" | undefined;
  openUpdates(): readonly OpenUpdate[];
  /** The sequence with which every decision made so far is durable. */
  logDecisions(): number;
}
