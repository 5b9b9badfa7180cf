/** What the shards of an erasure-coded akey do in an update whose bytes are staged: a plan without bytes. */
import { DaosError } from "../base/errors.ts";
import { MAX_SINGLE_VALUE_BYTES } from "../base/limits.ts";
import type { RedundancyScheme, ShardPart } from "../contracts/redundancy.ts";
import type { ObjectRequest } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import { writtenRange } from "../vos/array-read.ts";
import { arrayParts } from "./array-parts.ts";

/** `opcode`: of the update; `lengthBytes`: of all its bytes. Throws INVALID_ARGUMENT, TOO_LARGE. */
export function stagedParts(
  scheme: RedundancyScheme,
  opcode: number,
  object: ObjectRequest,
  lengthBytes: number,
): readonly ShardPart[] {
  if (opcode === Opcode.valueUpdate) {
    if (lengthBytes > MAX_SINGLE_VALUE_BYTES) throw tooLarge(lengthBytes);
    return scheme.planValue(lengthBytes);
  }
  const { start, end } = writtenRange(object, { length: lengthBytes });
  // The client counts on parity.
  return arrayParts(scheme, scheme.dataShards, start, end - start);
}

function tooLarge(lengthBytes: number): DaosError {
  return new DaosError(
    "TOO_LARGE",
    `Cannot store a value of ${lengthBytes} bytes: ${MAX_SINGLE_VALUE_BYTES} are allowed. Store it as an array.`,
  );
}
