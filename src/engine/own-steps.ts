/**
 * Steps of transactions that a target takes by itself, under their numbers: those that no client asks for now, and the
 * punches of dkeys that a punch of their object is made of.
 */
import { isErasureCoded, isRedundant } from "../base/object-id.ts";
import type { LedUpdate } from "../dtx/led-update.ts";
import type { Replication } from "../dtx/replication.ts";
import type { ObjectRequest } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import type { CellStore } from "../store/cell.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import type { WriteOrder } from "../vos/write-order.ts";
import type { ErasureUpdates } from "./erasure-updates.ts";
import { runOperation } from "./update-operation.ts";

export interface OwnStepsParts {
  readonly store: CellStore;
  readonly objects: VersionedObjects;
  readonly replication?: Replication | undefined;
}

/** A step that has its place among the updates of its group. */
interface PlacedStep {
  /** Undefined: no member has to have it. */
  readonly led: LedUpdate | undefined;
  readonly unlock: () => void;
}

export class OwnSteps {
  readonly #parts: OwnStepsParts;
  readonly #erasure: ErasureUpdates | undefined;

  constructor(parts: OwnStepsParts, erasure: ErasureUpdates | undefined) {
    this.#parts = parts;
    this.#erasure = erasure;
  }

  /** Takes a step; settles when nothing can undo it. Rejects as the step does, UNAVAILABLE, STALE. */
  async run(container: number, object: ObjectRequest, payload: Uint8Array): Promise<void> {
    const { objects, replication, store } = this.#parts;
    const planned = this.#plan(container, object, payload);
    const { led, unlock } = planned === undefined ? this.#place(container, object, payload) : await planned;
    const isMoving = !isRedundant(object.oid) && replication?.movesSingle(container, object.oid) === true;
    try {
      const order: WriteOrder = led ?? { origin: object, isPrepared: false, epoch: undefined };
      const shard = this.#erasure?.shardOf(container, object.oid, order, led?.arrayShares);
      const step = { ...object, order, isMoving, shard };
      const taking = runOperation(objects, Opcode.transactionStep, container, step, payload);
      if (taking instanceof Promise) replication?.track(container, taking);
      const outcome = await taking;
      if (outcome.error !== undefined) throw outcome.error;
      await new Promise<void>((resolve, reject) => {
        const settled = (error: Error | undefined): void => (error === undefined ? resolve() : reject(error));
        if (led?.isAppended === true) led.whenDecided(settled);
        else store.whenStable(outcome.sequence, settled);
      });
    } finally {
      if (led?.isAppended === true) led.whenDecided(unlock);
      else unlock();
    }
  }

  /** Of erasure code; undefined of all else. */
  #plan(container: number, object: ObjectRequest, payload: Uint8Array): Promise<PlacedStep> | undefined {
    if (this.#erasure === undefined || !isErasureCoded(object.oid)) return undefined;
    const beginning = this.#erasure.begin(Opcode.transactionStep, container, object, payload, undefined);
    this.#parts.replication?.track(container, beginning);
    return beginning;
  }

  #place(container: number, object: ObjectRequest, payload: Uint8Array): PlacedStep {
    const { replication } = this.#parts;
    const led =
      replication?.isLed(container, object.oid, object) === true
        ? replication.begin({ container, opcode: Opcode.transactionStep, object, payload })
        : undefined;
    return { led, unlock: () => {} };
  }
}
