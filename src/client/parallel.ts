/**
 * Work in a bounded window: at most `limit` promises at once. After the first failure nothing new begins, and the failure
 * comes out only when everything under way has settled, so that buffers of the work are free by then.
 */

export class Window {
  readonly #limit: number;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Begins the work once there is room. Rejects with the first failure of earlier work, when all of it has settled. */
  async add(work: () => Promise<unknown>): Promise<void> {
    while (this.#running.size >= this.#limit && this.#failure === undefined) await Promise.race(this.#running);
    if (this.#failure !== undefined) return this.drain();
    const running: Promise<void> = work()
      .then(
        () => {},
        (error: unknown) => {
          this.#failure ??= { error };
        },
      )
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when all work has settled; rejects with the first failure. */
  async drain(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/** Does `work` for each item, `limit` at once. */
export async function forEachParallel<T>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const window = new Window(limit);
  for (const item of items) await window.add(() => work(item));
  await window.drain();
}
