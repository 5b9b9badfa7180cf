/** Why a target does not answer a read, for people. */
import { DaosError } from "../base/errors.ts";

export function coded(): DaosError {
  const state = "it is erasure-coded, and one shard has only a part of it";
  return new DaosError("INVALID_ARGUMENT", `Cannot read the object: ${state}. Read its shards.`);
}

export function notCoded(): DaosError {
  return new DaosError("INVALID_ARGUMENT", "Cannot read a shard: the object is not erasure-coded. Read it as it is.");
}

/** What an answer rested on was undone: nothing of the request happened. */
export function undone(cause: DaosError): DaosError {
  const state = "an update that it rests on was undone when a target was lost";
  return new DaosError("UNAVAILABLE", `Cannot serve the request: ${state}. Send it again.`, { cause });
}
