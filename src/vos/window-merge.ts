/**
 * Merges the parts of a window that was overwritten piecemeal into one complete version, in the background, so that reads
 * stay short. The merged version holds what the whole array shows in that window at the epoch of the window's newest part,
 * and replaces that part at that same epoch: every epoch that may be read shows the same bytes before and after. A write or
 * punch that comes in between wins: the merge is dropped.
 */
import { crc32 } from "../base/checksum.ts";
import { checksumOfPart, joinChecksums } from "../base/checksum-join.ts";
import { damagedAfterStore } from "../base/damage.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import { isUndecided } from "../store/stability.ts";
import { type CellWrite, type ExtentRef, VersionKind } from "../store/cell.ts";
import { joinRuns, overlay } from "./array-overlay.ts";
import { gather } from "./array-gather.ts";
import { accessArray, collectPieces, type CrowdedWindow } from "./array-read.ts";
import { classBit, encodeBitmapWindow, WINDOW_CLASSES, windowBytes } from "./array-window.ts";
import { windowKey } from "./cell-key.ts";
import { BITMAP_META, type ByteRun, encodeSegmentsMeta, MAX_META_SEGMENTS, NO_META, WHOLE_META } from "./cell-meta.ts";
import { LATEST } from "./condition.ts";
import { type AkeyRequest, RECORD_OVERHEAD_BYTES } from "./single-value.ts";
import { Seen, type TargetObjects } from "./target-objects.ts";

/** Windows waiting for their merge; more are dropped: the next read or write asks again. */
export const MAX_WAITING_MERGES = 256;

interface Merge {
  readonly container: number;
  readonly request: AkeyRequest;
  readonly window: CrowdedWindow;
}

/** The window as it is now: its newest part, and since when the array is. */
interface WindowState {
  readonly epoch: Epoch;
  readonly since: number;
}

export interface MergeCounters {
  merged: number;
  /** Overtaken by a write or punch. */
  dropped: number;
  /** No space, or a failing medium. */
  failed: number;
}

export class WindowMerges {
  readonly counters: MergeCounters = { merged: 0, dropped: 0, failed: 0 };
  readonly #target: TargetObjects;
  readonly #waiting = new Map<string, Merge>();
  /** Windows of which something may be undone yet. */
  readonly #undecided = new Set<string>();
  #running: Promise<void> | undefined;

  constructor(target: TargetObjects) {
    this.#target = target;
  }

  /** Asks for the merge of these windows of an akey. */
  request(container: number, request: AkeyRequest, windows: readonly CrowdedWindow[]): void {
    const { oid, dkey, akey } = request;
    for (const window of windows) {
      if (this.#waiting.size >= MAX_WAITING_MERGES) return;
      this.#waiting.set(nameOf(window), {
        container,
        request: { oid, dkey, akey },
        window,
      });
    }
    this.#running ??= this.#run();
  }

  /** Resolves when no merge is waiting or running. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #run(): Promise<void> {
    await this.#target.pause();
    for (const [key, merge] of this.#waiting) {
      this.#waiting.delete(key);
      try {
        if (await this.#merge(merge)) this.counters.merged += 1;
        else this.counters.dropped += 1;
      } catch (error) {
        if (!(error instanceof DaosError)) throw error;
        this.counters.failed += 1;
      }
      await this.#target.pause();
    }
    this.#running = undefined;
  }

  async #merge(merge: Merge): Promise<boolean> {
    const target = this.#target;
    const { windowClass, window, akey } = merge.window;
    const seen = new Seen();
    const state = this.#state(merge);
    const { header } = accessArray(target, merge.container, merge.request, LATEST, seen);
    if (state === undefined || header === undefined) return false;
    const size = windowBytes(windowClass);
    const range = { start: window * size, end: (window + 1) * size };
    const pieces = collectPieces(target, akey, header, state.epoch, range, seen);
    if (isUndecided(seen.sequence)) {
      this.#mergeWhenDecided(merge, seen.sequence);
      return false;
    }
    const { fills } = overlay(pieces, range.start, range.end);
    const segments = joinRuns(fills).map((run) => ({ start: run.start - range.start, end: run.end - range.start }));
    if (segments.length > MAX_META_SEGMENTS && windowClass !== 12) return false;
    const image = target.allocate(size);
    try {
      const checksum = await gather(target, fills, range.start, image);
      const stored = storedForm(segments, image, checksum, size, target.inlineBytes(merge.container));
      const { bulk } = stored;
      const extent = bulk === undefined ? undefined : await target.store.writeExtent(bulk, stored.checksum);
      return await this.#replace(merge, state, stored, extent);
    } finally {
      target.release(image);
    }
  }

  /** With redundancy the write that asks is never decided yet, and its window may not be read for long. */
  #mergeWhenDecided({ container, request, window }: Merge, sequence: number): void {
    const name = nameOf(window);
    if (this.#undecided.has(name) || this.#undecided.size >= MAX_WAITING_MERGES) return;
    this.#undecided.add(name);
    this.#target.store.whenStable(sequence, (error) => {
      this.#undecided.delete(name);
      // CONFLICT: it was undone, and the rest of the window is still in pieces.
      if (error === undefined || hasCode(error, "CONFLICT")) this.request(container, request, [window]);
    });
  }

  async #replace(
    merge: Merge,
    state: WindowState,
    stored: StoredForm,
    extent: ExtentRef | undefined,
  ): Promise<boolean> {
    const target = this.#target;
    const { windowClass, window, akey } = merge.window;
    const storedBytes = stored.inline?.length ?? (stored.bulk?.length ?? 0) / 1024;
    const bytes = RECORD_OVERHEAD_BYTES + akey.length + stored.meta.length + storedBytes;
    let replaced = false;
    try {
      await target.admit(bytes, false);
      const now = this.#state(merge);
      if (now === undefined || now.epoch !== state.epoch || now.since !== state.since) return false;
      const write: CellWrite = {
        key: windowKey(akey, windowClass, window),
        epoch: state.epoch,
        kind: stored.kind,
        meta: stored.meta,
        ...(extent !== undefined && { extent }),
        ...(stored.inline !== undefined && { inline: stored.inline, checksum: stored.checksum }),
      };
      target.store.append([write]);
      replaced = true;
    } finally {
      if (!replaced && extent !== undefined) target.store.abandonExtent(extent);
    }
    return replaced;
  }

  /** Undefined when there is nothing to merge: the array is gone, or the window is complete, or wholly overwritten. */
  #state(merge: Merge): WindowState | undefined {
    const { windowClass, window, akey } = merge.window;
    const { header } = accessArray(this.#target, merge.container, merge.request, LATEST, new Seen());
    const newest = this.#target.store.get(windowKey(akey, windowClass, window), LATEST);
    if (header === undefined || newest?.kind !== VersionKind.part || newest.epoch < header.since) return undefined;
    const at = window * windowBytes(windowClass);
    for (const larger of WINDOW_CLASSES) {
      if (larger <= windowClass || (header.classMask & classBit(larger)) === 0) continue;
      const over = this.#target.store.get(windowKey(akey, larger, Math.floor(at / windowBytes(larger))), LATEST);
      if (over?.kind === VersionKind.value && over.epoch > newest.epoch) return undefined;
    }
    return { epoch: newest.epoch, since: header.since };
  }
}

function nameOf({ akey, windowClass, window }: CrowdedWindow): string {
  return windowKey(akey, windowClass, window);
}

/** How a merged window is stored. */
interface StoredForm {
  readonly kind: VersionKind;
  readonly meta: Uint8Array;
  readonly inline?: Uint8Array;
  readonly bulk?: Uint8Array;
  /** CRC-32 of the one or the other, as follows from those of the pieces; 0 without. */
  readonly checksum: number;
}

/** `checksum`: of the image. Throws CORRUPT when it is not what its pieces were. */
function storedForm(
  segments: readonly ByteRun[],
  image: Uint8Array,
  checksum: number,
  size: number,
  inlineBytes: number,
): StoredForm {
  const first = segments[0];
  if (first === undefined) return { kind: VersionKind.tombstone, meta: NO_META, checksum: 0 };
  const kind = VersionKind.value;
  if (segments.length > MAX_META_SEGMENTS) {
    const inline = encodeBitmapWindow(segments, image);
    const bitmap = crc32(inline.subarray(0, inline.length - size));
    return { kind, meta: BITMAP_META, inline, checksum: joinChecksums(bitmap, checksum, size) };
  }
  const end = segments.at(-1)!.end;
  const meta = first.start === 0 && first.end === size ? WHOLE_META : encodeSegmentsMeta(segments);
  const isInline = end - first.start <= inlineBytes;
  const start = isInline ? first.start : first.start - (first.start % BLOCK_BYTES);
  const stored = checksumOfPart(image, checksum, start, end);
  if (stored === undefined) throw damagedAfterStore("when a window was merged");
  const bytes = image.subarray(start, end);
  return { kind, meta, checksum: stored, ...(isInline ? { inline: bytes } : { bulk: bytes }) };
}
