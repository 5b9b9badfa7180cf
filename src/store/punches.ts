/**
 * What the punches of the unsettled log hide, asked for cell after cell in the order of their keys. It may know less than
 * all punches, never more: for saving work, not for deciding what is visible.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import type { ReclaimRange } from "./cell.ts";

export class Punches {
  /** By their first keys; those before `#next` have begun. */
  readonly #ranges: readonly ReclaimRange[];
  #next = 0;
  /** Of ranges that have begun and may not have ended, the highest epoch by where they end. */
  readonly #open = new Map<ByteString, Epoch>();

  constructor(ranges: readonly ReclaimRange[]) {
    this.#ranges = ranges.toSorted((left, right) => (left.from < right.from ? -1 : left.from > right.from ? 1 : 0));
  }

  /** True when a version of this epoch is hidden. Keys never go back from one call to the next. */
  hide(key: ByteString, epoch: Epoch): boolean {
    for (let range = this.#ranges[this.#next]; range !== undefined && range.from <= key;) {
      if (range.epoch > (this.#open.get(range.to) ?? 0)) this.#open.set(range.to, range.epoch);
      this.#next += 1;
      range = this.#ranges[this.#next];
    }
    for (const [end, punched] of this.#open) {
      if (end <= key) this.#open.delete(end);
      else if (punched >= epoch) return true;
    }
    return false;
  }
}
