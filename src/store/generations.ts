/**
 * The memtables of a store, one a generation of whole log segments: the active one takes writes, frozen ones wait to be
 * settled, oldest first. A generation of many cells ends with its segment, so that settling it takes bounded memory; one
 * of few cells written over and over goes on. Never more than there are segments.
 *
 * Behind them all is what is *carried*: records that were moved to the head of the log because nobody had decided on
 * them when their generation was settled. Their versions are older than all others of their cells that are not settled.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { type CellUsage, type ReclaimRange, type Version, VersionKind } from "./cell.ts";
import type { LoggedVersion } from "./logged-version.ts";
import { Memtable } from "./memtable.ts";

/** Cells of so many full generations may wait to be settled; a cell takes some 500 bytes of memory. */
const MAX_FULL_GENERATIONS = 3;

export class Generations {
  readonly #generationCells: number;
  #frozenCells = 0;
  /** Youngest first. */
  #all: readonly Memtable[] = [new Memtable()];
  #active = this.#all[0]!;
  /** Not in `#all` while it is empty. */
  readonly #carried = new Memtable();
  /** What the records of all generations hold, bytes. */
  unsettledBytes = 0;

  /** A generation of `generationCells` cells takes no further segment. Reads ask one generation after another. */
  constructor(generationCells: number) {
    this.#generationCells = generationCells;
  }

  /** True when so many cells wait to be settled that memory needs no further ones. */
  get isCrowded(): boolean {
    return this.#frozenCells + this.#active.cellCount >= this.#generationCells * MAX_FULL_GENERATIONS;
  }

  get all(): readonly Memtable[] {
    return this.#all;
  }

  /** Returns what was replaced in the same generation. */
  put(key: ByteString, version: LoggedVersion, storedBytes: number): LoggedVersion | undefined {
    this.unsettledBytes += storedBytes;
    return this.#active.put(key, version, storedBytes);
  }

  /** Where `put` puts. */
  get active(): Memtable {
    return this.#active;
  }

  get carried(): Memtable {
    return this.#carried;
  }

  /** As `put`, into what is carried. */
  carry(key: ByteString, version: LoggedVersion, storedBytes: number): LoggedVersion | undefined {
    if (this.#carried.cellCount === 0) this.#all = [...this.#all, this.#carried];
    this.unsettledBytes += storedBytes;
    return this.#carried.put(key, version, storedBytes);
  }

  /** Takes back what `put` or `carry` put into `memtable`. False when another one has replaced it. */
  remove(
    memtable: Memtable,
    key: ByteString,
    version: LoggedVersion,
    storedBytes: number,
    replaced: LoggedVersion | undefined,
  ): boolean {
    const before = memtable.cellCount;
    const isFound = memtable.remove(key, version, storedBytes, replaced);
    this.unsettledBytes -= storedBytes;
    if (memtable === this.#carried) {
      if (memtable.cellCount === 0) this.#all = this.#all.filter((other) => other !== memtable);
    } else if (memtable !== this.#active && this.#all.includes(memtable)) {
      this.#frozenCells -= before - memtable.cellCount;
    }
    return isFound;
  }

  addPunches(ranges: readonly ReclaimRange[]): void {
    this.#active.addPunches(ranges);
  }

  /** Ranges that all generations punched, as far as they remember. */
  punches(): readonly ReclaimRange[] {
    return this.#all.flatMap((memtable) => memtable.punches);
  }

  /** The newest version at or before `epoch`; the settled index is asked for what is not here. */
  get(key: ByteString, epoch: Epoch): LoggedVersion | undefined {
    const all = this.#all;
    for (let index = 0; index < all.length; index += 1) {
      const memtable = all[index]!;
      if (memtable.cellCount === 0) continue;
      const version = memtable.get(key, epoch);
      if (version !== undefined) return version;
    }
    return undefined;
  }

  /**
   * Visits versions at or before `epoch`, newest first. Returns the epoch up to which older sources may go on, or
   * undefined when the visit has ended: a version was complete, or `visit` said so.
   */
  visit(key: ByteString, epoch: Epoch, visit: (version: Version) => boolean | undefined): Epoch | undefined {
    let limit = epoch;
    for (const memtable of this.#all) {
      for (let version = memtable.get(key, limit); version !== undefined; version = version.older) {
        if (visit(version) === false || version.kind !== VersionKind.part) return undefined;
        // An equal epoch in an older source was replaced.
        limit = (version.epoch - 1) as Epoch;
      }
    }
    return limit;
  }

  /** The segment of this ordinal has ended: the active generation ends with it if it is large. */
  segmentEnded(ordinal: number): void {
    if (this.#active.cellCount >= this.#generationCells) this.freeze(ordinal);
  }

  /** Ends the active generation, whose last segment has this ordinal, and starts a new one. */
  freeze(lastOrdinal: number): void {
    this.#active.lastOrdinal = lastOrdinal;
    this.#frozenCells += this.#active.cellCount;
    this.#active = new Memtable();
    this.#all = [this.#active, ...this.#all];
  }

  /** As `freeze`, unless a generation has ended there. */
  freezeBefore(lastOrdinal: number): void {
    const before = this.#all[1];
    if (before === undefined || before === this.#carried || before.lastOrdinal < lastOrdinal) this.freeze(lastOrdinal);
  }

  /** The generation to be settled next, if any is frozen. */
  get oldestFrozen(): Memtable | undefined {
    const oldest = this.#all.findLast((memtable) => memtable !== this.#carried);
    return oldest === this.#active ? undefined : oldest;
  }

  /** The frozen generations that end with this segment or before. */
  frozenUpTo(ordinal: number): readonly Memtable[] {
    return this.#all.filter((memtable) => memtable.lastOrdinal <= ordinal);
  }

  /** True when a generation that does not end with this segment or before has a complete version of the cell. */
  isOverwrittenAfter(ordinal: number, key: ByteString): boolean {
    for (const memtable of this.#all) {
      if (memtable.lastOrdinal <= ordinal) return false;
      const newest = memtable.newest(key);
      if (newest !== undefined && newest.kind !== VersionKind.part) return true;
    }
    return false;
  }

  /**
   * Drops the generations that end with this segment or before: they are settled. Returns the last segment that no
   * generation refers to any more, or undefined when none was dropped.
   */
  dropUpTo(ordinal: number): number | undefined {
    const last = this.frozenUpTo(ordinal)[0]?.lastOrdinal;
    for (const memtable of this.frozenUpTo(ordinal)) this.#frozenCells -= memtable.cellCount;
    this.#all = this.#all.filter((memtable) => memtable.lastOrdinal > ordinal);
    this.unsettledBytes = 0;
    for (const memtable of this.#all) {
      for (const share of memtable.shares()) this.unsettledBytes += share.scmBytes;
    }
    return last;
  }

  /** What all generations wrote in a container. */
  usage(container: number): CellUsage {
    const usage = { scmBytes: 0, nvmeBytes: 0, versions: 0 };
    for (const memtable of this.#all) {
      const share = memtable.share(container);
      usage.scmBytes += share?.scmBytes ?? 0;
      usage.nvmeBytes += share?.nvmeBytes ?? 0;
      usage.versions += share?.versions ?? 0;
    }
    return usage;
  }
}
