/**
 * A write whose bulk bytes lie on the device already and whose record is still to be appended: what every large write is
 * for a while, and what a client has staged until its update comes.
 */
import { assert } from "../base/assert.ts";
import type { ExtentRef } from "../store/cell.ts";
import type { RecordRange } from "./array-read.ts";
import type { AkeyRequest, WriteOutcome } from "./single-value.ts";
import type { TargetObjects } from "./target-objects.ts";

/** The update that comes for what was staged: of the same akey and range. */
export type StagedUpdate = AkeyRequest & RecordRange;

/** What is known when the bytes are on the device. */
export interface StagedBytes<Request extends AkeyRequest> {
  /** Of the record, about. */
  readonly logBytes: number;
  readonly extents: readonly ExtentRef[];
  /** Decides and appends, in the turn in which the record was admitted. */
  readonly append: (request: Request) => WriteOutcome;
}

/** Ends once: by `write` or by `abandon`. A crash ends it too, for nothing names its extents. */
export class StagedWrite<Request extends AkeyRequest = StagedUpdate> {
  readonly #target: TargetObjects;
  readonly #bytes: StagedBytes<Request>;
  #isEnded = false;

  constructor(target: TargetObjects, bytes: StagedBytes<Request>) {
    this.#target = target;
    this.#bytes = bytes;
  }

  /** Makes the update of it. What it took on the device is the record's then, or, when it was refused or fails, given back. */
  write(request: Request): WriteOutcome | Promise<WriteOutcome> {
    this.#end();
    let isWaiting = false;
    let isAppended = false;
    const append = (): WriteOutcome => {
      const outcome = this.#bytes.append(request);
      isAppended = outcome.error === undefined;
      return outcome;
    };
    const giveBack = (): void => {
      if (!isAppended) this.#giveBack();
    };
    try {
      const wait = this.#target.admitInTurn(this.#bytes.logBytes, request.order);
      if (wait === undefined) return append();
      isWaiting = true;
      return wait.then(append).finally(giveBack);
    } finally {
      if (!isWaiting) giveBack();
    }
  }

  /** Gives back what it took on the device. */
  abandon(): void {
    this.#end();
    this.#giveBack();
  }

  #end(): void {
    assert(!this.#isEnded, "a staged write ends once");
    this.#isEnded = true;
  }

  #giveBack(): void {
    for (const extent of this.#bytes.extents) this.#target.store.abandonExtent(extent);
  }
}
