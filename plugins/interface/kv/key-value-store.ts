/**
 * The map of a `kv` container, on the object calls of an interface. It keeps no state: every call is one object call, so
 * what it guarantees about durability, order and conditions is what those guarantee.
 */
import { bytesOf, type ByteString } from "../../../src/base/bytes.ts";
import { notBytes } from "../../../src/base/bytes-argument.ts";
import type { Epoch } from "../../../src/base/epoch.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { byteStringOfKey, dkeyOf, type Key } from "../../../src/base/key.ts";
import { MAX_ENUMERATION_KEYS, MAX_SINGLE_VALUE_BYTES } from "../../../src/base/limits.ts";
import { type ObjectId, objectId } from "../../../src/base/object-id.ts";
import type { FetchedValue, ObjectAccess } from "../../../src/contracts/interface.ts";
import type {
  KeyValue,
  KeyValueListOptions,
  KeyValueReadOptions,
  KeyValueWriteOptions,
} from "../../../src/contracts/key-value.ts";

/** DAOS's KV objects keep their values at no akey. */
const VALUE_AKEY = "" as ByteString;
/** The user part of the object's id: the first object of the container. */
const USER_HIGH = 0;
const USER_LOW = 1n;

export class KeyValueStore implements KeyValue {
  readonly #access: ObjectAccess;
  readonly #oid: ObjectId;

  constructor(access: ObjectAccess) {
    this.#access = access;
    this.#oid = objectId("KV_LEXICAL", access.defaultClass, USER_HIGH, USER_LOW);
  }

  get(key: Key, options?: KeyValueReadOptions): Promise<FetchedValue | undefined> {
    try {
      return this.#access.fetchValue(this.#oid, dkeyOf(key), VALUE_AKEY, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  put(key: Key, value: Uint8Array, options?: KeyValueWriteOptions): Promise<Epoch> {
    try {
      const dkey = dkeyOf(key);
      if (!(value instanceof Uint8Array)) throw notBytes("put the value", value);
      if (value.length > MAX_SINGLE_VALUE_BYTES) throw valueTooLarge(dkey, value.length);
      return this.#access.updateValue(this.#oid, dkey, VALUE_AKEY, value, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  delete(key: Key, options?: KeyValueWriteOptions): Promise<Epoch> {
    try {
      return this.#access.punchAkey(this.#oid, dkeyOf(key), VALUE_AKEY, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async *list(options: KeyValueListOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    const { epoch, signal } = options;
    const prefix = options.prefix === undefined ? undefined : byteStringOfKey(options.prefix);
    let after = options.after === undefined ? undefined : byteStringOfKey(options.after);
    let left = checkedLimit(options.limit);
    while (left > 0) {
      const limit = Math.min(left, MAX_ENUMERATION_KEYS);
      const page = await this.#access.listDkeys(this.#oid, {
        limit,
        ...(prefix !== undefined && { prefix }),
        ...(after !== undefined && { after }),
        ...(epoch !== undefined && { epoch }),
        ...(signal !== undefined && { signal }),
      });
      for (const dkey of page) yield bytesOf(dkey);
      if (page.length < limit) return;
      after = page[page.length - 1];
      left -= page.length;
    }
  }
}

function checkedLimit(limit: number | undefined): number {
  if (limit === undefined) return Number.MAX_SAFE_INTEGER;
  if (Number.isSafeInteger(limit) && limit >= 0) return limit;
  throw new DaosError("INVALID_ARGUMENT", `Cannot list keys: limit "${limit}" is no count. Give a whole number.`);
}

function valueTooLarge(dkey: ByteString, sizeBytes: number): DaosError {
  const name = Buffer.from(bytesOf(dkey)).toString("utf8");
  return new DaosError(
    "TOO_LARGE",
    `Cannot put "${name.slice(0, 64)}": the value has ${sizeBytes} bytes, ${MAX_SINGLE_VALUE_BYTES} ` +
      "are allowed. Store it as an array: `daos object put`, or Container.array().",
  );
}
