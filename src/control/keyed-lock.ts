/**
 * Mutual exclusion by name inside this process: work under one key runs one after the other, in the order it came.
 * Protects steps that span the meta store and the targets; what several processes share is protected by
 * compare-and-commit. Not reentrant: nobody may ask for a key that he holds.
 */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>();

  /** Runs `work` once all earlier work under `key` has ended, and gives its outcome. */
  run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const outcome = before.then(work);
    const ended = (): void => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    };
    const tail: Promise<void> = outcome.then(ended, ended);
    this.#tails.set(key, tail);
    return outcome;
  }

  /** Keys that are held or waited for. */
  get size(): number {
    return this.#tails.size;
  }
}
