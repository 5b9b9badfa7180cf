/**
 * Which records of an array hold data: enumeration of visible extents, and the first and last one for key queries. Works
 * through the array block by block (the largest window), skipping where no window is.
 *
 * A shard of an erasure-coded object has pieces of records, so there all is in bytes of its local array.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { MIB } from "../base/limits.ts";
import { isErasureCoded, type ObjectId } from "../base/object-id.ts";
import { VersionKind } from "../store/cell.ts";
import { joinRuns, overlay } from "./array-overlay.ts";
import { accessArray, type ArrayAccess, collectPieces, type RecordExtent } from "./array-read.ts";
import { classBit, WINDOW_CLASSES, windowBytes } from "./array-window.ts";
import { windowKey, windowOf } from "./cell-key.ts";
import { type ArrayHeader, type ByteRun } from "./cell-meta.ts";
import { windowData } from "./cell-walk.ts";
import { checkLimit, epochOf } from "./enumeration.ts";
import type { AkeyReadRequest, Outcome } from "./single-value.ts";
import { checkKeys, Seen, type TargetObjects } from "./target-objects.ts";

/** Blocks of the array that one turn looks at. */
const BLOCKS_PER_TURN = 16;
/** Highest window of a class, plus one. */
const windowCount = (windowClass: number): number => Math.ceil(Number.MAX_SAFE_INTEGER / windowBytes(windowClass));

export interface ExtentListRequest extends AkeyReadRequest {
  /** First record of interest. */
  readonly from: number;
  /** The first one behind those of interest; undefined: to the end. */
  readonly to?: number | undefined;
  readonly limit: number;
}

export interface VisibleExtent extends RecordExtent {
  /** Epoch at which these records were written. */
  readonly epoch: Epoch;
}

export interface ExtentPage extends Outcome {
  /** Ascending, not overlapping. */
  readonly extents: readonly VisibleExtent[];
  /** 0 when there is no array. */
  readonly recordBytes: number;
  readonly done: boolean;
  /** `from` of the next page when not done. */
  readonly next: number;
}

/** Runs of visible data in one block, and the epoch of each. */
interface DatedRun extends ByteRun {
  readonly epoch: number;
}

export class ExtentLists {
  readonly #target: TargetObjects;

  constructor(target: TargetObjects) {
    this.#target = target;
  }

  /** Throws or rejects with INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND (container), EPOCH_AGGREGATED, CORRUPT. */
  async list(container: number, request: ExtentListRequest): Promise<ExtentPage> {
    checkLimit(request.limit);
    checkKeys(request.dkey, request.akey);
    const target = this.#target;
    const seen = new Seen();
    const extents: { index: number; count: number; epoch: Epoch }[] = [];
    let from = request.from;
    for (let turn = 0; ; turn += 1) {
      if (turn > 0) await target.pause();
      const epoch = epochOf(target, target.containers.get(container), request.epoch);
      const { header, akey } = accessArray(target, container, request, epoch, seen);
      if (header === undefined)
        return { extents, recordBytes: 0, done: true, next: 0, sequence: seen.sequence, error: undefined };
      const { recordBytes } = header;
      const unit = unitBytes(request.oid, recordBytes);
      const limitBytes = request.to === undefined ? Number.MAX_SAFE_INTEGER : request.to * unit;
      let position: number | undefined = from * unit;
      for (
        let block = 0;
        block < BLOCKS_PER_TURN && position !== undefined && extents.length <= request.limit;
        block += 1
      ) {
        const start = this.#nextWindow(akey, header, epoch, position);
        if (start === undefined || start >= limitBytes) position = undefined;
        else {
          const end = Math.min((Math.floor(start / MIB) + 1) * MIB, limitBytes);
          for (const run of this.#runs(akey, header, epoch, { start, end }, seen))
            addRun(extents, run, unit, request.from);
          position = end;
        }
      }
      const page = { recordBytes, sequence: seen.sequence, error: undefined };
      if (extents.length > request.limit) {
        // The last one may go on in the next block: it opens the next page.
        const kept = extents.slice(0, request.limit);
        return { ...page, extents: kept, done: false, next: kept.at(-1)!.index + kept.at(-1)!.count };
      }
      if (position === undefined) return { ...page, extents, done: true, next: 0 };
      from = Math.floor(position / unit);
      if (extents.length > 1) {
        const last = extents.pop()!;
        return { ...page, extents, done: false, next: last.index };
      }
    }
  }

  /** First byte at or after `position` where a window of any class may show data. */
  #nextWindow(akey: string, header: ArrayHeader, epoch: Epoch, position: number): number | undefined {
    let nearest: number | undefined;
    for (const windowClass of WINDOW_CLASSES) {
      if ((header.classMask & classBit(windowClass)) === 0) continue;
      const size = windowBytes(windowClass);
      const from = windowKey(akey, windowClass, Math.floor(position / size));
      this.#target.store.scan(from, windowKey(akey, windowClass, windowCount(windowClass)), epoch, (key, version) => {
        if (version.kind === VersionKind.tombstone || version.epoch < header.since) return true;
        const start = Math.max(position, windowOf(key) * size);
        if (nearest === undefined || start < nearest) nearest = start;
        return false;
      });
    }
    return nearest;
  }

  #runs(akey: string, header: ArrayHeader, epoch: Epoch, block: ByteRun, seen: Seen): DatedRun[] {
    const { fills } = overlay(collectPieces(this.#target, akey, header, epoch, block, seen), block.start, block.end);
    return fills.map(({ start, end, piece }) => ({ start, end, epoch: piece.epoch }));
  }

  /**
   * The first or last run of visible records of an array, as far as it reaches within one block of 1 MiB; undefined when
   * there are none. `within`: the bytes to regard, whole MiB.
   */
  outermost(
    access: ArrayAccess,
    header: ArrayHeader,
    epoch: Epoch,
    direction: "max" | "min",
    within: ByteRun | undefined,
    seen: Seen,
  ): RecordExtent | undefined {
    const { oid } = access.state;
    const unit = unitBytes(oid, header.recordBytes);
    const edge = this.#edge(access.akey, header, epoch, direction, within, seen);
    if (edge === undefined) return undefined;
    const start = Math.floor(edge / MIB) * MIB;
    const runs = joinRuns(this.#runs(access.akey, header, epoch, { start, end: start + MIB }, seen));
    const run = direction === "max" ? runs.at(-1) : runs[0];
    if (run === undefined) return undefined;
    const index = Math.floor(run.start / unit);
    return { index, count: Math.ceil(run.end / unit) - index };
  }

  /** The first or last byte of data: each class by itself, for what a class shows of its own is data whatever lies over it. */
  #edge(
    akey: string,
    header: ArrayHeader,
    epoch: Epoch,
    direction: "max" | "min",
    within: ByteRun | undefined,
    seen: Seen,
  ): number | undefined {
    let edge: number | undefined;
    for (const windowClass of WINDOW_CLASSES) {
      if ((header.classMask & classBit(windowClass)) === 0) continue;
      const found = this.#classEdge(akey, header, epoch, windowClass, direction, within, seen);
      if (found === undefined) continue;
      edge = edge === undefined ? found : direction === "max" ? Math.max(edge, found) : Math.min(edge, found);
    }
    return edge;
  }

  #classEdge(
    akey: string,
    header: ArrayHeader,
    epoch: Epoch,
    windowClass: number,
    direction: "max" | "min",
    within: ByteRun | undefined,
    seen: Seen,
  ): number | undefined {
    const size = windowBytes(windowClass);
    const last = within === undefined ? windowCount(windowClass) : Math.ceil(within.end / size);
    let from = windowKey(akey, windowClass, within === undefined ? 0 : Math.floor(within.start / size));
    let to = windowKey(akey, windowClass, last);
    for (;;) {
      let candidate: ByteString | undefined;
      this.#target.store.scan(
        from,
        to,
        epoch,
        (key, version) => {
          seen.add(version.sequence);
          if (version.kind === VersionKind.tombstone || version.epoch < header.since) return true;
          candidate = key;
          return false;
        },
        { reverse: direction === "max" },
      );
      if (candidate === undefined) return undefined;
      const runs = windowData(this.#target, candidate, windowClass, header.since, epoch);
      const base = windowOf(candidate) * size;
      if (runs.length > 0) return direction === "max" ? base + runs.at(-1)!.end - 1 : base + runs[0]!.start;
      if (direction === "max") to = candidate;
      else from = (candidate + "\x00") as ByteString;
    }
  }
}

/** What extents are counted in. */
function unitBytes(oid: ObjectId, recordBytes: number): number {
  return isErasureCoded(oid) ? 1 : recordBytes;
}

/** Adds a run to the list; one that goes on where the last one ended, from the same write, makes it longer. */
function addRun(
  extents: { index: number; count: number; epoch: Epoch }[],
  run: DatedRun,
  unit: number,
  from: number,
): void {
  const last = extents.at(-1);
  const lastEnd = last === undefined ? from : last.index + last.count;
  const index = Math.max(Math.floor(run.start / unit), lastEnd);
  const end = Math.ceil(run.end / unit);
  if (last !== undefined && last.epoch === run.epoch && index === lastEnd)
    last.count = Math.max(end, lastEnd) - last.index;
  else if (end > index) extents.push({ index, count: end - index, epoch: run.epoch as Epoch });
}
