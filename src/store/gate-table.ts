/**
 * The epoch gates of a store's containers, and what is kept for them: of each container with such history the gate at which
 * a pass over it is worth while. A pass takes what was noted before it is due; what comes later waits for the next one, so
 * that a container that is written all the time gets its passes too.
 *
 * In memory. The transaction that drops something by a gate, or keeps something for it, leaves both in the index.
 */
import type { Epoch } from "../base/epoch.ts";
import type { Gates } from "./kept-views.ts";
import type { ParkedReclaims } from "./reclaim-table.ts";

const NO_EPOCH = 0 as Epoch;

interface KeptHistory {
  /** The gate at which a pass is due. */
  due: Epoch;
  /** The same of what was kept since. */
  later: Epoch;
  isRunning: boolean;
}

export class GateTable {
  readonly #gates = new Map<number, Epoch>();
  readonly #kept = new Map<number, KeptHistory>();
  /** Containers whose gates were raised, with the gates before. */
  #raised = new Map<number, Epoch>();

  /** What the index knows: the gate that was used, and what is kept for it. */
  restore(container: number, used: Epoch, keptTo: Epoch): void {
    if (used > 0) this.#gates.set(container, used);
    if (keptTo > 0) this.noteKept(container, keptTo);
  }

  get(container: number): Epoch {
    return this.#gates.get(container) ?? NO_EPOCH;
  }

  /** A copy of all that are not 0. */
  list(): Gates {
    return new Map(this.#gates);
  }

  /** False when it is not higher than before. */
  raise(container: number, epoch: Epoch): boolean {
    const before = this.get(container);
    if (epoch <= before) return false;
    this.#gates.set(container, epoch);
    if (!this.#raised.has(container)) this.#raised.set(container, before);
    return true;
  }

  /** The parked reclaims that gates have come to since this was asked last. */
  takeReached(): ParkedReclaims[] {
    if (this.#raised.size === 0) return [];
    const reached = [...this.#raised].map(([container, before]) => ({
      container,
      from: (before + 1) as Epoch,
      to: this.get(container),
    }));
    this.#raised = new Map();
    return reached;
  }

  /** Something of the container is kept that can go when its gate is at `epoch`. */
  noteKept(container: number, epoch: Epoch): void {
    const kept = this.#kept.get(container);
    if (kept === undefined) this.#kept.set(container, { due: epoch, later: NO_EPOCH, isRunning: false });
    else if (epoch > kept.due && epoch > kept.later) kept.later = epoch;
  }

  /** Containers for which a pass is due and none has begun. */
  due(): number[] {
    const found: number[] = [];
    for (const [container, { due, isRunning }] of this.#kept) {
      if (!isRunning && this.get(container) >= due) found.push(container);
    }
    return found;
  }

  passBegun(container: number): void {
    this.#kept.get(container)!.isRunning = true;
  }

  /** `isDone`: it went through the whole container. */
  passEnded(container: number, isDone: boolean): void {
    const kept = this.#kept.get(container)!;
    kept.isRunning = false;
    if (!isDone) return;
    if (kept.later === 0) this.#kept.delete(container);
    else [kept.due, kept.later] = [kept.later, NO_EPOCH];
  }
}
