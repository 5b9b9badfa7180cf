/**
 * Dkeys as they are stored, to be copied from one target to another: what any reader of the latest state or of a snapshot
 * sees of them, cell by cell, with original epochs (shown-cells.ts). What nobody sees is left behind, so a copy is complete
 * for these readers only: reads at other epochs before it was made are refused (fill-marks.ts). What transactions keep of
 * the dkey goes with it. Punches of an object without redundancy, which are not in the dkey, become punches of the dkey.
 *
 * A dkey is written where nothing of it is: epochs of a cell ascend as ever.
 */
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_MAX, type Epoch } from "../base/epoch.ts";
import type { DkeyPlace } from "../base/key-place.ts";
import { Digest } from "../base/digest.ts";
import { KIB, MIB } from "../base/limits.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { CopiedVersion } from "../format/fill-message.ts";
import { type CellWrite, type KeyRange, type ReclaimRange, VersionKind } from "../store/cell.ts";
import { isUndecided } from "../store/stability.ts";
import { windowLead } from "./array-window.ts";
import {
  akeyPrefixOf,
  beneathStart,
  containerPrefix,
  dkeyPrefix,
  dkeyPrefixOf,
  nameOfPrefix,
  OBJECT_PREFIX_BYTES,
  objectOfPrefix,
  ownCellKey,
  prefixEnd,
  snapshotStart,
} from "./cell-key.ts";
import { MetaType } from "./cell-meta.ts";
import { LATEST } from "./condition.ts";
import { writeLed } from "./led-extent.ts";
import { RECORD_OVERHEAD_BYTES } from "./single-value.ts";
import { type MadeVersion, ShownCells, type VersionMaker } from "./shown-cells.ts";
import type { TargetObjects } from "./target-objects.ts";
import {
  dkeyTransactions,
  isTransactionKey,
  keyFromDkey,
  regionKey,
  transactionRange,
  withoutRegion,
} from "./transaction-cells.ts";
import { firstKey } from "./first-key.ts";
import { VersionCopies } from "./version-copies.ts";
import { SUMMING, type SummedVersion } from "./version-sums.ts";
import { hasCodedObject } from "./object-scan.ts";

/** Bytes of a page, but one version at least. */
const PAGE_BYTES = 1 * MIB;
/** Cells of a page. */
const PAGE_CELLS = 512;
/** Bytes of versions that one record holds, but one version at least. */
const RECORD_BYTES = 32 * KIB;
/** Punches of one dkey that leave reclaims. Others keep what they hide until they are punched again. */
const MAX_RECLAIMS = 256;

export interface StoredDkey extends DkeyPlace {
  /** Of its cells. */
  readonly prefix: string;
}

export interface DkeyList {
  readonly places: readonly StoredDkey[];
  /** The prefix after which the next list begins; undefined: there is no more. */
  readonly after: string | undefined;
}

export interface CopyPage {
  /** Of each cell from the oldest on. */
  readonly versions: readonly CopiedVersion[];
  /** Where the next page begins; undefined: this is the last one. */
  readonly next: ByteString | undefined;
  /** What the page rests on: see CellStore.whenStable. */
  readonly sequence: number;
  /** Something in it is not decided. */
  readonly isUndecided: boolean;
}

interface ShownPage<Made> extends Pick<CopyPage, "next" | "sequence"> {
  readonly found: readonly Made[];
}

export class DkeyCopies {
  readonly #target: TargetObjects;

  constructor(target: TargetObjects) {
    this.#target = target;
  }

  /**
   * Dkeys of the objects that `wanted` says yes to, or of one of them, that have cells here, whether anything of them is visible
   * or not, in order.
   */
  list(
    container: number,
    after: string | undefined,
    limit: number,
    wanted: (oid: ObjectId) => boolean = () => true,
    oid?: ObjectId,
  ): DkeyList {
    const prefix = containerPrefix(container) + (oid ?? "");
    const end = oid === undefined ? snapshotStart(prefix) : prefixEnd(prefix);
    const places: StoredDkey[] = [];
    const heldEnd = oid === undefined ? transactionRange(container).to : regionKey(end);
    let from = after === undefined ? (prefix as ByteString) : behind(after);
    let last = after;
    while (places.length < limit) {
      const plain = firstKey(this.#target.store, from, end);
      const held = firstKey(this.#target.store, regionKey(from), heldEnd);
      const inDkey = held === undefined ? undefined : withoutRegion(held);
      const found = plain === undefined || (inDkey !== undefined && inDkey < plain) ? inDkey : plain;
      if (found === undefined) return { places, after: undefined };
      const object = found.slice(0, OBJECT_PREFIX_BYTES);
      const own = objectOfPrefix(object);
      if (!wanted(own)) from = prefixEnd(object);
      else if (found.length === OBJECT_PREFIX_BYTES + 1) from = beneathStart(object);
      else {
        last = dkeyPrefixOf(found);
        places.push({ oid: own, dkey: nameOfPrefix(last, object), prefix: last });
        from = behind(last);
      }
    }
    return { places, after: last };
  }

  prefixOf(container: number, oid: ObjectId, dkey: ByteString): string {
    return dkeyPrefix(containerPrefix(container) + oid, dkey);
  }

  /** The dkey of a prefix; undefined when it is none. */
  placeOf(prefix: string): StoredDkey | undefined {
    const object = prefix.slice(0, OBJECT_PREFIX_BYTES);
    if (prefix.length <= OBJECT_PREFIX_BYTES || dkeyPrefixOf(`${prefix}\x00`) !== prefix) return undefined;
    return { oid: objectOfPrefix(object), dkey: nameOfPrefix(prefix, object), prefix };
  }

  /** Whether any cell of the dkey is here. */
  has(prefix: string): boolean {
    const { from, to } = dkeyTransactions(prefix);
    return (
      firstKey(this.#target.store, ownCellKey(prefix), prefixEnd(prefix)) !== undefined ||
      firstKey(this.#target.store, from, to) !== undefined
    );
  }

  /** See hasCodedObject. */
  hasCoded(container: number): boolean {
    return hasCodedObject(this.#target.store, container);
  }

  /** Removes all of these dkeys (ascending): see CellStore.purge. */
  async purge(prefixes: readonly string[]): Promise<void> {
    const { store, locks } = this.#target;
    const ranges: KeyRange[] = prefixes.map((prefix) => ({ from: ownCellKey(prefix), to: prefixEnd(prefix) }));
    await store.purge(ranges);
    const held = prefixes
      .map(dkeyTransactions)
      .filter(({ from, to }) => firstKey(this.#target.store, from, to) !== undefined);
    await store.purge(held);
    if (held.length > 0) locks.removeDkeys(prefixes);
  }

  /** The part of a dkey from a cell on. Rejects with NOT_FOUND (container), CORRUPT, IO. */
  async read(container: number, prefix: string, from: ByteString = ownCellKey(prefix)): Promise<CopyPage> {
    const copying = new VersionCopies(this.#target, prefix);
    const page = this.#page(container, prefix, from, copying, () => copying.sizeBytes >= PAGE_BYTES);
    await copying.read();
    const { found: versions, next, sequence } = page;
    return { versions, next, sequence, isUndecided: isUndecided(sequence) };
  }

  /**
   * A digest of what `read` gives, without reading any bytes: two targets that have the same one, of the same snapshots, show
   * the same. Undefined while something of it is undecided. Throws NOT_FOUND (container).
   */
  digest(container: number, prefix: string): Uint8Array | undefined {
    const digest = new Digest();
    for (let from: ByteString | undefined = ownCellKey(prefix); from !== undefined;) {
      const page: ShownPage<SummedVersion> = this.#page(container, prefix, from, SUMMING, () => false);
      if (isUndecided(page.sequence)) return undefined;
      for (const { key, epoch, kind, meta, checksum, sizeBytes } of page.found) {
        digest.addText(key.slice(prefix.length) as ByteString);
        for (const word of [epoch, kind, checksum, sizeBytes]) digest.add(word);
        digest.addBytes(meta);
      }
      from = page.next;
    }
    return digest.finish();
  }

  #page<Made extends MadeVersion>(
    container: number,
    prefix: string,
    from: ByteString,
    maker: VersionMaker<Made>,
    isFull: () => boolean,
  ): ShownPage<Made> {
    const shown = new ShownCells(this.#target, container, prefix, maker);
    shown.seen.add(this.#target.pending(this.#target.object(container, objectOfPrefix(prefix)).sequence));
    const held = dkeyTransactions(prefix);
    if (from === ownCellKey(prefix)) shown.addOwn();
    const keys: ByteString[] = [];
    const add = (key: ByteString): boolean => key === ownCellKey(prefix) || keys.push(key) <= PAGE_CELLS;
    if (!isTransactionKey(from)) this.#target.store.scan(from, prefixEnd(prefix), EPOCH_MAX, add);
    const heldFrom = isTransactionKey(from) ? from : held.from;
    if (keys.length <= PAGE_CELLS) this.#target.store.scan(heldFrom, held.to, EPOCH_MAX, add);
    let next: ByteString | undefined;
    for (const [place, key] of keys.entries()) {
      if (place === PAGE_CELLS || isFull()) {
        next = key;
        break;
      }
      if (isTransactionKey(key)) shown.addLatest(key);
      else shown.add(key);
    }
    return { found: shown.found, next, sequence: shown.seen.sequence };
  }

  /**
   * Writes versions of a dkey; `mayWrite` is asked in the turn of each append, and throws when it must not happen any more.
   * Returns the sequence of the last record. Rejects with NO_SPACE, READ_ONLY, IO.
   */
  async write(
    container: number,
    prefix: string,
    versions: readonly CopiedVersion[],
    mayWrite: () => void,
  ): Promise<number> {
    const target = this.#target;
    const inlineBytes = target.inlineBytes(container);
    let sequence = 0;
    for (let at = 0; at < versions.length;) {
      const writes: CellWrite[] = [];
      const keys = new Set<ByteString>();
      let bytes = RECORD_OVERHEAD_BYTES;
      try {
        for (; at < versions.length; at += 1) {
          const version = versions[at]!;
          const size = recordedBytes(version, inlineBytes);
          if (keys.has(version.key) || (writes.length > 0 && bytes + size > RECORD_BYTES)) break;
          keys.add(version.key);
          bytes += size;
          writes.push(await this.#stored({ ...version, key: keyFromDkey(version.key, prefix) }, inlineBytes));
        }
        await target.admit(bytes, false);
        mayWrite();
      } catch (error) {
        for (const { extent } of writes) if (extent !== undefined) target.store.abandonExtent(extent);
        throw error;
      }
      for (const { epoch } of writes) target.containers.noteWrite(epoch);
      sequence = target.store.append(writes);
      target.locks.changedCells(writes.map(({ key }) => key));
    }
    return sequence;
  }

  async #stored({ key, epoch, kind, meta, bytes, checksum }: CopiedVersion, inlineBytes: number): Promise<CellWrite> {
    const write = { key, epoch, kind, meta };
    if (bytes === undefined) return write;
    const lead = leadOf(meta);
    if (bytes.length <= inlineBytes || lead === undefined) return { ...write, inline: bytes, checksum };
    return { ...write, extent: await writeLed(this.#target, lead, bytes, checksum) };
  }

  /** After all of a dkey is written: what punches hide of it goes once no snapshot shows it. Returns the record's sequence. */
  async finish(prefix: string, mayWrite: () => void): Promise<number> {
    const target = this.#target;
    const reclaims: ReclaimRange[] = [];
    const add = (owner: string, epoch: Epoch): void =>
      void reclaims.push({ from: beneathStart(owner), to: prefixEnd(owner), epoch });
    target.store.versions(ownCellKey(prefix), LATEST, ({ epoch, kind }) => {
      if (kind !== VersionKind.tombstone) add(prefix, epoch);
      return false;
    });
    target.store.scan(beneathStart(prefix), prefixEnd(prefix), LATEST, (key, { epoch, kind }) => {
      const akey = akeyPrefixOf(key, prefix);
      if (kind === VersionKind.tombstone && key.length === akey.length + 1) add(akey, epoch);
      return reclaims.length < MAX_RECLAIMS;
    });
    if (reclaims.length === 0) return 0;
    await target.admit(
      reclaims.reduce((sum, { from, to }) => sum + RECORD_OVERHEAD_BYTES + from.length + to.length, 0),
      true,
    );
    mayWrite();
    return target.store.append([], reclaims);
  }
}

/** First key after everything of the dkey with this prefix, transactions included. */
function behind(prefix: string): ByteString {
  return `${prefix}\x03` as ByteString;
}

/** Where in their first block the bytes begin in an extent; undefined when they must stay in the record. */
function leadOf(meta: Uint8Array): number | undefined {
  const metaType = meta[0] ?? 0;
  const isPlain = metaType === MetaType.single || metaType === MetaType.transactionWrites;
  return isPlain ? 0 : windowLead({ metaType, meta });
}

/** Of the version in a record, at most. */
function recordedBytes({ key, meta, bytes }: CopiedVersion, inlineBytes: number): number {
  const length = bytes?.length ?? 0;
  const isInline = length <= inlineBytes || leadOf(meta) === undefined;
  return RECORD_OVERHEAD_BYTES + key.length + meta.length + (isInline ? length : length / 512);
}
