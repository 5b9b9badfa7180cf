/**
 * The meta store as the leader of one term uses it: every commit also compares the leader's record, so that an engine that
 * has lost leadership without knowing it changes nothing, nor does what it began in an earlier term of its own. Reads are
 * the store's own.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import type { MetaCompare, MetaEntry, MetaEvent, MetaOperation, MetaStore } from "../contracts/meta-store.ts";
import type { Leadership } from "./leadership.ts";

export class FencedMetaStore implements MetaStore {
  readonly #store: MetaStore;
  readonly #leadership: Leadership;
  readonly #term: number;

  constructor(store: MetaStore, leadership: Leadership, term: number) {
    this.#store = store;
    this.#leadership = leadership;
    this.#term = term;
  }

  get(key: string): Promise<MetaEntry | undefined> {
    return this.#store.get(key);
  }

  range(prefix: string, options?: { limit?: number; after?: string }): Promise<MetaEntry[]> {
    return this.#store.range(prefix, options);
  }

  /** UNAVAILABLE: this engine does not lead, or no longer in this term; nothing was changed. Otherwise as the store's. */
  async commit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): Promise<number> {
    const fence = this.#leadership.fence(this.#term);
    if (fence === undefined) throw this.#notLeading();
    try {
      return await this.#store.commit([fence, ...compares], operations);
    } catch (error) {
      if (!hasCode(error, "CONFLICT") || (await this.#leadership.holds(fence))) throw error;
      throw this.#notLeading();
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

  #notLeading(): DaosError {
    const { leader } = this.#leadership;
    const state = leader === undefined ? "no engine leads" : `engine ${leader.engine} may lead now`;
    return new DaosError("UNAVAILABLE", `Cannot change the system's records: ${state}, not this one. Try again.`);
  }
}
