/**
 * What a shard of an erasure-coded array is filled with, as cells: what one stripe's piece of its local array shows to one
 * viewer after the other, each state as complete windows. Between viewers nobody looks, so a window is under the newest epoch
 * of what it shows, or where something of it was punched since, under the first one after the viewer before. Pure.
 *
 * Pieces of different stripes share no window: the epoch of a stripe's parity stays its own.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { KIB, MIB } from "../base/limits.ts";
import type { EpochPart } from "../contracts/redundancy.ts";
import type { CopiedVersion } from "../format/fill-message.ts";
import { VersionKind } from "../store/cell.ts";
import { encodeBitmapWindow, WINDOW_CLASSES, windowBytes } from "./array-window.ts";
import { windowKey } from "./cell-key.ts";
import { BITMAP_META, type ByteRun, encodeSegmentsMeta, MAX_META_SEGMENTS, NO_META, WHOLE_META } from "./cell-meta.ts";

/** A window over this size is not stored as one when its data are less than one byte in so many of it. */
const SPARSE_BYTES = 64 * KIB;
const SPARSE_RATIO = 4;

/** A run of data, by address. */
interface Run extends ByteRun {
  readonly epoch: Epoch;
  readonly bytes: Uint8Array;
}

interface Window {
  readonly windowClass: number;
  readonly start: number;
}

/** A window as the viewer before saw it. */
interface ShownWindow {
  readonly runs: readonly ByteRun[];
  /** Of the cells that hold it: itself, or smaller windows. */
  readonly keys: ReadonlySet<ByteString>;
}

export class ShardImage {
  readonly #akey: string;
  readonly #ownsBlocks: boolean;
  /** By the windows' first bytes. */
  readonly #shown = new Map<number, ShownWindow>();
  #viewer = 0;

  /** `akey`: prefix of its cells. `ownsBlocks`: the MiB that the piece lies in are the stripe's alone. */
  constructor(akey: string, ownsBlocks: boolean) {
    this.#akey = akey;
    this.#ownsBlocks = ownsBlocks;
  }

  /** The versions by which the piece shows what the parts say, in their order, to the next viewer. Epochs of a key ascend. */
  show(viewer: Epoch, parts: readonly EpochPart[]): CopiedVersion[] {
    const runs = shownRuns(parts);
    const versions: CopiedVersion[] = [];
    const windows = this.#ownsBlocks ? blocksOf(runs) : windowsOf(parts);
    const left = new Set(this.#shown.keys());
    for (const { windowClass, start } of windows) {
      const within = cutRuns(runs, start, start + windowBytes(windowClass));
      if (within.length === 0) continue;
      left.delete(start);
      this.#addChanged(versions, { windowClass, start }, within);
    }
    for (const start of left) {
      this.#hide(versions, this.#shown.get(start)!.keys, (this.#viewer + 1) as Epoch);
      this.#shown.delete(start);
    }
    this.#viewer = viewer;
    return versions;
  }

  /** The next viewer sees what the one before sees, or nothing of the array at all. */
  pass(viewer: Epoch): void {
    this.#viewer = viewer;
  }

  /** The next viewer sees another array, which begins with nothing. */
  restart(): void {
    this.#shown.clear();
  }

  #addChanged(versions: CopiedVersion[], { windowClass, start }: Window, runs: readonly Run[]): void {
    const newest = runs.reduce((epoch, run) => Math.max(epoch, run.epoch), 0);
    const before = this.#shown.get(start);
    const joined = joinedRuns(runs, 0);
    if (before !== undefined && newest <= this.#viewer && isSame(before.runs, joined)) return;
    const epoch = Math.max(newest, this.#viewer + 1) as Epoch;
    const added: CopiedVersion[] = [];
    this.#addWindow(added, { windowClass, start }, runs, epoch);
    const keys = new Set(added.map(({ key }) => key));
    versions.push(...added);
    this.#hide(versions, new Set([...(before?.keys ?? [])].filter((key) => !keys.has(key))), epoch);
    this.#shown.set(start, { runs: joined, keys });
  }

  #hide(versions: CopiedVersion[], keys: ReadonlySet<ByteString>, epoch: Epoch): void {
    for (const key of keys) {
      versions.push({ key, epoch, kind: VersionKind.tombstone, meta: NO_META, bytes: undefined });
    }
  }

  /** As one window, or as smaller ones where there is little or much in pieces. */
  #addWindow(into: CopiedVersion[], { windowClass, start }: Window, runs: readonly Run[], epoch: Epoch): void {
    const size = windowBytes(windowClass);
    const within = cutRuns(runs, start, start + size);
    if (within.length === 0) return;
    const segments = joinedRuns(within, start);
    const smaller = WINDOW_CLASSES.findLast((other) => other < windowClass);
    if (smaller !== undefined && (isSparse(segments) || segments.length > MAX_META_SEGMENTS)) {
      const step = windowBytes(smaller);
      for (let at = start; at < start + size; at += step) {
        this.#addWindow(into, { windowClass: smaller, start: at }, within, epoch);
      }
      return;
    }
    const key = windowKey(this.#akey, windowClass, start / size);
    into.push({ key, epoch, kind: VersionKind.value, ...storedForm(segments, within, start, size) });
  }
}

/** What the parts show together, ascending, apart; later ones lie over earlier ones. */
function shownRuns(parts: readonly EpochPart[]): Run[] {
  let runs: Run[] = [];
  for (const { kind, address, length, views, epoch } of parts) {
    const end = address + length;
    runs = [...cutRuns(runs, 0, address), ...cutRuns(runs, end, Number.POSITIVE_INFINITY)];
    if (kind !== "write") continue;
    let at = address;
    for (const bytes of views) {
      if (bytes.length > 0) runs.push({ start: at, end: at + bytes.length, bytes, epoch });
      at += bytes.length;
    }
  }
  return runs.toSorted((left, right) => left.start - right.start);
}

function cutRuns(runs: readonly Run[], from: number, to: number): Run[] {
  return runs.flatMap((run) => {
    const start = Math.max(run.start, from);
    const end = Math.min(run.end, to);
    return start < end ? [{ ...run, start, end, bytes: run.bytes.subarray(start - run.start, end - run.start) }] : [];
  });
}

/** Neighbours as one, from `base` on. */
function joinedRuns(runs: readonly ByteRun[], base: number): ByteRun[] {
  const joined: { start: number; end: number }[] = [];
  for (const { start, end } of runs) {
    const last = joined.at(-1);
    if (last?.end === start - base) last.end = end - base;
    else joined.push({ start: start - base, end: end - base });
  }
  return joined;
}

function isSame(left: readonly ByteRun[], right: readonly ByteRun[]): boolean {
  return (
    left.length === right.length &&
    left.every(({ start, end }, index) => start === right[index]!.start && end === right[index]!.end)
  );
}

function isSparse(segments: readonly ByteRun[]): boolean {
  const span = segments.at(-1)!.end - segments[0]!.start;
  const covered = segments.reduce((bytes, { start, end }) => bytes + end - start, 0);
  return span > SPARSE_BYTES && covered * SPARSE_RATIO < span;
}

/** The MiB that hold data. */
function blocksOf(runs: readonly Run[]): Window[] {
  const starts = new Set<number>();
  for (const { start, end } of runs) {
    for (let at = Math.floor(start / MIB) * MIB; at < end; at += MIB) starts.add(at);
  }
  return [...starts].map((start) => ({ windowClass: WINDOW_CLASSES.at(-1)!, start }));
}

/** The largest windows that lie in what the parts are about. */
function windowsOf(parts: readonly EpochPart[]): Window[] {
  const end = parts.reduce((last, { address, length }) => Math.max(last, address + length), 0);
  const windows: Window[] = [];
  for (let start = Math.min(...parts.map(({ address }) => address)); start < end;) {
    const fits = (windowClass: number): boolean => {
      const size = windowBytes(windowClass);
      return start % size === 0 && start + size <= end;
    };
    const windowClass = WINDOW_CLASSES.findLast(fits) ?? WINDOW_CLASSES[0];
    windows.push({ windowClass, start });
    start += windowBytes(windowClass);
  }
  return windows;
}

function storedForm(
  segments: readonly ByteRun[],
  runs: readonly Run[],
  start: number,
  size: number,
): Pick<CopiedVersion, "meta" | "bytes"> {
  const from = segments[0]!.start;
  const to = segments.at(-1)!.end;
  if (segments.length > MAX_META_SEGMENTS) {
    const image = new Uint8Array(size);
    for (const run of runs) image.set(run.bytes, run.start - start);
    return { meta: BITMAP_META, bytes: encodeBitmapWindow(segments, image) };
  }
  const bytes = new Uint8Array(to - from);
  for (const run of runs) bytes.set(run.bytes, run.start - start - from);
  return { meta: to - from === size && segments.length === 1 ? WHOLE_META : encodeSegmentsMeta(segments), bytes };
}
