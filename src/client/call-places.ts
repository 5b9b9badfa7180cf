/**
 * Where calls of a container go under one pool map: updates to the leader of their dkey, reads to a target that has it. Of
 * several that have the same, clients begin with different ones and go round, and those that are late come last.
 */
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_NONE } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { isRedundant, type ObjectId } from "../base/object-id.ts";
import type { Placement } from "../placement/placement.ts";
import { redundancyGroup } from "../redundancy/redundancy-group.ts";
import { type ObjectCall, TARGET_OF_DKEY } from "./object-call.ts";

/** What decides where a call goes. */
type CallPlace = Pick<ObjectCall<unknown>, "target" | "oid" | "dkey" | "sequence" | "epoch">;

export interface CallPlacesParts {
  readonly placement: Placement;
  /** Number of this client. */
  readonly client: number;
  /** Of the container, for messages. */
  readonly label: string;
  readonly hasLate: () => boolean;
  readonly isLate: (target: number) => boolean;
}

export class CallPlaces {
  readonly #parts: CallPlacesParts;

  constructor(parts: CallPlacesParts) {
    this.#parts = parts;
  }

  /** The target for a call's attempt of this number, from 0. Throws UNAVAILABLE when there is none. */
  of(call: CallPlace, attempt: number): number {
    const { placement } = this.#parts;
    if (call.target !== TARGET_OF_DKEY) return call.target;
    if (!isRedundant(call.oid)) return placement.targetOf(call.oid, call.dkey);
    // What is read at an epoch is read where epochs are given, so that nothing is written before it afterwards.
    if (call.sequence === 0 && call.epoch === EPOCH_NONE) return this.readable(call.oid, call.dkey, attempt);
    const { leader, readable } = redundancyGroup(placement, call.oid, call.dkey);
    if (leader < 0) throw this.#nothingLeft();
    return call.sequence === 0 ? readable[attempt % readable.length]! : leader;
  }

  /** The same for a read of the latest of a dkey. */
  readable(oid: ObjectId, dkey: ByteString, attempt: number): number {
    const { placement, client, hasLate } = this.#parts;
    if (!isRedundant(oid)) return placement.targetOf(oid, dkey);
    const { readable } = redundancyGroup(placement, oid, dkey);
    if (readable.length === 0) throw this.#nothingLeft();
    if (hasLate()) return this.#inTimeFirst(readable)[attempt % readable.length]!;
    return readable[(client + attempt) % readable.length]!;
  }

  /** How many targets can be asked about a dkey. */
  countOf(oid: ObjectId, dkey: ByteString): number {
    return isRedundant(oid) ? redundancyGroup(this.#parts.placement, oid, dkey).readable.length : 1;
  }

  /** Targets with copies of the dkey that is read, the one to ask first before the others. */
  copiesOf({ oid, dkey }: CallPlace): readonly number[] {
    return this.#inTimeFirst(redundancyGroup(this.#parts.placement, oid, dkey).readable);
  }

  #inTimeFirst(readable: readonly number[]): readonly number[] {
    const { client, isLate } = this.#parts;
    const first = client % readable.length;
    const inTurn = [...readable.slice(first), ...readable.slice(0, first)];
    return [...inTurn.filter((target) => !isLate(target)), ...inTurn.filter(isLate)];
  }

  #nothingLeft(): DaosError {
    const state = "no target that has it is in service";
    return new DaosError(
      "UNAVAILABLE",
      `Cannot reach a part of container "${this.#parts.label}": ${state}. Bring excluded engines back.`,
    );
  }
}
