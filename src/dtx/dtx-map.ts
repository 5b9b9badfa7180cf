/** A map by transaction id: two levels of numbers, which costs half of what keys of 16 bytes would. */
import type { DtxId } from "../base/dtx-id.ts";

export class DtxMap<Value> {
  readonly #clients = new Map<number, Map<number, Value>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: DtxId): Value | undefined {
    return this.#clients.get(id.client)?.get(id.sequence);
  }

  set(id: DtxId, value: Value): void {
    let values = this.#clients.get(id.client);
    if (values === undefined) {
      values = new Map();
      this.#clients.set(id.client, values);
    }
    if (!values.has(id.sequence)) this.#size += 1;
    values.set(id.sequence, value);
  }

  delete(id: DtxId): boolean {
    const values = this.#clients.get(id.client);
    if (values === undefined || !values.delete(id.sequence)) return false;
    this.#size -= 1;
    if (values.size === 0) this.#clients.delete(id.client);
    return true;
  }

  *values(): Generator<Value, void, void> {
    for (const values of this.#clients.values()) yield* values.values();
  }
}
