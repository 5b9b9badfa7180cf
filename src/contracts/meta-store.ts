/**
 * Extension point `meta-store`: the control plane's small, strongly consistent, ordered store. Keys are text, values
 * bytes; every commit has a revision, one higher than the last. Keys are well-formed text, neither empty nor with NUL, in
 * the order of their UTF-8 bytes (INVALID_ARGUMENT, TOO_LARGE over MAX_META_KEY_BYTES or MAX_META_VALUE_BYTES); a commit
 * names a key once. Everything after `close` rejects with UNAVAILABLE.
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
   * All or nothing, durable when resolved: the new revision. Rejects with CONFLICT when a compare fails, NOT_FOUND when a
   * lease has ended, NO_SPACE, IO.
   */
  commit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): Promise<number>;
  /** Calls `handler` for each later change under the prefix, in order. Returns what stops it. */
  watch(prefix: string, handler: (event: MetaEvent) => void): () => void;
  /** Keys put with this lease vanish when it is not kept alive for `ttlMs`. */
  grantLease(ttlMs: number): Promise<string>;
  /** False when the lease has ended. */
  keepAlive(lease: string): Promise<boolean>;
  revokeLease(lease: string): Promise<void>;
  close(): Promise<void>;
}

export interface MetaStoreProvider {
  open(world: World, options: { folder: string }): Promise<MetaStore>;
}
