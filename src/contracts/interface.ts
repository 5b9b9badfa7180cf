/**
 * Extension point `interface`: a data model on a container (KV, POSIX ...), built on the client library's object calls
 * alone, so that it runs wherever a client runs.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import type { ObjectClass } from "../base/object-class.ts";
import type { ObjectId } from "../base/object-id.ts";

export interface FetchedValue {
  readonly value: Uint8Array;
  /** Epoch at which this value was written. */
  readonly epoch: Epoch;
}

export type Condition = "always" | "ifExists" | "ifAbsent";

/** The object calls an interface may use; src/client implements them. Rejections are DaosError. */
export interface ObjectAccess {
  /** Container type the interface asked for at creation, such as `kv`. */
  readonly containerType: string;
  /** The container's class for objects whose creator names none. Never changes in the life of a container. */
  readonly defaultClass: ObjectClass;
  fetchValue(
    oid: ObjectId,
    dkey: ByteString,
    akey: ByteString,
    options?: { epoch?: Epoch; signal?: AbortSignal },
  ): Promise<FetchedValue | undefined>;
  updateValue(
    oid: ObjectId,
    dkey: ByteString,
    akey: ByteString,
    value: Uint8Array,
    options?: { condition?: Condition; signal?: AbortSignal },
  ): Promise<Epoch>;
  punchAkey(
    oid: ObjectId,
    dkey: ByteString,
    akey: ByteString,
    options?: { condition?: Condition; signal?: AbortSignal },
  ): Promise<Epoch>;
  /** Dkeys with a visible value, in byte order, after `after`, with this prefix; at most `limit`. */
  listDkeys(
    oid: ObjectId,
    options?: { prefix?: ByteString; after?: ByteString; limit?: number; epoch?: Epoch; signal?: AbortSignal },
  ): Promise<ByteString[]>;
}

export interface InterfaceProvider {
  /** Container types this interface gives meaning to. */
  readonly containerTypes: readonly string[];
  /** Opens the data model on a container; its shape is the interface's own, documented by it. */
  open(access: ObjectAccess): unknown;
}
