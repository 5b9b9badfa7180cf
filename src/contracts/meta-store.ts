/**
 * Extension point `meta-store`: the control plane's small, strongly consistent, ordered store. Keys are text, values
 * bytes; every commit has a revision, higher than the last. Keys are well-formed text, neither empty nor with NUL, in
 * the order of their UTF-8 bytes (INVALID_ARGUMENT, TOO_LARGE over MAX_META_KEY_BYTES or MAX_META_VALUE_BYTES); a commit
 * changes a key once, and is at most MAX_META_COMMIT_COMPARES, MAX_META_COMMIT_OPERATIONS and MAX_META_COMMIT_BYTES
 * (TOO_LARGE). Everything after `close` rejects with UNAVAILABLE.
 *
 * A store that is a service rejects with UNAVAILABLE when it was not to be had in its time, with PERMISSION when it does
 * not let us in, and with CORRUPT when it is not the store that was opened any more: it was wiped or put back.
 */
import type { World } from "./world.ts";

export interface MetaEntry {
  readonly key: string;
  readonly value: Uint8Array;
  /** Revision of the commit that last wrote the key. */
  readonly revision: number;
}

/** The key's revision must be this; 0: the key must be absent. */
export interface MetaCompare {
  readonly key: string;
  readonly revision: number;
}

export type MetaOperation =
  { readonly put: string; readonly value: Uint8Array; readonly lease?: string } | { readonly remove: string };

export interface MetaEvent {
  readonly revision: number;
  readonly key: string;
  /** Absent: the key was removed. */
  readonly value?: Uint8Array;
}

export interface MetaStore {
  get(key: string): Promise<MetaEntry | undefined>;
  /** Keys with this prefix, in order; at most `limit`, after `after`. */
  range(prefix: string, options?: { limit?: number; after?: string }): Promise<MetaEntry[]>;
  /**
   * All or nothing, once, durable when resolved: the new revision. Rejects with CONFLICT when a compare fails, NOT_FOUND
   * when a lease has ended, NO_SPACE, IO: nothing was changed. TIMEOUT: whether it happened is not known, and it may still
   * until this store's next commit.
   */
  commit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): Promise<number>;
  /**
   * Calls `handler` for each change under the prefix that is later than all this store has read or committed, in order and
   * once; some time after it was committed. Returns what stops it. Only where the store has forgotten what happened while
   * it could not be reached, a key's changes are told as one, and removals last.
   */
  watch(prefix: string, handler: (event: MetaEvent) => void): () => void;
  /** Keys put with this lease vanish when it is not kept alive for `ttlMs`, or somewhat later; not before. */
  grantLease(ttlMs: number): Promise<string>;
  /** False when the lease has ended. */
  keepAlive(lease: string): Promise<boolean>;
  revokeLease(lease: string): Promise<void>;
  close(): Promise<void>;
}

export interface MetaStoreProvider {
  /**
   * `folder` is the engine's, for stores that are files. A store that is empty is no error: who expected records says so.
   */
  open(world: World, options: { folder: string }): Promise<MetaStore>;
}
