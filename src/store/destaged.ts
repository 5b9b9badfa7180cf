/**
 * Destaged versions: those of the unsettled log whose bytes were copied to the block device, so that settling writes rows
 * that name an extent instead of the bytes. Nothing refers to such an extent before that transaction commits.
 *
 * A version is known by its place: the region offset of its meta, which no other version of the unsettled log has.
 */
import { assert } from "../base/assert.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import type { LoggedWrite, RecordExtent } from "../format/log-record.ts";

/** As sent to the settle thread. One entry a version in all but `checksums`. */
export interface DestagedList {
  /** Region offsets. */
  readonly places: Float64Array;
  /** Device offsets of the extents, bytes. */
  readonly offsets: Float64Array;
  /** Lengths of the extents, bytes: the version's own, and what comes before them in the first block. */
  readonly lengths: Uint32Array;
  /** Of each chunk of each extent, one after the other. */
  readonly checksums: Uint32Array;
}

export const NOTHING_DESTAGED: DestagedList = {
  places: new Float64Array(0),
  offsets: new Float64Array(0),
  lengths: new Uint32Array(0),
  checksums: new Uint32Array(0),
};

/** The extents of a list, found by place. */
export class DestagedVersions {
  readonly #list: DestagedList;
  readonly #entries = new Map<number, number>();
  /** Where the checksums of each entry begin. */
  readonly #checksumStarts: Uint32Array;

  constructor(list: DestagedList) {
    const { places, lengths, checksums } = list;
    this.#list = list;
    this.#checksumStarts = new Uint32Array(places.length);
    let start = 0;
    for (let entry = 0; entry < places.length; entry += 1) {
      this.#entries.set(places[entry]!, entry);
      this.#checksumStarts[entry] = start;
      start += Math.ceil(lengths[entry]! / BLOCK_BYTES);
    }
    assert(start === checksums.length, "each chunk that was destaged has a checksum");
  }

  get count(): number {
    return this.#entries.size;
  }

  /** The write with its extent in place of its bytes, if it was destaged. `regionStart`: where its memory begins in the region. */
  relocated(write: LoggedWrite, regionStart: number): LoggedWrite {
    const entry = this.#entries.get(regionStart + write.metaOffset);
    return entry === undefined ? write : { ...write, inlineLength: -1, extent: this.#extent(entry) };
  }

  #extent(entry: number): RecordExtent {
    const length = this.#list.lengths[entry]!;
    const start = this.#checksumStarts[entry]!;
    const checksums = this.#list.checksums.slice(start, start + Math.ceil(length / BLOCK_BYTES));
    return { offset: this.#list.offsets[entry]!, length, checksums };
  }
}
