/**
 * A version whose bytes are in the log: what memtables are made of. It refers to the region instead of copying; its views
 * are made when asked for and hold until the segment is recycled, which never happens within a turn.
 */
import type { Epoch } from "../base/epoch.ts";
import { crc32Range } from "../base/checksum.ts";
import type { CellWrite, ExtentRef, Version, VersionKind } from "./cell.ts";

/** What versions need of the log they lie in. */
export interface VersionSource {
  readonly bytes: Buffer;
  readonly durableSequence: number;
  /** Of a prepared record: where settling meets it, infinite when it does not meet it there. Else absent. */
  readonly settleSequence?: number;
}

export class LoggedVersion implements Version {
  readonly epoch: Epoch;
  readonly kind: VersionKind;
  readonly extent: ExtentRef | undefined;
  readonly checksum: number;
  /** Next older version of the cell in the same memtable. */
  older: LoggedVersion | undefined = undefined;
  readonly #source: VersionSource;
  readonly #sequence: number;
  #metaOffset: number;
  readonly #metaLength: number;
  readonly #inlineLength: number;

  constructor(
    source: VersionSource,
    sequence: number,
    epoch: Epoch,
    kind: VersionKind,
    metaOffset: number,
    metaLength: number,
    inlineLength: number,
    checksum: number,
    extent: ExtentRef | undefined,
  ) {
    this.#source = source;
    this.#sequence = sequence;
    this.epoch = epoch;
    this.kind = kind;
    this.extent = extent;
    this.checksum = checksum;
    this.#metaOffset = metaOffset;
    this.#metaLength = metaLength;
    this.#inlineLength = inlineLength;
  }

  /** Its bytes were copied: from now on they are read there. */
  moveTo(metaOffset: number): void {
    this.#metaOffset = metaOffset;
  }

  get sequence(): number {
    return this.#sequence > this.#source.durableSequence ? this.#sequence : 0;
  }

  /** Sequence of the record from which it is settled; infinite when that is not this one, or not known yet. */
  get writtenSequence(): number {
    return this.#source.settleSequence ?? this.#sequence;
  }

  /** Region offset of its meta: no other version of the unsettled log has the same. */
  get place(): number {
    return this.#metaOffset;
  }

  /** Bytes inline, -1 for none. */
  get inlineLength(): number {
    return this.#inlineLength;
  }

  get metaType(): number {
    return this.#metaLength === 0 ? 0 : this.#source.bytes[this.#metaOffset]!;
  }

  get meta(): Uint8Array {
    return this.#source.bytes.subarray(this.#metaOffset, this.#metaOffset + this.#metaLength);
  }

  get inline(): Uint8Array | undefined {
    if (this.#inlineLength < 0) return undefined;
    const start = this.#metaOffset + this.#metaLength;
    return this.#source.bytes.subarray(start, start + this.#inlineLength);
  }
}

/** The CRC-32 of a write's inline bytes, 0 without; `at`: where they lie in the log's memory. */
export function inlineChecksum({ inline, checksum }: CellWrite, log: Buffer, at: number): number {
  if (inline === undefined) return 0;
  return checksum ?? crc32Range(log, at, at + inline.length);
}

/** The version of a write whose record is in the log, its meta at `metaOffset`. */
export function loggedVersion(
  source: VersionSource,
  sequence: number,
  write: CellWrite,
  metaOffset: number,
): LoggedVersion {
  const { epoch, kind, meta, inline, extent } = write;
  const checksum = inlineChecksum(write, source.bytes, metaOffset + meta.length);
  const inlineLength = inline === undefined ? -1 : inline.length;
  return new LoggedVersion(source, sequence, epoch, kind, metaOffset, meta.length, inlineLength, checksum, extent);
}
