/** Why a step of a transaction is not taken. */
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { TransactionConflict } from "../base/transaction-conflict.ts";

export function unnamed(): DaosError {
  return new DaosError(
    "INVALID_ARGUMENT",
    "Cannot take a step of a transaction: it has no number. Number the requests.",
  );
}

export function unknownShard(): DaosError {
  const state = "it is not known which shard of the object lies here";
  return new DaosError(
    "UNSUPPORTED",
    `Cannot take a step of the transaction: ${state}. Send it to a target of its pool.`,
  );
}

export function lockedByOther(): DaosError {
  return new TransactionConflict("another one is committing at one of its dkeys");
}

export function undone(): DaosError {
  return new TransactionConflict("it was undone, for it took too long");
}

export function notPrepared(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot resolve the transaction's part: it is not there. Retry.");
}

export function notResolved(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot prepare the transaction's part: one before it is not resolved. Retry.");
}

export function notSettled(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot punch the dkey: an earlier punch of it is not settled. Retry.");
}

export function notAlone(): DaosError {
  const state = "it reads or writes in the part that punches an object";
  return new DaosError("INVALID_ARGUMENT", `Cannot prepare the transaction: ${state}. Use a part of its own.`);
}

export function notDecidedHere(): DaosError {
  const state = "its first part punches an object with redundancy";
  return new DaosError("INVALID_ARGUMENT", `Cannot commit the transaction: ${state}. Commit it at the part of a dkey.`);
}

export function begunToMove(): DaosError {
  return new TransactionConflict("an object that it punches has begun to move to other targets");
}

export function clockBehind(epoch: Epoch): DaosError {
  const state = `epoch ${epoch} is too far ahead of this target's clock`;
  return new DaosError("UNAVAILABLE", `Cannot resolve the transaction's part: ${state}. Retry.`);
}

export function wrongEpoch(epoch: Epoch): DaosError {
  const state = `its epoch ${epoch} is not one of its own`;
  return new DaosError("INVALID_ARGUMENT", `Cannot commit the transaction: ${state}. Take the latest of its locks'.`);
}
