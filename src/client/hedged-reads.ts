/**
 * Reads that are sent a second time, to another target that has the same, because the first one is late; the first good answer
 * counts (Dean and Barroso, The Tail at Scale, 2013). Any target that can be read shows every acknowledged update, so
 * it does not matter which of them answers.
 *
 * So that an overloaded system is not loaded further, only a small share of all reads is sent twice. This limit is not for a
 * target that answers nothing at all: there the second one takes the place of the first.
 */
import { EPOCH_NONE } from "../base/epoch.ts";
import { isRedundant } from "../base/object-id.ts";
import type { CallPlaces } from "./call-places.ts";
import { type ObjectCall, TARGET_OF_DKEY } from "./object-call.ts";
import type { TargetPace, TargetPaces } from "./target-pace.ts";

export interface HedgedReadsParts {
  readonly paces: TargetPaces;
  readonly paceOf: (target: number) => TargetPace | undefined;
  readonly places: () => CallPlaces;
  readonly send: <T>(call: ObjectCall<T>) => Promise<T>;
}

/** Whether the read may be sent to any copy. At an epoch it may not: see CallPlaces. */
function readsAnyCopy({ isRead, target, epoch, oid }: ObjectCall<unknown>): boolean {
  return isRead && target === TARGET_OF_DKEY && epoch === EPOCH_NONE && isRedundant(oid);
}

export class HedgedReads {
  readonly #parts: HedgedReadsParts;

  constructor(parts: HedgedReadsParts) {
    this.#parts = parts;
  }

  /** A call is sent. */
  began(call: ObjectCall<unknown>): void {
    const { paces, places } = this.#parts;
    if (!readsAnyCopy(call)) return;
    paces.readBegan();
    if (paces.hasLate) this.#probe(call, places().copiesOf(call));
  }

  /** A shard is read, of a dkey on these targets. */
  shardReadBegan(call: ObjectCall<unknown>, targets: readonly number[]): void {
    const { paces } = this.#parts;
    paces.readBegan();
    if (paces.hasLate) this.#probe(call, targets);
  }

  /** The call is late: sends it to another copy, if it may. See PacedCall.late. */
  late(call: ObjectCall<unknown>): boolean {
    if (!readsAnyCopy(call)) return false;
    const { paceOf, places, send } = this.#parts;
    const other = places()
      .copiesOf(call)
      .find((target) => target !== call.placed && paceOf(target)?.isLate === false);
    if (other === undefined || !this.mayHedge(call)) return false;
    const twin = call.twin(other);
    twin.signal = call.signal;
    call.race(twin, send(twin), () => call.pace?.began(call));
    return true;
  }

  /** Whether a late read may be sent elsewhere now; then its target is late from now on. */
  mayHedge(call: ObjectCall<unknown>): boolean {
    const { pace, startedTick } = call;
    if (pace === undefined) return false;
    if (!pace.isSilentSince(startedTick) && !this.#parts.paces.takeHedge()) return false;
    pace.markLate();
    return true;
  }

  /** Sends the read to a late one of these targets as well, when it is time to see whether that is better again. */
  #probe(call: ObjectCall<unknown>, targets: readonly number[]): void {
    const { paceOf, send } = this.#parts;
    for (const target of targets) {
      const pace = paceOf(target);
      if (pace?.takeProbe() !== true) continue;
      send(call.twin(target)).then(
        () => pace.probed(true),
        () => pace.probed(false),
      );
      return;
    }
  }
}
