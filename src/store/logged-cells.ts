/**
 * The writes that some log segments hold, by cell. A write that hides the ones before it takes their place, unless
 * snapshots or viewers at the gate may see them, so that cells written over and over take no more memory than others.
 *
 * Kept as numbers, where each write lies in its segment, instead of objects: there are as many as a generation of the log
 * has, and the garbage collector would go over them again and again. A write that is asked for is decoded once more.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { decodeLoggedWrite, LOG_WRITE_BYTES, type LoggedWrite, type RecordExtent } from "../format/log-record.ts";
import { type SettledContent, settledWriteBytes } from "../format/settled-version.ts";
import { VersionKind } from "./cell.ts";

/** No write. */
export const NO_WRITE = -1;

/** A logged write with the memory that it lies in. */
export class LoggedContent implements SettledContent {
  readonly epoch: Epoch;
  readonly kind: 1 | 2 | 3;
  readonly extent: RecordExtent | undefined;
  readonly bytes: Buffer;
  readonly write: LoggedWrite;
  readonly checksum: number;

  constructor(bytes: Buffer, write: LoggedWrite) {
    this.epoch = write.epoch;
    this.kind = write.kind;
    this.extent = write.extent;
    this.bytes = bytes;
    this.write = write;
    this.checksum = write.checksum;
  }

  get meta(): Uint8Array {
    return this.bytes.subarray(this.write.metaOffset, this.write.metaOffset + this.write.metaLength);
  }

  get inline(): Uint8Array | undefined {
    const { metaOffset, metaLength, inlineLength } = this.write;
    if (inlineLength < 0) return undefined;
    return this.bytes.subarray(metaOffset + metaLength, metaOffset + metaLength + inlineLength);
  }
}

export class LoggedCells {
  /** Extents of writes that were hidden and forgotten. */
  readonly hiddenExtents: RecordExtent[] = [];
  /** Bytes of the writes that are kept, about. */
  writeBytes = 0;
  /** The newest write of each cell: its place in the lists below. */
  readonly #newest = new Map<ByteString, number>();
  readonly #segments: Buffer[] = [];
  readonly #segmentOf: number[] = [];
  readonly #startOf: number[] = [];
  readonly #epochOf: number[] = [];
  readonly #olderOf: number[] = [];
  readonly #checksumOf: number[] = [];
  /** Of the writes that have one. */
  readonly #extents = new Map<number, RecordExtent>();

  /** The writes added from now on lie in `bytes`, which must stay as they are. */
  beginSegment(bytes: Buffer): void {
    this.#segments.push(bytes);
  }

  get cellCount(): number {
    return this.#newest.size;
  }

  /** The cells' keys in order. */
  sortedKeys(): ByteString[] {
    return [...this.#newest.keys()].sort();
  }

  /** The newest write of a cell, which is here. */
  newest(key: ByteString): number {
    return this.#newest.get(key)!;
  }

  /** The write before it to the same cell, or NO_WRITE. */
  older(place: number): number {
    return this.#olderOf[place]!;
  }

  /** Adds a write; one that was destaged comes with its extent. `keepsHidden`: others than the latest view may see what it hides. */
  add(write: LoggedWrite, keepsHidden: boolean): void {
    const before = this.#newest.get(write.key) ?? NO_WRITE;
    if (before !== NO_WRITE && !keepsHidden && this.hides(write, before)) {
      if (this.#extents.size > 0) this.#forgetExtents(before);
      this.#set(before, write, NO_WRITE);
      return;
    }
    const place = this.#startOf.length;
    this.#newest.set(write.key, place);
    this.writeBytes += write.key.length + settledWriteBytes(write);
    this.#set(place, write, before);
  }

  #set(place: number, write: LoggedWrite, older: number): void {
    this.#segmentOf[place] = this.#segments.length - 1;
    this.#startOf[place] = write.metaOffset - write.key.length - LOG_WRITE_BYTES;
    this.#epochOf[place] = write.epoch;
    this.#olderOf[place] = older;
    this.#checksumOf[place] = write.checksum;
    if (write.extent !== undefined) this.#extents.set(place, write.extent);
  }

  #forgetExtents(from: number): void {
    for (let place = from; place !== NO_WRITE; place = this.older(place)) {
      const extent = this.#extents.get(place);
      if (extent === undefined) continue;
      this.#extents.delete(place);
      this.hiddenExtents.push(extent);
    }
  }

  /** Whether a write hides those from `before` on down: nothing but views below its epoch shows them. */
  hides(write: LoggedWrite, before: number): boolean {
    if (write.kind !== VersionKind.value) return false;
    for (let place = before; place !== NO_WRITE; place = this.older(place)) {
      if (this.#epochOf[place]! > write.epoch) return false;
    }
    return true;
  }

  /** The write at this place, which is of this cell. Throws CORRUPT when its bytes are no longer what they were. */
  content(place: number, key: ByteString): LoggedContent {
    const bytes = this.#segments[this.#segmentOf[place]!]!;
    const checksum = this.#checksumOf[place]!;
    const write = { ...decodeLoggedWrite(bytes, this.#startOf[place]!, bytes.length, key), checksum };
    const extent = this.#extents.get(place);
    // The log still has the bytes of what was destaged.
    const isDestaged = extent !== undefined && write.extent === undefined;
    return new LoggedContent(bytes, isDestaged ? { ...write, inlineLength: -1, extent } : write);
  }
}
