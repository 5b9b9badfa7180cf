/**
 * The attributes of one array: kept with the array, read once, written before its first record. Two clients that begin
 * the same array at once agree, for only one of them can write the attributes.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import { MAX_CHUNK_BYTES, MAX_RECORD_BYTES } from "../base/limits.ts";
import type { ObjectId } from "../base/object-id.ts";
import {
  ARRAY_ATTRIBUTES_AKEY,
  type ArrayAttributes,
  decodeArrayAttributes,
  encodeArrayAttributes,
} from "../format/array-attributes.ts";
import { ATTRIBUTES_DKEY } from "./array-pieces.ts";
import type { ObjectOperations, ReadOptions } from "./object-operations.ts";
import { abortable } from "./retry.ts";

export interface RequestedAttributes {
  /** Named by the caller: an array with others is refused. */
  readonly recordBytes?: number | undefined;
  readonly chunkBytes?: number | undefined;
  /** Chunk of a new array when none is named: the container's. */
  readonly defaultChunkBytes: number;
}

export class ArrayAttributeStore {
  /** What is stored, or what would be. */
  current: ArrayAttributes;
  readonly #operations: ObjectOperations;
  readonly #oid: ObjectId;
  readonly #requested: RequestedAttributes;
  #isStored = false;
  #creating: Promise<void> | undefined;

  /** Throws INVALID_ARGUMENT when the sizes asked for cannot be. */
  constructor(operations: ObjectOperations, oid: ObjectId, requested: RequestedAttributes) {
    this.#operations = operations;
    this.#oid = oid;
    this.#requested = requested;
    this.current = newAttributes(requested);
  }

  /** The stored attributes, once they are known. */
  get stored(): ArrayAttributes | undefined {
    return this.#isStored ? this.current : undefined;
  }

  /** The stored attributes, or those of a new array while there is none. Rejects with INVALID_ARGUMENT when others were named. */
  async forRead(options: ReadOptions): Promise<ArrayAttributes> {
    if (!this.#isStored) await this.#load(options);
    return this.current;
  }

  /** The stored attributes; writes those of a new array when there are none. */
  async forWrite(options: { readonly signal?: AbortSignal | undefined }): Promise<ArrayAttributes> {
    if (this.#isStored) return this.current;
    this.#creating ??= this.#create().finally(() => (this.#creating = undefined));
    await abortable(this.#creating, options.signal);
    return this.current;
  }

  async #create(): Promise<void> {
    if (await this.#load({})) return;
    try {
      const record = encodeArrayAttributes(this.current);
      const options = { condition: "ifAbsent" } as const;
      await this.#operations.updateValue(this.#oid, ATTRIBUTES_DKEY, ARRAY_ATTRIBUTES_AKEY, record, options);
      this.#isStored = true;
    } catch (error) {
      // Another client was first, or our own request got through though its answer did not.
      const mayBeThere = hasCode(error, "ALREADY_EXISTS") || hasCode(error, "UNAVAILABLE");
      if (!mayBeThere || !(await this.#load({}))) throw error;
    }
  }

  /** True when there are stored attributes. */
  async #load(options: ReadOptions): Promise<boolean> {
    const stored = await this.#operations.fetchValue(this.#oid, ATTRIBUTES_DKEY, ARRAY_ATTRIBUTES_AKEY, options);
    if (stored === undefined) return false;
    const attributes = decodeArrayAttributes(stored.value);
    this.#checkRequested(attributes);
    this.current = attributes;
    this.#isStored = true;
    return true;
  }

  #checkRequested(stored: ArrayAttributes): void {
    for (const name of ["recordBytes", "chunkBytes"] as const) {
      const wanted = this.#requested[name];
      if (wanted === undefined || wanted === stored[name]) continue;
      const state = `it has ${name} ${stored[name]}, not ${wanted}`;
      throw new DaosError("INVALID_ARGUMENT", `Cannot open array: ${state}. Open it without naming them.`);
    }
  }
}

function newAttributes(requested: RequestedAttributes): ArrayAttributes {
  const recordBytes = requested.recordBytes ?? 1;
  if (!Number.isSafeInteger(recordBytes) || recordBytes < 1 || recordBytes > MAX_RECORD_BYTES) {
    throw impossible(`recordBytes ${recordBytes} is not from 1 to ${MAX_RECORD_BYTES}`);
  }
  const fitting = Math.max(1, Math.floor(requested.defaultChunkBytes / recordBytes)) * recordBytes;
  const chunkBytes = requested.chunkBytes ?? fitting;
  if (!Number.isSafeInteger(chunkBytes) || chunkBytes < recordBytes || chunkBytes > MAX_CHUNK_BYTES) {
    throw impossible(`chunkBytes ${chunkBytes} is not from ${recordBytes} to ${MAX_CHUNK_BYTES}`);
  }
  if (chunkBytes % recordBytes !== 0) throw impossible(`chunkBytes ${chunkBytes} is no multiple of ${recordBytes}`);
  return { recordBytes, chunkBytes };
}

function impossible(state: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot open array: ${state}. Choose other sizes.`);
}
