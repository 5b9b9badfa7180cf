/**
 * The log of one target: records appended to a ring of segments in SCM, made durable in groups.
 *
 * Guarantees: bytes of a durable record are never written again until the segment is released; records become durable in
 * the order of their sequences; a segment's first group is persisted only when everything before the segment is durable.
 * After a failed persist nothing is appended any more. What a record means, and when segments are released, is left to
 * the store.
 */
import { assert } from "../base/assert.ts";
import type { ByteString } from "../base/bytes.ts";
import { asBuffer } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import type { ScmRegion } from "../contracts/scm.ts";
import type { Timers } from "../contracts/world.ts";
import {
  encodeLogRecord,
  LOG_RECORD_HEADER_BYTES,
  logRecordBytes,
  type RecordReclaim,
  type RecordSnapshots,
  type RecordWrite,
} from "../format/log-record.ts";
import type { RecordTransaction } from "../format/log-record-transaction.ts";
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentSeed } from "../format/segment-header.ts";
import { DurableWaiters } from "./durable-waiters.ts";
import { GroupHold } from "./group-hold.ts";
import { alignUp, type LogLayout, slotOffset } from "./log-layout.ts";
import type { VersionSource } from "./logged-version.ts";

/** Groups being persisted at once. One lets the next group gather; more are correct and rarely faster. */
export const MAX_GROUPS_IN_FLIGHT = 1;

/** A segment that is in use, with the records in it. */
export interface SegmentSpan {
  readonly ordinal: number;
  /** Region offsets of its slot and of the end of its last record. */
  readonly offset: number;
  endOffset: number;
  readonly firstSequence: number;
  lastSequence: number;
  /** Of the opening that wrote it: part of the checksums' seed. */
  readonly generation: number;
}

interface Group {
  readonly offset: number;
  readonly length: number;
  readonly lastSequence: number;
  readonly opensSegment: boolean;
  durable: boolean;
}

/** What the store wants to hear. All are called outside of `append`, except `segmentOpened`. */
export interface LogHooks {
  segmentOpened(): void;
  /** The thread is about to persist what was appended, and may block meanwhile. */
  persisting(): void;
  /** Some group became durable. */
  advanced(): void;
  failed(error: DaosError): void;
}

export class Log implements VersionSource {
  readonly bytes: Buffer;
  readonly layout: LogLayout;
  durableSequence: number;
  lastSequence: number;
  /** Region offset of the record appended last. */
  recordOffset = 0;
  /** Its length. */
  recordBytes = 0;
  readonly #region: ScmRegion;
  readonly #timers: Timers;
  readonly #storeId: ByteString;
  readonly #generation: number;
  readonly #hooks: LogHooks;
  readonly #waiters = new DurableWaiters();
  /** Segments in use, oldest first; the last one is being written while `#open`. */
  readonly #spans: SegmentSpan[];
  #open = false;
  #nextOrdinal: number;
  #seed = 0;
  #position = 0;
  #segmentEnd = 0;
  #groupStart = 0;
  #groupOpensSegment = false;
  readonly #closedGroups: Group[] = [];
  readonly #flying: Group[] = [];
  readonly #hold: GroupHold;
  #flushScheduled = false;
  #driving = false;
  #lastIsMark = true;
  #failure: DaosError | undefined;
  readonly #flush = (): void => {
    this.#flushScheduled = false;
    // While a persist runs the group grows anyway, and one that is closed grows no more.
    const mayHold = this.#flying.length === 0 && this.#closedGroups.length === 0;
    if (mayHold && this.#hold.holds(this.lastSequence)) {
      this.#scheduleFlush();
      return;
    }
    this.#hooks.persisting();
    this.#drive();
  };

  /** `spans`: the recovered segments, all durable up to `lastSequence`; appending goes on in the segment after them. */
  constructor(options: {
    region: ScmRegion;
    timers: Timers;
    layout: LogLayout;
    storeId: ByteString;
    generation: number;
    hooks: LogHooks;
    spans: SegmentSpan[];
    nextOrdinal: number;
    lastSequence: number;
  }) {
    this.bytes = asBuffer(options.region.bytes);
    this.layout = options.layout;
    this.#region = options.region;
    this.#timers = options.timers;
    this.#hold = new GroupHold(options.layout.granularityBytes >= BLOCK_BYTES, options.lastSequence);
    this.#storeId = options.storeId;
    this.#generation = options.generation;
    this.#hooks = options.hooks;
    this.#spans = options.spans;
    this.#nextOrdinal = options.nextOrdinal;
    this.lastSequence = options.lastSequence;
    this.durableSequence = options.lastSequence;
  }

  get failure(): DaosError | undefined {
    return this.#failure;
  }

  /** Largest record that fits a segment, bytes. */
  get maxRecordBytes(): number {
    return this.layout.segmentBytes - SEGMENT_HEADER_BYTES;
  }

  get freeSegments(): number {
    return this.layout.segmentCount - this.#spans.length;
  }

  /** Bytes left in the segment that is being written. */
  get segmentRestBytes(): number {
    return this.#segmentEnd - this.#position;
  }

  get spans(): readonly SegmentSpan[] {
    return this.#spans;
  }

  /** Bytes of the region that cannot be written now. */
  get usedBytes(): number {
    return this.#spans.length * this.layout.segmentBytes - this.segmentRestBytes;
  }

  /**
   * Appends one record and returns its sequence. Throws TOO_LARGE, NO_SPACE (no free segment) and READ_ONLY, and has then
   * changed nothing.
   */
  append(
    writes: readonly RecordWrite[],
    reclaims: readonly RecordReclaim[],
    snapshots: readonly RecordSnapshots[],
    transaction?: RecordTransaction,
  ): number {
    if (this.#failure !== undefined) throw this.#failure;
    const lengthBytes = logRecordBytes(writes, reclaims, snapshots, transaction);
    const sequence = this.lastSequence + 1;
    if (this.#position + lengthBytes > this.#segmentEnd) this.#openSegment(lengthBytes, sequence);
    const offset = this.#position;
    encodeLogRecord(
      this.bytes,
      offset,
      lengthBytes,
      this.#seed,
      sequence,
      this.durableSequence,
      writes,
      reclaims,
      snapshots,
      transaction,
    );
    this.recordOffset = offset;
    this.recordBytes = lengthBytes;
    this.lastSequence = sequence;
    this.#position = offset + lengthBytes;
    this.#lastIsMark = false;
    if (!this.#flushScheduled) this.#scheduleFlush();
    return sequence;
  }

  #scheduleFlush(): void {
    this.#flushScheduled = true;
    this.#timers.soon(this.#flush);
  }

  #openSegment(lengthBytes: number, firstSequence: number): void {
    if (lengthBytes > this.maxRecordBytes) {
      throw new DaosError(
        "TOO_LARGE",
        `Cannot append "${lengthBytes} bytes": a log segment holds ${this.maxRecordBytes}. Split the operation.`,
      );
    }
    if (this.freeSegments === 0) {
      throw new DaosError(
        "NO_SPACE",
        `Cannot append "${lengthBytes} bytes": the log is full. Try again when it settled.`,
      );
    }
    this.#endSegment();
    const ordinal = this.#nextOrdinal;
    const offset = slotOffset(this.layout, ordinal);
    this.#nextOrdinal = ordinal + 1;
    this.#spans.push({
      ordinal,
      offset,
      endOffset: offset,
      firstSequence,
      lastSequence: firstSequence - 1,
      generation: this.#generation,
    });
    this.#open = true;
    this.#seed = segmentSeed(this.#storeId, ordinal, this.#generation);
    const header = { storeId: this.#storeId, ordinal, firstSequence, generation: this.#generation };
    encodeSegmentHeader(this.bytes, offset, header);
    this.#groupStart = offset;
    this.#groupOpensSegment = true;
    this.#position = offset + SEGMENT_HEADER_BYTES;
    this.#segmentEnd = offset + this.layout.segmentBytes;
    this.#hooks.segmentOpened();
  }

  /** Closes the group and the segment: the next append opens another one. */
  #endSegment(): void {
    this.#closeGroup();
    this.#open = false;
    this.#position = 0;
    this.#segmentEnd = 0;
    this.#groupStart = 0;
  }

  /** Ends the current segment, so that all segments in use can be settled; returns them. */
  seal(): SegmentSpan[] {
    if (this.#open) this.#endSegment();
    if (!this.#flushScheduled) this.#scheduleFlush();
    return this.#spans.slice();
  }

  /** Recycles the segments up to `ordinal`: nothing in them is needed any more. */
  release(ordinal: number): void {
    while (this.#spans.length > 0 && this.#spans[0]!.ordinal <= ordinal) {
      assert(!this.#open || this.#spans.length > 1, "the segment being written is not released");
      this.#spans.shift();
    }
  }

  /** Appends a durable mark if the last record was none: evidence that all before it had become durable. */
  mark(): void {
    if (this.#lastIsMark || this.#failure !== undefined || this.segmentRestBytes < LOG_RECORD_HEADER_BYTES) return;
    if (this.durableSequence !== this.lastSequence) return;
    this.append([], [], []);
    this.#lastIsMark = true;
  }

  /** See CellStore.whenDurable. */
  whenDurable(sequence: number, callback: (error?: Error) => void): void {
    assert(sequence <= this.lastSequence, "waited for sequence was appended");
    if (sequence <= this.durableSequence) callback();
    else if (this.#failure !== undefined) callback(this.#failure);
    else this.#waiters.add(sequence, callback);
  }

  /** Resolves when every record up to `sequence` is durable. */
  durable(sequence: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.whenDurable(sequence, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  /** True when a persist is running: the region may not be closed. */
  get busy(): boolean {
    return this.#flying.length > 0;
  }

  #closeGroup(): void {
    if (this.#position === this.#groupStart) return;
    const end = alignUp(this.#position, this.layout.granularityBytes);
    this.bytes.fill(0, this.#position, end);
    this.#closedGroups.push({
      offset: this.#groupStart,
      length: end - this.#groupStart,
      lastSequence: this.lastSequence,
      opensSegment: this.#groupOpensSegment,
      durable: false,
    });
    const span = this.#spans.at(-1)!;
    span.endOffset = this.#position;
    span.lastSequence = this.lastSequence;
    this.#position = end;
    this.#groupStart = end;
    this.#groupOpensSegment = false;
  }

  /** Persists what may be persisted now. Callbacks that append meanwhile are served by the same loop or the next flush. */
  #drive(): void {
    if (this.#driving) return;
    this.#driving = true;
    try {
      for (;;) {
        if (this.#failure !== undefined || this.#flying.length >= MAX_GROUPS_IN_FLIGHT) return;
        if (this.#closedGroups.length === 0) this.#closeGroup();
        const group = this.#closedGroups[0];
        if (group === undefined || (group.opensSegment && this.#flying.length > 0)) return;
        this.#closedGroups.shift();
        this.#persist(group);
      }
    } finally {
      this.#driving = false;
    }
  }

  #persist(group: Group): void {
    this.#hold.persisting(group.lastSequence);
    this.#flying.push(group);
    let running: undefined | Promise<void>;
    try {
      running = this.#region.persist(group.offset, group.length);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (running === undefined) {
      this.#complete(group);
      return;
    }
    running.then(
      () => {
        this.#complete(group);
        this.#drive();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #complete(group: Group): void {
    group.durable = true;
    while (this.#flying[0]?.durable === true) {
      const first = this.#flying.shift()!;
      if (this.#failure === undefined) this.durableSequence = first.lastSequence;
    }
    if (this.#failure !== undefined) return;
    this.#waiters.reached(this.durableSequence);
    this.#hooks.advanced();
  }

  #fail(cause: unknown): void {
    this.#flying.length = 0;
    if (this.#failure !== undefined) return;
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.stop(
      new DaosError(
        "READ_ONLY",
        `Cannot write "log": SCM failed (${reason}). The target serves reads only; check the device and restart it.`,
        { cause },
      ),
    );
  }

  /** Takes no more records; whoever waits gets `error`. */
  stop(error: DaosError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#waiters.fail(error);
    this.#hooks.failed(error);
  }
}
