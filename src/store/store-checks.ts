/**
 * What a store has to say of its own media: which rows, records and extents are damaged; and how they become what they were. Rows
 * and records are mended here where a single bit has flipped; blocks of extents when somebody brings their bytes.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { BlockDevice } from "../contracts/block-device.ts";
import type { ScmRegion } from "../contracts/scm.ts";
import type { CellStore, ExtentRef } from "./cell.ts";
import { ExtentCheck } from "./extent-check.ts";
import type { Extents } from "./extents.ts";
import type { Generations } from "./generations.ts";
import type { Log } from "./log.ts";
import { LogCheck } from "./log-check.ts";
import type { CheckedSlice } from "./maintenance-queue.ts";
import type { RowRange } from "./row-check.ts";
import { INDEX_TABLES, type IndexReader, type IndexTable } from "./settled-index.ts";
import type { SettleScheduler } from "./settle-scheduler.ts";
import type { Settler } from "./settler.ts";
import { type StoredExtent, type StoredSlice, storedSlice } from "./stored-extents.ts";

export interface CheckedStore extends CellStore {
  readonly checks: StoreChecks;
}

export interface StoreChecksParts {
  readonly store: CellStore;
  readonly log: Log;
  readonly region: ScmRegion;
  readonly storeId: ByteString;
  readonly device: BlockDevice;
  readonly index: IndexReader & { refresh(): void };
  readonly settler: Settler;
  readonly scheduler: SettleScheduler;
  readonly generations: Generations;
  readonly extents: Extents;
}

export class StoreChecks {
  readonly log: LogCheck;
  readonly tables: readonly IndexTable[] = INDEX_TABLES;
  readonly #parts: StoreChecksParts;
  readonly #extents: ExtentCheck;

  constructor(parts: StoreChecksParts) {
    this.#parts = parts;
    this.log = new LogCheck(parts.log, parts.region, parts.storeId);
    this.#extents = new ExtentCheck(parts.device, parts.extents);
  }

  /** Checks a slice of rows, and mends what it can. Rejects with UNAVAILABLE (closing), READ_ONLY, IO, NO_SPACE. */
  rows(range: RowRange): Promise<CheckedSlice> {
    return this.#parts.scheduler.check(range);
  }

  /** Versions with bytes on the device of cells in [from, to), a slice of them, past rows that are damaged. */
  extentsIn(from: ByteString, to: ByteString): StoredSlice {
    return storedSlice(this.#parts.generations.all, this.#parts.index, from, to);
  }

  /** Chunks of the extent that reads have found damaged. */
  suspects(extent: ExtentRef): readonly number[] {
    return this.#parts.extents.suspects(extent);
  }

  /** Reads the chunks, all without; those that are damaged. In the turn in which the extent was found, or while it is still there. */
  damaged(stored: StoredExtent, chunks?: readonly number[]): Promise<readonly number[]> {
    return this.isPresent(stored) ? this.#extents.damaged(stored.extent, chunks) : Promise.resolve([]);
  }

  /** Writes a chunk anew if these are the bytes that it had; false when they are not, or the version is gone. Rejects with IO. */
  mend(stored: StoredExtent, chunk: number, bytes: Uint8Array): Promise<boolean> {
    return this.#extents.mend(stored.extent, chunk, bytes, () => this.isPresent(stored));
  }

  /** Whether the extent still belongs to that version. */
  isPresent({ key, epoch, extent }: StoredExtent): boolean {
    let found: ExtentRef | undefined;
    try {
      this.#parts.store.versions(key, epoch, (version) => {
        if (version.epoch === epoch) found = version.extent;
        return false;
      });
    } catch (error) {
      if (error instanceof DaosError) return false;
      throw error;
    }
    return found?.offset === extent.offset && found.length === extent.length;
  }

  /** Whether the version is its cell's newest at one of these epochs. */
  isSeen({ key, epoch }: StoredExtent, viewers: readonly Epoch[]): boolean {
    return viewers.some((viewer) => this.#parts.store.get(key, viewer)?.epoch === epoch);
  }

  /**
   * For background work that has come upon damage, while it waits: checks all of the log and the index, and mends what it can. True
   * when the work may succeed now.
   */
  async mendAll(): Promise<boolean> {
    const { log, index, settler } = this.#parts;
    let changed = 0;
    for (const span of log.spans.slice()) {
      await this.log.check(span.ordinal);
      if (span.lastSequence > log.durableSequence) continue;
      // Memory may have what the medium has no more.
      await this.log.persist(span);
      changed += 1;
    }
    const views = { snapshots: new Map<number, readonly Epoch[]>(), gates: new Map<number, Epoch>() };
    for (const table of INDEX_TABLES) {
      const to = "" as ByteString;
      for (let from: ByteString | undefined = "" as ByteString; from !== undefined;) {
        const task = { kind: "check", table, from, to } as const;
        const { checked, cursor }: Awaited<ReturnType<Settler["maintain"]>> = await settler.maintain({
          task,
          views,
          carried: [],
        });
        changed += checked!.mended.length;
        from = cursor;
      }
    }
    index.refresh();
    return changed > 0;
  }
}
