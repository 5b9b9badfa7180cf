/**
 * The snapshots of each container that versions are kept for. A list that was replaced goes on to count until the record
 * that replaced it is durable: a crash could bring it back.
 */
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_SNAPSHOTS } from "../base/limits.ts";

interface ReplacedList {
  readonly container: number;
  readonly epochs: readonly Epoch[];
  /** Of the record that replaced it. */
  readonly sequence: number;
}

/** Throws TOO_LARGE. */
export function checkSnapshots(epochs: readonly Epoch[]): void {
  if (epochs.length <= MAX_SNAPSHOTS) return;
  throw new DaosError(
    "TOO_LARGE",
    `Cannot keep ${epochs.length} snapshots: ${MAX_SNAPSHOTS} are allowed. Destroy some.`,
  );
}

const NONE: readonly Epoch[] = [];

export class SnapshotRegistry {
  readonly #lists = new Map<number, readonly Epoch[]>();
  #replaced: ReplacedList[] = [];

  get(container: number): readonly Epoch[] {
    return this.#lists.get(container) ?? NONE;
  }

  /** The highest epoch of all lists, 0 for none. */
  get highest(): Epoch {
    let highest = 0 as Epoch;
    for (const epochs of this.#lists.values()) {
      const last = epochs.at(-1);
      if (last !== undefined && last > highest) highest = last;
    }
    return highest;
  }

  /** A list that is durable. */
  restore(container: number, epochs: readonly Epoch[]): void {
    this.#put(container, epochs);
  }

  /** Replaces a list by the record of this sequence. */
  replace(container: number, epochs: readonly Epoch[], sequence: number): void {
    this.#replaced.push({ container, epochs: this.get(container), sequence });
    this.#put(container, epochs);
  }

  #put(container: number, epochs: readonly Epoch[]): void {
    if (epochs.length === 0) this.#lists.delete(container);
    else this.#lists.set(container, epochs.slice());
  }

  /** All epochs that count, given what is durable. */
  kept(durableSequence: number): Map<number, readonly Epoch[]> {
    this.#replaced = this.#replaced.filter((list) => list.sequence > durableSequence);
    const kept = new Map(this.#lists);
    for (const { container, epochs } of this.#replaced) {
      const all = new Set([...(kept.get(container) ?? NONE), ...epochs]);
      if (all.size > 0)
        kept.set(
          container,
          [...all].sort((left, right) => left - right),
        );
    }
    return kept;
  }
}
