/** What a dkey knows of a transaction. */
import type { DtxId } from "../base/dtx-id.ts";
import { decodeTransactionDecision, PREPARED_STATE, UNKNOWN_STATE } from "../format/transaction-part.ts";
import { VersionKind } from "../store/cell.ts";
import { LATEST } from "./condition.ts";
import { Seen, type TargetObjects } from "./target-objects.ts";
import { decisionKey, partKey } from "./transaction-cells.ts";

/** What became of a transaction, as far as a dkey knows; the state as transaction-part.ts has it. */
export interface TransactionOutcome {
  readonly state: number;
  readonly sequence: number;
}

/** Nothing of it may be told before `sequence` is stable. `prefix`: of the dkey. */
export function transactionState(
  { store, locks }: Pick<TargetObjects, "store" | "locks">,
  prefix: string,
  id: DtxId,
): TransactionOutcome {
  const seen = new Seen();
  const part = store.get(partKey(prefix), LATEST);
  if (part !== undefined) seen.add(part.sequence);
  if (isSame(locks.of(prefix)?.part.id, id)) return { state: PREPARED_STATE, sequence: seen.sequence };
  const decision = store.get(decisionKey(prefix, id), LATEST);
  if (decision !== undefined) seen.add(decision.sequence);
  if (!isKept(decision?.kind)) return { state: UNKNOWN_STATE, sequence: seen.sequence };
  const { epoch } = decodeTransactionDecision(decision?.inline ?? new Uint8Array(0));
  return { state: epoch, sequence: seen.sequence };
}

/** Whether a version of this kind says that something is kept. */
export function isKept(kind: VersionKind | undefined): boolean {
  return kind !== undefined && kind !== VersionKind.tombstone;
}

export function isSame(left: DtxId | undefined, right: DtxId): boolean {
  return left?.client === right.client && left.sequence === right.sequence;
}
