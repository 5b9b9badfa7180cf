/** A target's objects as folding needs them: erasure-coded akeys and their extents, and the share of a fold. */
import type { AkeyPlace } from "../base/key-place.ts";
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { MAX_ENUMERATION_KEYS } from "../base/limits.ts";
import { FIRST_ERASURE_NUMBER } from "../base/object-class.ts";
import { isErasureCoded, OBJECT_ID_BYTES } from "../base/object-id.ts";
import type { AddressSpace, DataExtent } from "../contracts/redundancy.ts";
import type { FoldStore } from "../dtx/fold-store.ts";
import { SHARD_PAGE_EXTENTS } from "../dtx/sharded-akey.ts";
import type { ObjectRequest } from "../format/object-request.ts";
import type { PartBytes } from "../format/prepare-request.ts";
import type { CellStore } from "../store/cell.ts";
import type { FoldMoment } from "../vos/shard-write.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import { stable } from "../vos/durable.ts";

export class TargetFoldStore implements FoldStore {
  readonly #store: CellStore;
  readonly #objects: VersionedObjects;

  constructor(store: CellStore, objects: VersionedObjects) {
    this.#store = store;
    this.#objects = objects;
  }

  async apply(
    container: number,
    { oid, dkey, akey, recordBytes }: ObjectRequest,
    parts: readonly PartBytes[],
    fold: FoldMoment,
  ): Promise<void> {
    const update = { oid, dkey, akey, recordBytes, fold };
    const { sequence } = await this.#objects.writeShard(container, update, parts);
    await stable(this.#store, sequence);
  }

  wasFilled(container: number): boolean {
    return this.#objects.filledAt(container) > 0;
  }

  heldFrom(container: number): Epoch | undefined {
    let oldest: Epoch | undefined;
    for (const lock of this.#objects.locks.locks) {
      const isHere = lock.container === container && isErasureCoded(lock.oid);
      if (isHere && (oldest === undefined || lock.epoch < oldest)) oldest = lock.epoch;
    }
    return oldest;
  }

  async *akeys(container: number): AsyncGenerator<AkeyPlace, void, void> {
    for (let after: ByteString | undefined; ;) {
      const limit = after === undefined ? 1 : MAX_ENUMERATION_KEYS;
      const page = { limit, epoch: EPOCH_NONE, ...(after !== undefined && { after }) };
      const { objects, done, anchor, sequence } = await this.#objects.listObjects(container, page);
      await this.#lasting(sequence);
      for (const oid of objects) {
        if (!isErasureCoded(oid)) break;
        yield* this.#akeysOfObject(container, oid);
      }
      const last = objects.find((oid) => !isErasureCoded(oid)) ?? anchor;
      if (done && objects.every((oid) => isErasureCoded(oid))) return;
      if (last === undefined) return;
      // Others of this type come first: the next that may be erasure-coded lies behind them all.
      after = isErasureCoded(last as AkeyPlace["oid"]) ? last : lastPlain(last);
    }
  }

  /** Resolves when nothing can undo what a listing rests on. Rejects with UNAVAILABLE when something did. */
  async #lasting(sequence: number): Promise<void> {
    try {
      await stable(this.#store, sequence);
    } catch (error) {
      if (!hasCode(error, "CONFLICT")) throw error;
      const state = "an update was undone meanwhile";
      throw new DaosError("UNAVAILABLE", `Cannot list what is to be folded: ${state}. Retry.`, { cause: error });
    }
  }

  async *#akeysOfObject(container: number, oid: AkeyPlace["oid"]): AsyncGenerator<AkeyPlace, void, void> {
    const dkeys = this.#keys((page) => this.#objects.listDkeys(container, { oid, ...page }));
    for await (const dkey of dkeys) yield* this.akeysOf(container, { oid, dkey });
  }

  async *akeysOf(
    container: number,
    { oid, dkey }: Pick<AkeyPlace, "oid" | "dkey">,
  ): AsyncGenerator<AkeyPlace, void, void> {
    const akeys = this.#keys((page) => this.#objects.listAkeys(container, { oid, dkey, ...page }));
    for await (const akey of akeys) yield { oid, dkey, akey };
  }

  async *#keys(
    list: (page: { limit: number; epoch: Epoch; after?: ByteString }) => ReturnType<VersionedObjects["listDkeys"]>,
  ): AsyncGenerator<ByteString, void, void> {
    for (let after: ByteString | undefined; ;) {
      const page = { limit: MAX_ENUMERATION_KEYS, epoch: EPOCH_NONE, ...(after !== undefined && { after }) };
      const { keys, done, anchor, sequence } = await list(page);
      await this.#lasting(sequence);
      yield* keys;
      if (done || anchor === undefined) return;
      after = anchor;
    }
  }

  async *extents(container: number, place: AkeyPlace): AsyncGenerator<readonly DataExtent[], void, void> {
    for (let from = 0; ;) {
      const request = { ...place, epoch: EPOCH_NONE, from, limit: MAX_ENUMERATION_KEYS };
      const page = await this.#objects.listExtents(container, request);
      await this.#lasting(page.sequence);
      yield page.extents.map(({ index, count, epoch }) => ({ address: index, length: count, epoch }));
      if (page.done) return;
      from = page.next;
    }
  }

  async extentsIn(
    container: number,
    { oid, dkey, akey, epoch }: AkeyPlace & { readonly epoch: Epoch },
    { start, end }: AddressSpace,
  ): Promise<readonly DataExtent[]> {
    const extents: DataExtent[] = [];
    for (let from = start; ;) {
      const limit = SHARD_PAGE_EXTENTS - extents.length;
      const page = await this.#objects.listExtents(container, { oid, dkey, akey, epoch, from, to: end, limit });
      await stable(this.#store, page.sequence);
      for (const { index, count, epoch: written } of page.extents) {
        extents.push({ address: index, length: count, epoch: written });
      }
      if (page.done || extents.length >= SHARD_PAGE_EXTENTS) return extents;
      from = page.next;
    }
  }
}

/** The last id of the same type that is not erasure-coded, as far as numbers go. */
function lastPlain(oid: ByteString): ByteString {
  const type = oid.charCodeAt(0);
  const rest = "\xff".repeat(OBJECT_ID_BYTES - 2);
  return (String.fromCharCode(type, FIRST_ERASURE_NUMBER - 1) + rest) as ByteString;
}
