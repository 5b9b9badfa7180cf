/**
 * A prepared record in memory: where its writes lie, what became of it, and who waits for that. It is the source of its
 * versions, so that they rest on the decision without being looked up.
 */
import type { ByteString } from "../base/bytes.ts";
import type { DtxId } from "../base/dtx-id.ts";
import type { Epoch } from "../base/epoch.ts";
import { LOG_RECORD_HEADER_BYTES, LOG_WRITE_BYTES } from "../format/log-record.ts";
import { LOG_ORIGIN_BYTES } from "../format/log-record-transaction.ts";
import type { CellWrite, DtxState, ReclaimRange, VersionKind } from "./cell.ts";
import type { ExtentRef } from "./cell.ts";
import { inlineChecksum, LoggedVersion, type VersionSource } from "./logged-version.ts";
import type { Memtable } from "./memtable.ts";
import { recordEpoch } from "./record-check.ts";
import { undecidedSequence } from "./stability.ts";

/** A write of a prepared record and where it was put. */
export interface PlacedWrite {
  readonly key: ByteString;
  readonly version: LoggedVersion;
  /** What it takes of the record. */
  readonly bytes: number;
  /** What it replaced in its memtable. */
  replaced: LoggedVersion | undefined;
}

/** A write as `append` and replay both know it. */
interface WriteShape {
  readonly key: ByteString;
  readonly epoch: Epoch;
  readonly kind: VersionKind;
  readonly metaLength: number;
  /** -1 for none. */
  readonly inlineLength: number;
  /** Of the inline bytes. */
  readonly checksum: number;
  readonly extent: ExtentRef | undefined;
}

type Waiter = (error?: Error) => void;

export class PreparedRecord implements VersionSource {
  readonly id: DtxId;
  readonly reclaims: readonly ReclaimRange[];
  /** As versions name it: of the copy that this store met first. */
  readonly sequence: number;
  /** Of its newest copy in the log. */
  copySequence: number;
  readonly firstIncomplete: number;
  readonly bytes: Buffer;
  /** Of the record in the log. */
  readonly lengthBytes: number;
  state: DtxState = "prepared";
  /** What the memtable `home` has of it. */
  writes: readonly PlacedWrite[] = [];
  home: Memtable | undefined;
  readonly waiters: Waiter[] = [];
  readonly #log: VersionSource;

  constructor(options: {
    id: DtxId;
    firstIncomplete: number;
    reclaims: readonly ReclaimRange[];
    sequence: number;
    lengthBytes: number;
    /** Where its bytes are, and what of them is durable. */
    log: VersionSource;
  }) {
    this.id = options.id;
    this.firstIncomplete = options.firstIncomplete;
    this.reclaims = options.reclaims;
    this.sequence = options.sequence;
    this.copySequence = options.sequence;
    this.lengthBytes = options.lengthBytes;
    this.#log = options.log;
    this.bytes = options.log.bytes;
  }

  /** Makes its versions stable, or not, whatever else is durable. */
  get durableSequence(): number {
    if (this.state === "prepared") return 0;
    return this.#log.durableSequence >= this.sequence ? Number.MAX_SAFE_INTEGER : 0;
  }

  /** See VersionSource. A copy that was moved, or is not decided, is passed over where it lies. */
  get settleSequence(): number {
    return this.state === "committed" && this.copySequence === this.sequence ? this.sequence : Number.POSITIVE_INFINITY;
  }

  /** The version of one of its writes whose `meta` begins at `metaOffset`. */
  version(write: WriteShape, metaOffset: number): LoggedVersion {
    const { epoch, kind, metaLength, inlineLength, checksum, extent } = write;
    const stability = undecidedSequence(this.sequence);
    return new LoggedVersion(this, stability, epoch, kind, metaOffset, metaLength, inlineLength, checksum, extent);
  }

  /** The versions of the copy that begins at `offset` of the log's memory. */
  versionsAt(offset: number, writes: readonly CellWrite[]): PlacedWrite[] {
    let position = offset + LOG_RECORD_HEADER_BYTES + LOG_ORIGIN_BYTES;
    return writes.map((write) => {
      const { key, epoch, kind, meta, inline, extent } = write;
      const inlineLength = inline === undefined ? -1 : inline.length;
      const metaOffset = position + LOG_WRITE_BYTES + key.length;
      const checksum = inlineChecksum(write, this.bytes, metaOffset + meta.length);
      const shape: WriteShape = { key, epoch, kind, metaLength: meta.length, inlineLength, checksum, extent };
      const bytes = writeBytes(shape);
      const version = this.version(shape, metaOffset);
      position += bytes;
      return { key, version, bytes, replaced: undefined };
    });
  }

  /** Where the bytes of each write are in the copy that begins at `offset` of the log's memory. */
  metaOffsetsAt(offset: number): number[] {
    let position = offset + LOG_RECORD_HEADER_BYTES + LOG_ORIGIN_BYTES;
    return this.writes.map(({ key, bytes }) => {
      const metaOffset = position + LOG_WRITE_BYTES + key.length;
      position += bytes;
      return metaOffset;
    });
  }

  /** Its writes as they can be appended again. */
  cellWrites(): CellWrite[] {
    return this.writes.map(({ key, version }) => {
      const { epoch, kind, meta, inline, checksum, extent } = version;
      return {
        key,
        epoch,
        kind,
        meta,
        ...(inline !== undefined && { inline, checksum }),
        ...(extent !== undefined && { extent }),
      };
    });
  }

  get epoch(): Epoch {
    return recordEpoch(
      this.writes.map(({ version }) => version),
      this.reclaims,
    );
  }

  get keys(): ByteString[] {
    return this.writes.map(({ key }) => key);
  }

  /** Offset, length, offset, length, ... of its extents. */
  extentRanges(): Float64Array {
    const ranges: number[] = [];
    for (const { version } of this.writes) {
      if (version.extent !== undefined) ranges.push(version.extent.offset, version.extent.length);
    }
    return new Float64Array(ranges);
  }

  /** Calls all who wait. */
  settle(error?: Error): void {
    if (this.waiters.length === 0) return;
    for (const waiter of this.waiters.splice(0)) waiter(error);
  }
}

/** Bytes that a write takes of its record. */
export function writeBytes({ key, metaLength, inlineLength, extent }: WriteShape): number {
  const dataBytes = extent === undefined ? Math.max(inlineLength, 0) : 8 + 4 * extent.checksums.length;
  return LOG_WRITE_BYTES + key.length + metaLength + dataBytes;
}
