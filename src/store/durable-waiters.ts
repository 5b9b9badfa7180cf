/**
 * Callbacks that wait for a sequence to become durable, in order of sequence. Adding in ascending order, the usual case,
 * costs two array pushes.
 */
type Callback = (error?: Error) => void;

/** Called entries are cut off when there are this many, or when none is left. */
const TRIM_ENTRIES = 4096;

export class DurableWaiters {
  #sequences: number[] = [];
  #callbacks: Callback[] = [];
  #head = 0;

  add(sequence: number, callback: Callback): void {
    const sequences = this.#sequences;
    let place = sequences.length;
    while (place > this.#head && sequences[place - 1]! > sequence) place -= 1;
    if (place === sequences.length) {
      sequences.push(sequence);
      this.#callbacks.push(callback);
    } else {
      sequences.splice(place, 0, sequence);
      this.#callbacks.splice(place, 0, callback);
    }
  }

  /** Calls all that wait for `durableSequence` or less. */
  reached(durableSequence: number): void {
    while (this.#head < this.#sequences.length && this.#sequences[this.#head]! <= durableSequence) {
      const callback = this.#callbacks[this.#head]!;
      this.#head += 1;
      callback();
    }
    this.#trim();
  }

  fail(error: Error): void {
    const callbacks = this.#callbacks.slice(this.#head);
    this.#sequences = [];
    this.#callbacks = [];
    this.#head = 0;
    for (const callback of callbacks) callback(error);
  }

  #trim(): void {
    if (this.#head === this.#sequences.length) {
      this.#sequences.length = 0;
      this.#callbacks.length = 0;
      this.#head = 0;
    } else if (this.#head >= TRIM_ENTRIES) {
      this.#sequences.splice(0, this.#head);
      this.#callbacks.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
