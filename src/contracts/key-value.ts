/**
 * The data model that an interface plugin gives a container of type `kv`: one flat, ordered map from keys to values.
 * It stands beside the contracts so that the client library can name it without knowing the plugin.
 *
 * Keys are text (its UTF-8 bytes) or bytes, up to MAX_DKEY_BYTES; empty ones are legal. Values are bytes up to
 * MAX_SINGLE_VALUE_BYTES, replaced as a whole. All rejections are DaosError.
 */
import type { Epoch } from "../base/epoch.ts";
import type { Key } from "../base/key.ts";
import type { Condition, FetchedValue } from "./interface.ts";

export interface KeyValueReadOptions {
  readonly epoch?: Epoch;
  readonly signal?: AbortSignal;
}
export interface KeyValueWriteOptions {
  readonly condition?: Condition;
  readonly signal?: AbortSignal;
}
export interface KeyValueListOptions extends KeyValueReadOptions {
  /** Only keys that begin with this. */
  readonly prefix?: Key;
  /** Only keys behind this one, in byte order. */
  readonly after?: Key;
  /** At most so many keys; all without it. */
  readonly limit?: number;
}

export interface KeyValue {
  /** The key's value and the epoch that wrote it; undefined when there is none. The value is the caller's. */
  get(key: Key, options?: KeyValueReadOptions): Promise<FetchedValue | undefined>;
  /**
   * Durable when resolved. The value must not change until then. Rejects with TOO_LARGE before anything is sent,
   * ALREADY_EXISTS or DOES_NOT_EXIST when the condition fails, NO_SPACE.
   */
  put(key: Key, value: Uint8Array, options?: KeyValueWriteOptions): Promise<Epoch>;
  /** Durable when resolved. Without a condition, deleting what is not there succeeds; `ifExists`: DOES_NOT_EXIST. */
  delete(key: Key, options?: KeyValueWriteOptions): Promise<Epoch>;
  /** Keys in byte order, fetched in pages as they are asked for. Sees writes that happen meanwhile, or not. */
  list(options?: KeyValueListOptions): AsyncIterable<Uint8Array>;
}
