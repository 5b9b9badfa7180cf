/**
 * Recently read cells of the settled index, so that hot ones cost no lookup, copy and checksum each time. Holds only the
 * newest settled version of a cell, in two generations of bounded size: when the younger is full the older is dropped,
 * and what is still read moves over.
 *
 * The store clears it whenever the index changed, and passes it by while maintenance may be changing the index.
 */
import type { ByteString } from "../base/bytes.ts";
import { MIB } from "../base/limits.ts";
import type { SettledVersion } from "../format/settled-version.ts";

/** Bytes of one generation, as estimated. */
export const READ_CACHE_BYTES = 32 * MIB;
/** What an entry takes beside its key and row. */
const ENTRY_BYTES = 200;

export class ReadCache {
  #young = new Map<ByteString, SettledVersion>();
  #old = new Map<ByteString, SettledVersion>();
  #youngBytes = 0;

  get(key: ByteString): SettledVersion | undefined {
    const found = this.#young.get(key);
    if (found !== undefined || this.#old.size === 0) return found;
    const aged = this.#old.get(key);
    if (aged !== undefined) this.put(key, aged);
    return aged;
  }

  put(key: ByteString, version: SettledVersion): void {
    this.#youngBytes += key.length + version.rowBytes + ENTRY_BYTES;
    if (this.#youngBytes > READ_CACHE_BYTES) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = key.length + version.rowBytes + ENTRY_BYTES;
    }
    this.#young.set(key, version);
  }

  clear(): void {
    if (this.#young.size > 0) this.#young = new Map();
    if (this.#old.size > 0) this.#old = new Map();
    this.#youngBytes = 0;
  }
}
