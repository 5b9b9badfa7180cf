/**
 * Delivers changes to watchers, in commit order to each, also when a handler commits again. A handler that throws has a
 * bug: the others are still told, then the error ends the process as any uncaught one.
 */
import type { MetaEvent } from "../../../src/contracts/meta-store.ts";

interface Watcher {
  readonly prefix: string;
  readonly handler: (event: MetaEvent) => void;
}

export class Watchers {
  readonly #watchers = new Set<Watcher>();
  /** Events not yet delivered, each with those who watched when it happened. */
  #queue: { readonly event: MetaEvent; readonly watchers: readonly Watcher[] }[] = [];
  #delivering = false;

  add(prefix: string, handler: (event: MetaEvent) => void): () => void {
    const watcher = { prefix, handler };
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  clear(): void {
    this.#watchers.clear();
  }

  deliver(events: readonly MetaEvent[]): void {
    const watchers = [...this.#watchers];
    for (const event of events) this.#queue.push({ event, watchers });
    if (this.#delivering) return;
    this.#delivering = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      for (const watcher of next.watchers) this.#tell(watcher, next.event);
    }
    this.#delivering = false;
  }

  #tell(watcher: Watcher, event: MetaEvent): void {
    if (!this.#watchers.has(watcher) || !event.key.startsWith(watcher.prefix)) return;
    try {
      watcher.handler(event);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
