/**
 * One object: dkeys, akeys under each, and under each akey a single value or an array of records. What each operation
 * promises is told in docs/objects.md; keys are text (its UTF-8 bytes) or bytes, and empty keys and values are legal.
 */
import { notBytes } from "../base/bytes-argument.ts";
import { bytesOf } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { akeyOf, byteStringOfKey, dkeyOf, type Key } from "../base/key.ts";
import type { ObjectClass } from "../base/object-class.ts";
import { isErasureCoded, type ObjectId, objectClassOf } from "../base/object-id.ts";
import type { FetchedValue } from "../contracts/interface.ts";
import { type ExtentListReply, Opcode } from "../format/operations.ts";
import { erasureExtents } from "./erasure-extents.ts";
import { extentPage } from "./extent-page.ts";
import { keyPages, type KeyListSubject } from "./key-pages.ts";
import { queryKey } from "./key-query.ts";
import type { FetchOptions, ListOptions, ObjectOperations, ReadOptions, WriteOptions } from "./object-operations.ts";
import type { RecordRange } from "./record-range.ts";
import type { FoundKey, KeyQuery } from "./target-query.ts";

export interface KeyListOptions extends ReadOptions {
  /** Only keys that begin with this. */
  readonly prefix?: Key;
  /** Only keys behind this one. */
  readonly after?: Key;
  /** At most so many; all without it. */
  readonly limit?: number;
}

/** Visible records of an array, written at `epoch`. */
export type RecordExtent = ExtentListReply["extents"][number];

export interface ObjectKeyQuery {
  readonly direction: "max" | "min";
  /** What to find: any of these; a level that is not in it must be given below when a deeper one is. */
  readonly levels: readonly ("dkey" | "akey" | "extent")[];
  readonly dkey?: Key;
  readonly akey?: Key;
}

export interface ObjectKeyFound {
  readonly dkey?: Uint8Array;
  readonly akey?: Uint8Array;
  readonly extent?: { readonly index: number; readonly count: number };
}

export class ObjectHandle {
  readonly id: ObjectId;
  readonly #operations: ObjectOperations;

  /** Throws INVALID_ARGUMENT when the id names no object class. */
  constructor(operations: ObjectOperations, id: ObjectId) {
    objectClassOf(id);
    this.id = id;
    this.#operations = operations;
  }

  get objectClass(): ObjectClass {
    return objectClassOf(this.id);
  }

  /** The single value and the epoch that wrote it; undefined when there is none. The value is the caller's. */
  async fetch(dkey: Key, akey: Key, options?: FetchOptions): Promise<FetchedValue | undefined> {
    return this.#operations.fetchValue(this.id, dkeyOf(dkey), akeyOf(akey), options);
  }

  /** Replaces the single value. Durable when resolved; the value must not change until then. */
  async update(dkey: Key, akey: Key, value: Uint8Array, options?: WriteOptions): Promise<Epoch> {
    return this.#operations.updateValue(this.id, dkeyOf(dkey), akeyOf(akey), value, options);
  }

  /** Removes everything of the object. Durable when resolved, as every punch. */
  async punch(options?: WriteOptions): Promise<Epoch> {
    return this.#operations.punchObject(this.id, options);
  }

  async punchDkey(dkey: Key, options?: WriteOptions): Promise<Epoch> {
    return this.#operations.punchDkey(this.id, dkeyOf(dkey), options);
  }

  async punchAkey(dkey: Key, akey: Key, options?: WriteOptions): Promise<Epoch> {
    return this.#operations.punchAkey(this.id, dkeyOf(dkey), akeyOf(akey), options);
  }

  /**
   * `recordCount` records from `recordIndex` on; zeros where nothing was written. At most MAX_ARRAY_IO_BYTES
   * in one call (TOO_LARGE). INVALID_ARGUMENT when the akey has another record size, or a single value.
   */
  async readArray(dkey: Key, akey: Key, range: RecordRange, options?: FetchOptions): Promise<Uint8Array> {
    const bytes = await this.#operations.readRecords(this.id, dkeyOf(dkey), akeyOf(akey), range, options);
    return bytes ?? new Uint8Array(range.recordCount * range.recordBytes);
  }

  /** Writes whole records from `recordIndex` on; at most MAX_ARRAY_IO_BYTES in one call. Durable when resolved. */
  async writeArray(
    dkey: Key,
    akey: Key,
    at: Omit<RecordRange, "recordCount">,
    bytes: Uint8Array,
    options?: WriteOptions,
  ): Promise<Epoch> {
    if (!(bytes instanceof Uint8Array)) throw notBytes("write the records", bytes);
    const recordCount = bytes.length / at.recordBytes;
    if (!Number.isInteger(recordCount)) throw brokenRecords(bytes.length, at.recordBytes);
    const range = { ...at, recordCount };
    return this.#operations.writeRecords(this.id, dkeyOf(dkey), akeyOf(akey), range, bytes, options);
  }

  /** Makes the records read as zeros again, and not be counted as written. */
  async punchArray(dkey: Key, akey: Key, range: RecordRange, options?: WriteOptions): Promise<Epoch> {
    return this.#operations.punchRecords(this.id, dkeyOf(dkey), akeyOf(akey), range, options);
  }

  /** Dkeys with something visible, in byte order, fetched in pages as they are asked for. */
  listDkeys(options: KeyListOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    return this.#list({ opcode: Opcode.dkeyList, oid: this.id }, options);
  }

  /** Akeys of a dkey with something visible, in byte order. */
  listAkeys(dkey: Key, options: KeyListOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    return this.#list({ opcode: Opcode.akeyList, oid: this.id, dkey: dkeyOf(dkey) }, options);
  }

  /** Extents of visible records of an array akey, ascending, not overlapping. */
  async *listExtents(
    dkey: Key,
    akey: Key,
    options: ReadOptions & { readonly from?: number } = {},
  ): AsyncGenerator<RecordExtent, void, void> {
    const place = { oid: this.id, dkey: dkeyOf(dkey), akey: akeyOf(akey) };
    const { session } = this.#operations;
    const terms = { epoch: options.epoch ?? this.#operations.epoch, signal: options.signal };
    let from = options.from ?? 0;
    if (isErasureCoded(this.id)) {
      yield* erasureExtents(session, place, from, terms);
      return;
    }
    for (;;) {
      const page = await extentPage(session, place, place, { from }, terms);
      yield* page.extents;
      if (page.done) return;
      from = page.next!;
    }
  }

  /** The greatest or least dkey, akey or extent that is visible; undefined when there is none. */
  async queryKey(query: ObjectKeyQuery, options: ReadOptions = {}): Promise<ObjectKeyFound | undefined> {
    const { direction, levels, dkey, akey } = query;
    const wanted: KeyQuery = {
      direction,
      levels,
      dkey: dkey === undefined ? undefined : dkeyOf(dkey),
      akey: akey === undefined ? undefined : akeyOf(akey),
    };
    const found = await queryKey(this.#operations, this.id, wanted, options);
    return found === undefined ? undefined : publicForm(found);
  }

  async *#list(subject: KeyListSubject, options: KeyListOptions): AsyncGenerator<Uint8Array, void, void> {
    const { prefix, after, limit = Number.MAX_SAFE_INTEGER, ...rest } = options;
    const wanted: ListOptions = {
      ...rest,
      limit,
      prefix: prefix === undefined ? undefined : byteStringOfKey(prefix),
      after: after === undefined ? undefined : byteStringOfKey(after),
    };
    let left = limit;
    if (left <= 0) return;
    for await (const page of keyPages(this.#operations, subject, wanted)) {
      for (const key of page) {
        yield bytesOf(key);
        left -= 1;
        if (left === 0) return;
      }
    }
  }
}

function publicForm(found: FoundKey): ObjectKeyFound {
  return {
    ...(found.dkey !== undefined && { dkey: bytesOf(found.dkey) }),
    ...(found.akey !== undefined && { akey: bytesOf(found.akey) }),
    ...(found.extent !== undefined && { extent: found.extent }),
  };
}

function brokenRecords(sizeBytes: number, recordBytes: number): DaosError {
  const state = `${sizeBytes} bytes are no whole number of records of ${recordBytes} bytes`;
  return new DaosError("INVALID_ARGUMENT", `Cannot write array: ${state}. Send whole records.`);
}
