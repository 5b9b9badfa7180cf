/** A map by DtxId: two levels of numbers, so that no key is made of them. The client asked for last is at hand. */
import type { DtxId } from "../base/dtx-id.ts";

export class DtxMap<T> {
  readonly #clients = new Map<number, Map<number, T>>();
  #lastClient = 0;
  #last: Map<number, T> | undefined;
  size = 0;

  #of(client: number): Map<number, T> | undefined {
    if (client === this.#lastClient) return this.#last;
    const found = this.#clients.get(client);
    if (found === undefined) return undefined;
    this.#lastClient = client;
    this.#last = found;
    return found;
  }

  get({ client, sequence }: DtxId): T | undefined {
    return this.size === 0 ? undefined : this.#of(client)?.get(sequence);
  }

  /** Puts what is not there yet. */
  add({ client, sequence }: DtxId, value: T): void {
    let entries = this.#of(client);
    if (entries === undefined) {
      entries = new Map();
      this.#clients.set(client, entries);
      this.#lastClient = client;
      this.#last = entries;
    }
    entries.set(sequence, value);
    this.size += 1;
  }

  delete({ client, sequence }: DtxId): void {
    const entries = this.#of(client);
    if (entries?.delete(sequence) !== true) return;
    this.size -= 1;
    if (entries.size > 0) return;
    this.#clients.delete(client);
    this.#lastClient = 0;
    this.#last = undefined;
  }

  *values(): Iterable<T> {
    for (const entries of this.#clients.values()) yield* entries.values();
  }
}
