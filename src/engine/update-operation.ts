/** The operations on a target's objects that updates are. */
import { crc32 } from "../base/checksum.ts";
import { damagedBeforeStore } from "../base/damage.ts";
import { DaosError } from "../base/errors.ts";
import type { ObjectRequest } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import { decodeTransactionStep } from "../format/transaction-part.ts";
import type { WriteOutcome } from "../vos/single-value.ts";
import type { TransactionShard } from "../vos/transaction-shard.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import type { WriteOrder } from "../vos/write-order.ts";

export interface OperationRequest extends ObjectRequest {
  order?: WriteOrder | undefined;
  /** CRC-32 of the payload, where it is the bytes of a write. */
  readonly checksum?: number | undefined;
  /** Of steps of transactions on erasure-coded dkeys. */
  readonly shard: TransactionShard | undefined;
  /** Of an object without redundancy: it moves to other targets. */
  readonly isMoving?: boolean | undefined;
}

/** Errors: those of the operation; UNSUPPORTED for an opcode that is no update. */
export function runOperation(
  objects: VersionedObjects,
  opcode: number,
  container: number,
  object: OperationRequest,
  payload: Uint8Array,
): WriteOutcome | Promise<WriteOutcome> {
  switch (opcode) {
    case Opcode.valueUpdate:
      return objects.updateValue(container, object, payload);
    case Opcode.arrayWrite:
      return objects.writeArray(container, object, payload);
    case Opcode.transactionStep:
      return objects.transactionStep(
        container,
        { ...object, checkSent: () => checkSent(payload, object.checksum) },
        decodeTransactionStep(payload),
      );
    case Opcode.objectPunch:
      return objects.punchObject(container, object);
    case Opcode.dkeyPunch:
      return objects.punchDkey(container, object);
    case Opcode.akeyPunch:
      return objects.punchAkey(container, object);
    case Opcode.arrayPunch:
      return objects.punchArray(container, object);
    default:
      throw new DaosError("UNSUPPORTED", `Cannot run operation ${opcode} as an update: it is none.`);
  }
}

/** Whether the payload is still what was sent. Throws DAMAGED. */
function checkSent(payload: Uint8Array, checksum: number | undefined): void {
  if (checksum !== undefined && crc32(payload) !== checksum)
    throw damagedBeforeStore("when a transaction's writes were taken over");
}
