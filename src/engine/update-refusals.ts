/** Why an update is not run. */
import { DaosError } from "../base/errors.ts";
import { TransactionConflict } from "../base/transaction-conflict.ts";
import type { ObjectRequest } from "../format/object-request.ts";
import type { TransactionStep } from "../format/transaction-part.ts";

export function oldRequest({ sequence, firstIncomplete }: ObjectRequest): DaosError {
  const state = `its client has said that it needs no answer to requests below ${firstIncomplete}`;
  return new DaosError(
    "INVALID_ARGUMENT",
    `Cannot run request ${sequence} again: ${state}. Send it under a new number.`,
  );
}

/** Of what clients send. `mapVersion`: by which this target leads. Throws INVALID_ARGUMENT, TransactionConflict. */
export function checkStep(step: TransactionStep, mapVersion: number | undefined): void {
  if (step.kind === "sweep") throw notForClients();
  if (step.kind !== "prepare" || step.part.punchesUnder === undefined) return;
  // By another map another target may lead what is not locked at it.
  if (mapVersion !== undefined && mapVersion !== step.part.punchesUnder) throw otherMap();
}

function notForClients(): DaosError {
  return new DaosError("INVALID_ARGUMENT", "Cannot take the step of a transaction: a target gives it to itself only.");
}

function otherMap(): DaosError {
  return new TransactionConflict("the pool map has changed since it chose the leaders of an object");
}

export function forgottenRequest({ sequence }: ObjectRequest): DaosError {
  const state = "it got its number so long ago that it may have been run before, and that is forgotten";
  return new DaosError("OLD_REQUEST", `Cannot run request ${sequence}: ${state}. Read before you write again.`);
}

export function sentTwice(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot answer yet: the request has just ended on its other way. Send it again.");
}

export function notStageable(): DaosError {
  return new DaosError(
    "INVALID_ARGUMENT",
    "Cannot make the update of what was staged: it is no write of bytes to an object with redundancy.",
  );
}

export function dkeyByDkey(): DaosError {
  const state = "it moves to other targets, and is punched dkey by dkey meanwhile";
  return new DaosError("UNSUPPORTED", `Cannot punch the object in one step: ${state}. Use a client that does so.`);
}

export function unnamed(): DaosError {
  return new DaosError(
    "INVALID_ARGUMENT",
    "Cannot update an object with redundancy: the request has no number. Use a client that numbers its updates.",
  );
}
