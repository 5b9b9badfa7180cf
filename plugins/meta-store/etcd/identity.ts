/**
 * Whether etcd still is the store that was opened. Every read and commit compares the store's identity and looks at the
 * revision: an etcd that was wiped, replaced, or went back to an older state is refused, never read as an empty store.
 */
import { bytesEqual } from "../../../src/base/bytes.ts";
import type { DaosError } from "../../../src/base/errors.ts";
import type { Cluster } from "./cluster.ts";
import type { KeySpace } from "./key-space.ts";
import { type Compare, type RequestOp, TARGET_MOD, TARGET_VALUE, TXN, type TxnResponse } from "./protocol.ts";

/** Each is another writer that made the identity first, which happens once in the life of a store. */
const MAX_ADOPTIONS = 3;

export class Identity {
  readonly #cluster: Cluster;
  readonly #keys: KeySpace;
  /** Undefined: nobody has committed anything yet. */
  #value: Uint8Array | undefined;
  /** Highest revision that an answer told. */
  #revision = 0;

  constructor(cluster: Cluster, keys: KeySpace) {
    this.#cluster = cluster;
    this.#keys = keys;
  }

  get revision(): number {
    return this.#revision;
  }

  compare(): Compare {
    const key = this.#keys.identity;
    return this.#value === undefined
      ? { target: TARGET_MOD, key, modRevision: 0 }
      : { target: TARGET_VALUE, key, value: this.#value };
  }

  /** Reads the identity for `adopt`. */
  read(): RequestOp {
    return { requestRange: { key: this.#keys.identity } };
  }

  /** What makes the identity, in a transaction with `compare`; undefined when there is one. `made` tells that it was. */
  making(value: Uint8Array): { readonly operation: RequestOp; readonly made: () => void } | undefined {
    if (this.#value !== undefined) return undefined;
    const operation = { requestPut: { key: this.#keys.identity, value } };
    return { operation, made: () => void (this.#value = value) };
  }

  /**
   * Takes the identity out of the answer to `read`: true when it is as known, false when another store has made it
   * meanwhile: that one is ours from now on. Throws CORRUPT when it is gone or another's.
   */
  adopt(action: string, response: TxnResponse, index: number): boolean {
    const found = response.responses[index]?.responseRange?.kvs[0]?.value;
    const known = this.#value;
    if (known === undefined) {
      this.#value = found;
      return found === undefined;
    }
    if (found !== undefined && bytesEqual(found, known)) return true;
    throw this.#lost(action, found === undefined ? "it was wiped" : "it is another store than the one that was opened");
  }

  /** To be called with what `revision` was when the request was made. Throws CORRUPT when etcd went back. */
  check(action: string, response: TxnResponse, leastRevision: number): number {
    const revision = Number(response.header.revision);
    if (revision < leastRevision) {
      throw this.#lost(action, `it went back from revision ${leastRevision} to ${revision}`);
    }
    this.#revision = Math.max(this.#revision, revision);
    return revision;
  }

  /** Reads as one, of the newest state; with the revision of that state. */
  async fetch(action: string, reads: readonly RequestOp[], deadlineNs: number): Promise<TxnResponse & { at: number }> {
    for (let adoptions = 0; ; adoptions += 1) {
      const least = this.#revision;
      const request = { compare: [this.compare()], success: reads, failure: [this.read()] };
      const response = await this.#cluster.call(action, TXN, request, deadlineNs);
      const at = this.check(action, response, least);
      if (response.succeeded) return { ...response, at };
      this.adopt(action, response, 0);
      if (adoptions >= MAX_ADOPTIONS) throw this.#lost(action, "its identity keeps changing");
    }
  }

  #lost(action: string, state: string): DaosError {
    const advice = "Stop the engines that use it, restore its newest snapshot, then start them again";
    return this.#cluster.error("CORRUPT", action, state, advice);
  }
}
