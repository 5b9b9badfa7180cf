/**
 * What a dkey of copies shows to readers of the latest state and of snapshots, summed up: the same on all targets that have the
 * same, however each has stored, merged or aggregated it.
 */
import type { ByteString } from "../base/bytes.ts";
import { joinChecksums } from "../base/checksum-join.ts";
import { crc32 } from "../base/checksum.ts";
import { damagedAfterStore } from "../base/damage.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { hasCode } from "../base/errors.ts";
import type { DkeyPlace } from "../base/key-place.ts";
import { MIB } from "../base/limits.ts";
import { isErasureCoded } from "../base/object-id.ts";
import { isUndecided } from "../store/stability.ts";
import type { ArrayReads } from "./array-read.ts";
import { dkeyPrefix, ownCellKey, akeyPrefix } from "./cell-key.ts";
import { MetaType } from "./cell-meta.ts";
import { LATEST } from "./condition.ts";
import type { ExtentLists } from "./extent-list.ts";
import type { KeyHistories } from "./key-history.ts";
import { type Outcome, type SingleValues } from "./single-value.ts";
import { isLive, Seen, type TargetObjects } from "./target-objects.ts";

/** Bytes of an array that are read at a time, one record at least; extents that are listed at a time. */
const READ_BYTES = 1 * MIB;
const PAGE_EXTENTS = 512;

export interface DkeySummary {
  /**
   * `undecided`: something of it may be undone yet; `unkept`: a snapshot is not kept here; `damaged`: what is stored cannot be
   * read. What else is said counts for `read` only.
   */
  readonly state: "read" | "undecided" | "unkept" | "damaged";
  /** Values and arrays that are shown, over all readers; 0: there is nothing. */
  readonly count: number;
  /** Newest epoch of a value. */
  readonly newest: number;
  readonly bytes: number;
  readonly checksum: number;
}

export interface SummaryParts {
  readonly values: SingleValues;
  readonly arrays: ArrayReads;
  readonly extents: ExtentLists;
  readonly keys: KeyHistories;
}

interface Place extends DkeyPlace {
  readonly container: number;
  readonly akey: ByteString;
  readonly epoch: Epoch;
}

/** What a reader sees of an array, summed up: its extents with their epochs, and their bytes. */
interface ShownArray {
  readonly extents: number;
  readonly content: number;
}

class Summing {
  count = 0;
  newest = 0;
  bytes = 0;
  checksum = 0;
  isUndecided = false;

  see({ sequence, error }: Outcome): void {
    if (error !== undefined) throw error;
    if (isUndecided(sequence)) this.isUndecided = true;
  }

  addText(text: string): void {
    this.checksum = crc32(Buffer.from(text, "latin1"), this.checksum);
  }

  /** Of bytes of data, which must have it. Throws CORRUPT. */
  addBytes(bytes: Uint8Array, checksum: number): void {
    this.bytes += bytes.length;
    this.checksum = joinBytes(this.checksum, bytes, checksum);
  }
}

/** CRC-32 of what is before and these bytes, which must have `checksum`: what is in memory was not verified yet. Throws CORRUPT. */
function joinBytes(before: number, bytes: Uint8Array, checksum: number): number {
  if (crc32(bytes) !== checksum) throw damagedAfterStore("when it was summed up");
  return joinChecksums(before, checksum, bytes.length);
}

export class DkeySummaries {
  readonly #target: TargetObjects;
  readonly #parts: SummaryParts;

  constructor(target: TargetObjects, parts: SummaryParts) {
    this.#target = target;
    this.#parts = parts;
  }

  /** As readers of the latest state see it, and those at these snapshots. Rejects with NOT_FOUND (container). */
  async read(container: number, dkey: DkeyPlace, snapshots: readonly Epoch[]): Promise<DkeySummary> {
    const sum = new Summing();
    const { count, newest, bytes, checksum } = sum;
    const nothing = { count, newest, bytes, checksum };
    try {
      await this.#sum(sum, container, dkey, snapshots);
    } catch (error) {
      if (hasCode(error, "EPOCH_AGGREGATED")) return { ...nothing, state: "unkept" };
      if (!hasCode(error, "CORRUPT") && !hasCode(error, "IO")) throw error;
      return { ...nothing, state: "damaged" };
    }
    if (sum.isUndecided) return { ...nothing, state: "undecided" };
    return { state: "read", count: sum.count, newest: sum.newest, bytes: sum.bytes, checksum: sum.checksum };
  }

  async #sum(sum: Summing, container: number, dkey: DkeyPlace, snapshots: readonly Epoch[]): Promise<void> {
    const prefix = dkeyPrefix(this.#target.object(container, dkey.oid).prefix, dkey.dkey);
    let from: ByteString | undefined;
    do {
      const page = this.#parts.keys.read(container, prefix, from);
      for (const { akey } of page.akeys) {
        let shown: ShownArray | undefined;
        for (const epoch of [...snapshots, EPOCH_NONE]) {
          const place = { container, oid: dkey.oid, dkey: dkey.dkey, akey, epoch };
          const kind = this.#kindOf(sum, place, prefix);
          // A shard of erasure code is counted, no more: each has something else.
          if (kind !== undefined && isErasureCoded(dkey.oid)) sum.count += 1;
          else if (kind === "single") await this.#addValue(sum, place);
          else if (kind === "array") shown = await this.#addArray(sum, place, shown);
        }
      }
      from = page.next;
    } while (from !== undefined);
  }

  #kindOf(sum: Summing, { container, oid, akey, epoch }: Place, prefix: string): "single" | "array" | undefined {
    const target = this.#target;
    const state = target.object(container, oid);
    const at = epoch === EPOCH_NONE ? LATEST : target.containers.readEpoch(state.container, epoch);
    const seen = new Seen();
    const floor = target.floor(state, prefix, at, seen);
    const version = target.store.get(ownCellKey(akeyPrefix(prefix, akey)), at);
    if (version !== undefined) seen.see(version);
    sum.see({ sequence: seen.sequence, error: undefined });
    if (!isLive(version, floor)) return undefined;
    return version.metaType === MetaType.array ? "array" : "single";
  }

  async #addValue(sum: Summing, place: Place): Promise<void> {
    const fetched = this.#parts.values.fetch(place.container, place);
    const isOwn = fetched instanceof Promise;
    const outcome = isOwn ? await fetched : fetched;
    sum.see(outcome);
    if (!outcome.found) return;
    sum.count += 1;
    sum.newest = Math.max(sum.newest, outcome.epoch);
    sum.addText(`${place.akey}\x00v${place.epoch}@${outcome.epoch}:${outcome.value.length}\x00`);
    try {
      sum.addBytes(outcome.value, outcome.checksum);
    } finally {
      if (isOwn && outcome.value.length > 0) this.#target.release(outcome.value);
    }
  }

  /** Bytes are read once for readers who see the same extents. */
  async #addArray(sum: Summing, place: Place, before: ShownArray | undefined): Promise<ShownArray> {
    const runs: { index: number; count: number }[] = [];
    let recordBytes = 0;
    let extents = 0;
    for (let from = 0, isDone = false; !isDone;) {
      const page = await this.#parts.extents.list(place.container, { ...place, from, limit: PAGE_EXTENTS });
      sum.see(page);
      ({ recordBytes } = page);
      for (const { index, count, epoch } of page.extents) {
        const last = runs.at(-1);
        if (last !== undefined && last.index + last.count === index) last.count += count;
        else runs.push({ index, count });
        extents = crc32(Buffer.from(`${index}+${count}@${epoch} `), extents);
      }
      isDone = page.done;
      from = page.next;
    }
    sum.count += 1;
    sum.addText(`${place.akey}\x00a${place.epoch}:${recordBytes}\x00`);
    let { content } = before ?? { content: 0 };
    if (extents !== before?.extents) {
      content = 0;
      for (const { index, count } of runs)
        content = await this.#sumRun(sum, place, { index, count, recordBytes }, content);
    }
    sum.addText(`${runs.map(({ index, count }) => `${index}+${count}`).join()}#${content} `);
    return { extents, content };
  }

  async #sumRun(
    sum: Summing,
    place: Place,
    { index, count, recordBytes }: { index: number; count: number; recordBytes: number },
    before: number,
  ): Promise<number> {
    let content = before;
    const atOnce = Math.max(1, Math.floor(READ_BYTES / Math.max(1, recordBytes)));
    for (let at = index; at < index + count; at += atOnce) {
      const range = { recordIndex: at, recordCount: Math.min(atOnce, index + count - at), recordBytes: 0 };
      const read = this.#parts.arrays.read(place.container, { ...place, ...range });
      const isOwn = read instanceof Promise;
      const outcome = isOwn ? await read : read;
      sum.see(outcome);
      sum.bytes += outcome.bytes.length;
      try {
        content = joinBytes(content, outcome.bytes, outcome.checksum);
      } finally {
        if (isOwn && outcome.bytes.length > 0) this.#target.release(outcome.bytes);
      }
    }
    return content;
  }
}

/** Whether two targets show the same. */
export function isSameSummary(left: DkeySummary, right: DkeySummary): boolean {
  return left.count === right.count && left.checksum === right.checksum && left.bytes === right.bytes;
}
