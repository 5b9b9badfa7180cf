/**
 * Recently read cells of the settled index, so that hot ones cost no lookup, copy and checksum each time. Holds only the
 * newest settled version of a cell, or that there is none, by container, in two generations of bounded size: when the younger is full the older
 * is dropped, and what is still read moves over.
 *
 * Nothing in it may outlive a change of its row in the index. Two things change rows. Settling changes those of cells that
 * a memtable has; the store evicts a cell when it is appended, and neither asks for nor puts in what a memtable has. And
 * maintenance changes those of the containers that the store bypasses meanwhile, until it sees what was changed.
 */
import type { ByteString } from "../base/bytes.ts";
import { MIB } from "../base/limits.ts";
import { uint32OfKey } from "../format/settled-row.ts";
import type { SettledVersion } from "../format/settled-version.ts";
import { type ContainerRange, isInContainers } from "./reclaim-table.ts";

/** Bytes of one generation, as estimated, over all containers: a hundred thousand cells of 100 bytes fit. */
export const READ_CACHE_BYTES = 40 * MIB;
/** What an entry takes beside its key and row. */
const ENTRY_BYTES = 200;
/** What a container takes that has entries. */
const SHELF_BYTES = 1000;

/** That the index has no row of the cell: dkeys that were never punched are asked for with each operation beneath them. */
export const ABSENT = "absent";

/** What is known of a cell. */
type Cached = SettledVersion | typeof ABSENT;

/** What is cached of one container. */
interface Shelf {
  readonly container: number;
  young: Map<ByteString, Cached>;
  old: Map<ByteString, Cached>;
  youngBytes: number;
}

export class ReadCache {
  readonly #shelves = new Map<number, Shelf>();
  /** The shelf asked for last. */
  #last: Shelf | undefined;
  #youngBytes = 0;
  #bypassed: ContainerRange | undefined;

  /** Undefined: nothing is known. */
  get(key: ByteString): Cached | undefined {
    const shelf = this.#shelf(uint32OfKey(key));
    if (shelf === undefined) return undefined;
    const found = shelf.young.get(key);
    if (found !== undefined || shelf.old.size === 0) return found;
    const aged = shelf.old.get(key);
    if (aged !== undefined) this.put(key, aged);
    return aged;
  }

  /** Does nothing for a container that is bypassed. */
  put(key: ByteString, version: Cached): void {
    const container = uint32OfKey(key);
    if (this.#bypassed !== undefined && isInContainers(this.#bypassed, container)) return;
    const bytes = entryBytes(key, version);
    if (this.#youngBytes + bytes > READ_CACHE_BYTES) this.#age();
    const shelf = this.#shelf(container) ?? this.#addShelf(container);
    shelf.young.set(key, version);
    shelf.youngBytes += bytes;
    this.#youngBytes += bytes;
  }

  #shelf(container: number): Shelf | undefined {
    if (this.#last?.container === container) return this.#last;
    const shelf = this.#shelves.get(container);
    if (shelf !== undefined) this.#last = shelf;
    return shelf;
  }

  #addShelf(container: number): Shelf {
    const shelf: Shelf = { container, young: new Map(), old: new Map(), youngBytes: SHELF_BYTES };
    this.#shelves.set(container, shelf);
    this.#youngBytes += SHELF_BYTES;
    return shelf;
  }

  #age(): void {
    this.#youngBytes = 0;
    for (const shelf of this.#shelves.values()) {
      if (shelf.young.size === 0) {
        this.#drop(shelf);
        continue;
      }
      shelf.old = shelf.young;
      shelf.young = new Map();
      shelf.youngBytes = SHELF_BYTES;
      this.#youngBytes += SHELF_BYTES;
    }
  }

  #drop(shelf: Shelf): void {
    this.#shelves.delete(shelf.container);
    this.#last = undefined;
  }

  /** Forgets a cell: it is about to change. Costs next to nothing while the cache is empty. */
  evict(key: ByteString): void {
    if (this.#shelves.size === 0) return;
    const shelf = this.#shelf(uint32OfKey(key));
    if (shelf === undefined) return;
    if (shelf.old.size > 0) shelf.old.delete(key);
    const version = shelf.young.get(key);
    if (version === undefined) return;
    shelf.young.delete(key);
    const bytes = entryBytes(key, version);
    shelf.youngBytes -= bytes;
    this.#youngBytes -= bytes;
  }

  /** Forgets everything. */
  clear(): void {
    this.#shelves.clear();
    this.#last = undefined;
    this.#youngBytes = 0;
  }

  /** Forgets the containers, and takes nothing of them until another range, or none, is given. */
  bypass(range: ContainerRange | undefined): void {
    this.#bypassed = range;
    if (range === undefined) return;
    for (const shelf of this.#shelves.values()) {
      if (!isInContainers(range, shelf.container)) continue;
      this.#youngBytes -= shelf.youngBytes;
      this.#drop(shelf);
    }
  }
}

function entryBytes(key: ByteString, version: Cached): number {
  if (version === ABSENT) return key.length + ENTRY_BYTES;
  return key.length + version.rowBytes + (version.extent?.checksums.byteLength ?? 0) + ENTRY_BYTES;
}
