/**
 * Memtable: point and ordered access to the cells that one generation of log segments wrote. Together they are bounded by
 * the size of the log.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import { uint32OfKey } from "../format/settled-row.ts";
import type { ReclaimRange } from "./cell.ts";
import type { LoggedVersion } from "./logged-version.ts";
import { type KeyCursor, OrderedKeys } from "./ordered-keys.ts";

/** Punched ranges that one generation remembers. */
const MAX_PUNCHES = 1024;

/** What a generation wrote in one container. */
export interface ContainerShare {
  readonly container: number;
  scmBytes: number;
  nvmeBytes: number;
  versions: number;
  highestEpoch: Epoch;
}

export class Memtable {
  /** Newest version of each cell. */
  readonly #cells = new Map<ByteString, LoggedVersion>();
  readonly #keys = new OrderedKeys();
  readonly #shares = new Map<number, ContainerShare>();
  /** Ranges that its records punched, the first of them if there are many. */
  readonly punches: ReclaimRange[] = [];
  /** Ordinal of the last segment it covers, once it is frozen. */
  lastOrdinal = Number.POSITIVE_INFINITY;
  #lastShare: ContainerShare | undefined;

  get cellCount(): number {
    return this.#cells.size;
  }

  /** The newest version of each cell, in no order. */
  cells(): Iterable<[ByteString, LoggedVersion]> {
    return this.#cells;
  }

  /** The newest version of the cell in this generation. */
  newest(key: ByteString): LoggedVersion | undefined {
    return this.#cells.get(key);
  }

  /** The newest version of the cell at or before `epoch` in this generation. */
  get(key: ByteString, epoch: Epoch): LoggedVersion | undefined {
    let version = this.#cells.get(key);
    while (version !== undefined && version.epoch > epoch) version = version.older;
    return version;
  }

  /** Adds a version; one of equal epoch is replaced, and returned. `storedBytes`: what it takes of the record. */
  put(key: ByteString, version: LoggedVersion, storedBytes: number): LoggedVersion | undefined {
    const head = this.#cells.get(key);
    let replaced: LoggedVersion | undefined;
    if (head === undefined) {
      this.#cells.set(key, version);
      this.#keys.add(key);
    } else if (head.epoch > version.epoch) {
      replaced = insertBelow(head, version);
    } else {
      if (head.epoch === version.epoch) replaced = head;
      version.older = replaced === undefined ? head : head.older;
      this.#cells.set(key, version);
    }
    this.#count(uint32OfKey(key), version, storedBytes);
    return replaced;
  }

  addPunches(ranges: readonly ReclaimRange[]): void {
    for (const range of ranges) if (this.punches.length < MAX_PUNCHES) this.punches.push(range);
  }

  /**
   * Takes back a version that was put; `replaced`, what `put` returned, comes back. False when it is not there: another one
   * has replaced it.
   */
  remove(key: ByteString, version: LoggedVersion, storedBytes: number, replaced: LoggedVersion | undefined): boolean {
    this.#count(uint32OfKey(key), version, storedBytes, -1);
    let above: LoggedVersion | undefined;
    let found = this.#cells.get(key);
    while (found !== undefined && found !== version) {
      above = found;
      found = found.older;
    }
    if (found === undefined) return false;
    if (replaced !== undefined) replaced.older = version.older;
    const next = replaced ?? version.older;
    if (above !== undefined) above.older = next;
    else if (next !== undefined) this.#cells.set(key, next);
    else {
      this.#cells.delete(key);
      this.#keys.remove(key);
    }
    return true;
  }

  #count(container: number, version: LoggedVersion, storedBytes: number, sign = 1): void {
    let share = this.#lastShare;
    if (share === undefined || share.container !== container) {
      share = this.#shares.get(container);
      if (share === undefined) {
        share = { container, scmBytes: 0, nvmeBytes: 0, versions: 0, highestEpoch: version.epoch };
        this.#shares.set(container, share);
      }
      this.#lastShare = share;
    }
    share.scmBytes += sign * storedBytes;
    share.versions += sign;
    if (version.extent !== undefined) {
      share.nvmeBytes += sign * Math.ceil(version.extent.length / BLOCK_BYTES) * BLOCK_BYTES;
    }
    if (version.epoch > share.highestEpoch) share.highestEpoch = version.epoch;
  }

  share(container: number): ContainerShare | undefined {
    return this.#shares.get(container);
  }

  shares(): Iterable<ContainerShare> {
    return this.#shares.values();
  }

  cursor(from: ByteString, to: ByteString, reverse: boolean): KeyCursor {
    return this.#keys.cursor(from, to, reverse);
  }
}

/** Puts `version` in its place in a chain whose head is newer; returns what it replaced. */
function insertBelow(head: LoggedVersion, version: LoggedVersion): LoggedVersion | undefined {
  let above = head;
  while (above.older !== undefined && above.older.epoch > version.epoch) above = above.older;
  const replaced = above.older?.epoch === version.epoch ? above.older : undefined;
  version.older = replaced === undefined ? above.older : replaced.older;
  above.older = version;
  return replaced;
}
