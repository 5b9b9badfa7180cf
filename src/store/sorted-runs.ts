/**
 * Many items in the order of their keys, without the one long sort that would stop its thread: they are added in runs of a
 * bounded size, each sorted by itself, and merged as they are taken.
 */
import type { ByteString } from "../base/bytes.ts";

export interface Keyed {
  readonly key: ByteString;
}

interface Run<Item> {
  readonly items: readonly Item[];
  at: number;
}

export class SortedRuns<Item extends Keyed> {
  /** A heap: each run's next key is not above those of the two runs below it. */
  readonly #heap: Run<Item>[] = [];

  /** Adds items, which are this object's from now on. */
  add(items: Item[]): void {
    if (items.length === 0) return;
    items.sort((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0));
    const heap = this.#heap;
    let place = heap.push({ items, at: 0 }) - 1;
    for (let above = (place - 1) >> 1; place > 0 && isBefore(heap[place]!, heap[above]!); above = (place - 1) >> 1) {
      swap(heap, place, above);
      place = above;
    }
  }

  /** The item of the least key, without taking it. */
  peek(): Item | undefined {
    const first = this.#heap[0];
    return first?.items[first.at];
  }

  /** Takes the item that `peek` shows. */
  take(): Item | undefined {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined) return undefined;
    const item = first.items[first.at]!;
    first.at += 1;
    if (first.at === first.items.length) {
      const last = heap.pop()!;
      if (heap.length === 0) return item;
      heap[0] = last;
    }
    this.#sink();
    return item;
  }

  /** Brings the first run to its place. */
  #sink(): void {
    const heap = this.#heap;
    for (let place = 0; ;) {
      let least = place;
      for (let below = 2 * place + 1; below <= 2 * place + 2 && below < heap.length; below += 1) {
        if (isBefore(heap[below]!, heap[least]!)) least = below;
      }
      if (least === place) return;
      swap(heap, place, least);
      place = least;
    }
  }
}

function isBefore(left: Run<Keyed>, right: Run<Keyed>): boolean {
  return left.items[left.at]!.key < right.items[right.at]!.key;
}

function swap<Item>(heap: Run<Item>[], left: number, right: number): void {
  const held = heap[left]!;
  heap[left] = heap[right]!;
  heap[right] = held;
}
