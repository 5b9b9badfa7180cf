/**
 * The meta store as the leader of one term reads it: out of memory. Nobody else changes the system's records during the term
 * (FencedMetaStore), so a copy that is read once and that each commit is applied to is the store; and what only reads, such as
 * opening a container, needs no store that is away.
 *
 * Answers from the copy only while `isCurrent` says that this engine leads in that term: else the store is asked. So it is about keys
 * of which a commit has an unknown outcome, until a later commit has settled that. A system with more than MAX_MIRROR_BYTES of
 * records is not copied.
 */
import { DaosError } from "../base/errors.ts";
import { MAX_MIRROR_BYTES } from "../base/limits.ts";
import type { MetaCompare, MetaEntry, MetaEvent, MetaOperation, MetaStore } from "../contracts/meta-store.ts";
import { LEADER_KEY } from "../format/meta-key.ts";
import { isRefusal } from "./meta-records.ts";

const PAGE_ENTRIES = 256;

export class MirroredMetaStore implements MetaStore {
  readonly #store: MetaStore;
  readonly #isCurrent: () => boolean;
  readonly #maxBytes: number;
  /** By key; undefined: there is no copy. */
  #entries: Map<string, MetaEntry> | undefined;
  /** Keys of `entries` in order; undefined: to be made anew. */
  #keys: readonly string[] | undefined;
  /** Keys of commits whose outcome is not known, and of those among them that is settled and not read yet. */
  readonly #unsure = new Set<string>();
  readonly #stale = new Set<string>();

  private constructor(store: MetaStore, isCurrent: () => boolean, maxBytes: number) {
    this.#store = store;
    this.#isCurrent = isCurrent;
    this.#maxBytes = maxBytes;
  }

  /** Reads all records, once the term has begun. Rejects as the store does. */
  static async of(store: MetaStore, isCurrent: () => boolean, maxBytes = MAX_MIRROR_BYTES): Promise<MirroredMetaStore> {
    const mirrored = new MirroredMetaStore(store, isCurrent, maxBytes);
    await mirrored.#load();
    return mirrored;
  }

  async #load(): Promise<void> {
    const entries = new Map<string, MetaEntry>();
    let [sizeBytes, after] = [0, undefined as string | undefined];
    for (;;) {
      const page = await this.#store.range("", { limit: PAGE_ENTRIES, ...(after !== undefined && { after }) });
      for (const entry of page) {
        sizeBytes += entry.key.length + entry.value.length;
        if (entry.key !== LEADER_KEY) entries.set(entry.key, entry);
      }
      if (sizeBytes > this.#maxBytes) return;
      if (page.length < PAGE_ENTRIES) break;
      after = page.at(-1)!.key;
    }
    this.#entries = entries;
  }

  async get(key: string): Promise<MetaEntry | undefined> {
    const entries = this.#entries;
    if (entries === undefined || key === LEADER_KEY || this.#unsure.has(key) || !this.#isCurrent()) {
      return this.#store.get(key);
    }
    if (this.#stale.has(key)) await this.#refresh(key);
    return entries.get(key);
  }

  async range(prefix: string, options: { limit?: number; after?: string } = {}): Promise<MetaEntry[]> {
    const entries = this.#entries;
    const isUnsure = [...this.#unsure].some((key) => key.startsWith(prefix));
    if (entries === undefined || isUnsure || LEADER_KEY.startsWith(prefix) || !this.#isCurrent()) {
      return this.#store.range(prefix, options);
    }
    for (const key of this.#stale) if (key.startsWith(prefix)) await this.#refresh(key);
    const { limit = Number.POSITIVE_INFINITY, after } = options;
    const found: MetaEntry[] = [];
    const keys = this.#sorted(entries);
    for (let at = firstNotBefore(keys, prefix); at < keys.length && found.length < limit; at += 1) {
      const key = keys[at]!;
      if (!key.startsWith(prefix)) break;
      if (after === undefined || inOrder(after, key) < 0) found.push(entries.get(key)!);
    }
    return found;
  }

  async commit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): Promise<number> {
    const keys = operations.map((operation) => ("put" in operation ? operation.put : operation.remove));
    try {
      const revision = await this.#store.commit(compares, operations);
      this.#settle();
      for (const operation of operations) this.#apply(operation, revision);
      return revision;
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      if (!isRefusal(error)) for (const key of keys) this.#unsure.add(key);
      else {
        this.#settle();
        // What it was compared with is not what we have: read it again.
        for (const { key } of compares) this.#stale.add(key);
      }
      throw error;
    }
  }

  watch(prefix: string, handler: (event: MetaEvent) => void): () => void {
    return this.#store.watch(prefix, handler);
  }

  grantLease(ttlMs: number): Promise<string> {
    return this.#store.grantLease(ttlMs);
  }

  keepAlive(lease: string): Promise<boolean> {
    return this.#store.keepAlive(lease);
  }

  revokeLease(lease: string): Promise<void> {
    return this.#store.revokeLease(lease);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  /** The commits before have happened by now, or never will. */
  #settle(): void {
    for (const key of this.#unsure) this.#stale.add(key);
    this.#unsure.clear();
  }

  #apply(operation: MetaOperation, revision: number): void {
    const key = "put" in operation ? operation.put : operation.remove;
    this.#stale.delete(key);
    this.#keep(key, "put" in operation ? { key, value: operation.value, revision } : undefined);
  }

  async #refresh(key: string): Promise<void> {
    const entry = await this.#store.get(key);
    // Meanwhile it may have been committed, or be unsure again.
    if (this.#stale.delete(key) && !this.#unsure.has(key)) this.#keep(key, entry);
  }

  #keep(key: string, entry: MetaEntry | undefined): void {
    const entries = this.#entries;
    if (entries === undefined || key === LEADER_KEY) return;
    if (entries.has(key) !== (entry !== undefined)) this.#keys = undefined;
    if (entry === undefined) entries.delete(key);
    else entries.set(key, entry);
  }

  #sorted(entries: ReadonlyMap<string, MetaEntry>): readonly string[] {
    this.#keys ??= [...entries.keys()].toSorted(inOrder);
    return this.#keys;
  }
}

/** The order of keys: that of their UTF-8 bytes. */
function inOrder(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}

/** Index of the first key that is not before `key`. */
function firstNotBefore(keys: readonly string[], key: string): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (inOrder(keys[middle]!, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
