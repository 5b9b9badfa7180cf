/**
 * The object calls of an interface, in memory: what a container does, without an engine. Epochs count up by one.
 */
import { byteString, bytesOf, type ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import type { ObjectId } from "../../src/base/object-id.ts";
import type { Condition, FetchedValue, ObjectAccess } from "../../src/contracts/interface.ts";

interface StoredVersion {
  readonly epoch: Epoch;
  /** Absent: punched. */
  readonly value: ByteString | undefined;
}

interface CallOptions {
  readonly epoch?: Epoch;
  readonly signal?: AbortSignal;
}

export class MemoryObjectAccess implements ObjectAccess {
  readonly containerType: string;
  readonly defaultClass = objectClassByName("S1");
  /** Versions, oldest first, by object, dkey and akey. */
  readonly #cells = new Map<string, StoredVersion[]>();
  readonly #dkeys = new Map<ObjectId, Set<ByteString>>();
  #epoch = 0;
  /** Calls made so far. */
  calls = 0;

  constructor(containerType: string) {
    this.containerType = containerType;
  }

  /** The newest epoch. */
  get epoch(): Epoch {
    return this.#epoch as Epoch;
  }

  async fetchValue(oid: ObjectId, dkey: ByteString, akey: ByteString, options: CallOptions = {}) {
    this.#begin(options);
    const version = this.#visible(cellOf(oid, dkey, akey), options.epoch);
    if (version?.value === undefined) return undefined;
    return { value: bytesOf(version.value), epoch: version.epoch } satisfies FetchedValue;
  }

  async updateValue(
    oid: ObjectId,
    dkey: ByteString,
    akey: ByteString,
    value: Uint8Array,
    options: { condition?: Condition; signal?: AbortSignal } = {},
  ): Promise<Epoch> {
    return this.#change(oid, dkey, akey, byteString(value), options);
  }

  async punchAkey(
    oid: ObjectId,
    dkey: ByteString,
    akey: ByteString,
    options: { condition?: Condition; signal?: AbortSignal } = {},
  ): Promise<Epoch> {
    return this.#change(oid, dkey, akey, undefined, options);
  }

  async listDkeys(
    oid: ObjectId,
    options: CallOptions & { prefix?: ByteString; after?: ByteString; limit?: number } = {},
  ): Promise<ByteString[]> {
    this.#begin(options);
    const { prefix = "", after, limit = Number.POSITIVE_INFINITY, epoch } = options;
    const visible = [...(this.#dkeys.get(oid) ?? [])].filter(
      (dkey) => dkey.startsWith(prefix) && (after === undefined || dkey > after) && this.#hasValue(oid, dkey, epoch),
    );
    return visible.toSorted().slice(0, limit);
  }

  #change(
    oid: ObjectId,
    dkey: ByteString,
    akey: ByteString,
    value: ByteString | undefined,
    options: { condition?: Condition; signal?: AbortSignal },
  ): Epoch {
    this.#begin(options);
    const cell = cellOf(oid, dkey, akey);
    const exists = this.#visible(cell)?.value !== undefined;
    if (options.condition === "ifAbsent" && exists) throw new DaosError("ALREADY_EXISTS", "Cannot update: it exists.");
    if (options.condition === "ifExists" && !exists)
      throw new DaosError("DOES_NOT_EXIST", "Cannot change: it is absent.");
    this.#epoch += 1;
    const epoch = this.#epoch as Epoch;
    const versions = this.#cells.get(cell);
    if (versions === undefined) this.#cells.set(cell, [{ epoch, value }]);
    else versions.push({ epoch, value });
    const dkeys = this.#dkeys.get(oid);
    if (dkeys === undefined) this.#dkeys.set(oid, new Set([dkey]));
    else dkeys.add(dkey);
    return epoch;
  }

  #begin(options: { signal?: AbortSignal }): void {
    this.calls += 1;
    if (options.signal?.aborted === true) throw new DaosError("CANCELED", "Cannot go on: the caller canceled.");
  }

  #visible(cell: string, epoch = Number.MAX_SAFE_INTEGER): StoredVersion | undefined {
    return this.#cells.get(cell)?.findLast((version) => version.epoch <= (epoch === 0 ? this.#epoch : epoch));
  }

  #hasValue(oid: ObjectId, dkey: ByteString, epoch?: Epoch): boolean {
    const start = cellOf(oid, dkey, "" as ByteString);
    for (const cell of this.#cells.keys()) {
      if (cell.startsWith(start) && this.#visible(cell, epoch)?.value !== undefined) return true;
    }
    return false;
  }
}

/** Lengths keep a dkey's end apart from its akey's start. */
function cellOf(oid: ObjectId, dkey: ByteString, akey: ByteString): string {
  return `${oid}${dkey.length}:${dkey}|${akey}`;
}
