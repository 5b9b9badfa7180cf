/**
 * First in, first out, without moving what waits at each take. As long as what its users put in: they own the bound.
 */

/** The array is cut when this many taken entries lie at its front. */
const COMPACT_AT = 1024;

export class Fifo<Entry extends object> {
  #entries: Entry[] = [];
  #head = 0;

  get length(): number {
    return this.#entries.length - this.#head;
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
  }

  /** The oldest, which stays; undefined when there is none. */
  peek(): Entry | undefined {
    return this.#entries[this.#head];
  }

  /** Takes the oldest; undefined when there is none. */
  shift(): Entry | undefined {
    if (this.#head === this.#entries.length) return undefined;
    const entry = this.#entries[this.#head]!;
    this.#head += 1;
    if (this.#head === this.#entries.length) {
      this.#entries.length = 0;
      this.#head = 0;
    } else if (this.#head >= COMPACT_AT) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }

  /** All of them, oldest first; nothing waits afterwards. */
  takeAll(): Entry[] {
    const all = this.#entries.slice(this.#head);
    this.#entries = [];
    this.#head = 0;
    return all;
  }
}
