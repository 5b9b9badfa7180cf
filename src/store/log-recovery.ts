/**
 * Finds and replays the records that are not settled, after any kind of end of the process before.
 *
 * The log ends where the next record is missing or damaged. A torn tail that was never acknowledged is normal. But every
 * record says what was durable when it was written, and a segment header says that all before it was: where that proves
 * that records beyond the end had been durable, they are lost and recovery raises CORRUPT instead of going on without
 * them. One that has a single flipped bit there is turned back first (log-check.ts). The tail that is not proven durable is persisted again,
 * for what is read from now on must not vanish.
 */
import { asBuffer, type ByteString } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import type { ScmRegion } from "../contracts/scm.ts";
import { LOG_RECORD_HEADER_BYTES, type LogRecord, probeLogRecord } from "../format/log-record.ts";
import { hasRecordFlags } from "../format/log-record-transaction.ts";
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentSeed } from "../format/segment-header.ts";
import { readUint64 } from "../format/uint64.ts";
import type { SegmentSpan } from "./log.ts";
import { mendRecord } from "./log-check.ts";
import { alignUp, type LogLayout, slotOffset } from "./log-layout.ts";
import { SegmentReader } from "./segment-reader.ts";

export interface RecoveredLog {
  readonly spans: SegmentSpan[];
  readonly nextOrdinal: number;
  readonly lastSequence: number;
}

interface RecoveryOptions {
  readonly region: ScmRegion;
  readonly layout: LogLayout;
  readonly storeId: ByteString;
  /** The superblock's before this opening: the highest that any segment can carry. */
  readonly generation: number;
  /** What the settled index has reached: records after it are replayed, from the segment of this ordinal on. */
  readonly settledSequence: number;
  readonly nextOrdinal: number;
  /** Called for each record in order; its offsets are the region's. */
  readonly replay: (record: LogRecord) => void;
  /** Called behind the last record of each segment. */
  readonly segmentEnded: (ordinal: number) => void;
}

/** Openings that records behind a damaged segment header may be of, counted back from the last. */
const SEARCHED_GENERATIONS = 65_536;

/** Replays the log. Throws CORRUPT (naming the lost sequences), VERSION, and what `persist` throws. */
export async function recoverLog(options: RecoveryOptions): Promise<RecoveredLog> {
  const recovery = new Recovery(options);
  do {
    while (recovery.readSegment()) {
      /* segment by segment */
    }
  } while (recovery.isAnythingLost() && recovery.mend());
  recovery.checkNothingLost();
  recovery.end();
  await recovery.persistTail();
  return recovery.result();
}

class Recovery {
  readonly #options: RecoveryOptions;
  readonly #bytes: Buffer;
  readonly #spans: SegmentSpan[] = [];
  #ordinal: number;
  #lastSequence: number;
  /** Everything up to here was durable before. */
  #provenSequence: number;
  /** Of the last segment, which may go on once it is mended. */
  #reader: SegmentReader | undefined;
  #readerSeed = 0;
  /** Segments that were mended. */
  readonly #mended = new Set<number>();

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#bytes = asBuffer(options.region.bytes);
    this.#ordinal = options.nextOrdinal;
    this.#lastSequence = options.settledSequence;
    this.#provenSequence = options.settledSequence;
  }

  /** Replays the next segment; false when there is none. */
  readSegment(): boolean {
    const { layout } = this.#options;
    if (this.#spans.length === layout.segmentCount) return false;
    const header = this.#headerOf(this.#ordinal);
    if (header === undefined || header.ordinal !== this.#ordinal) return false;
    this.#prove(header.firstSequence - 1);
    // Records are missing before it: what follows cannot be used, but tells how many.
    if (header.firstSequence > this.#lastSequence + 1) return false;
    if (header.firstSequence <= this.#lastSequence) throw disagreeing(this.#ordinal);
    this.end();
    const offset = slotOffset(layout, this.#ordinal);
    const { ordinal, firstSequence, generation } = header;
    this.#open(offset, firstSequence, generation);
    this.#spans.push({
      ordinal,
      offset,
      endOffset: offset,
      firstSequence,
      lastSequence: firstSequence - 1,
      generation,
    });
    this.#readRecords();
    this.#ordinal += 1;
    return true;
  }

  /** Replays what the last segment has from where it was read to. */
  #readRecords(): void {
    const reader = this.#reader!;
    for (let record = reader.next(); record !== undefined; record = reader.next()) {
      this.#prove(record.durableSequence);
      this.#options.replay(record);
    }
    this.#lastSequence = reader.nextSequence - 1;
    const span = this.#spans.at(-1)!;
    span.endOffset = reader.position;
    span.lastSequence = this.#lastSequence;
  }

  /** Behind the last record of the last segment. */
  end(): void {
    const last = this.#spans.at(-1);
    if (last !== undefined) this.#options.segmentEnded(last.ordinal);
  }

  /** Turns back a flipped bit in the record that is missing next, and replays what follows in its segment; false when it is none. */
  mend(): boolean {
    const reader = this.#reader;
    const span = this.#spans.at(-1);
    if (reader === undefined || span === undefined) return false;
    const { granularityBytes, segmentBytes } = this.#options.layout;
    const end = span.offset + segmentBytes;
    const starts = [reader.position, alignUp(reader.position, granularityBytes)];
    if (!starts.some((start) => mendRecord(this.#bytes, start, end, this.#readerSeed, reader.nextSequence)))
      return false;
    this.#mended.add(span.ordinal);
    this.#readRecords();
    return true;
  }

  #headerOf(ordinal: number): ReturnType<typeof decodeSegmentHeader> {
    const header = decodeSegmentHeader(this.#bytes, slotOffset(this.#options.layout, ordinal));
    return header?.storeId === this.#options.storeId ? header : undefined;
  }

  #open(offset: number, firstSequence: number, generation: number): void {
    const { layout, storeId } = this.#options;
    const { segmentBytes, granularityBytes } = layout;
    const seed = segmentSeed(storeId, this.#ordinal, generation);
    this.#readerSeed = seed;
    this.#reader = new SegmentReader(this.#bytes, offset, offset + segmentBytes, granularityBytes, seed, firstSequence);
  }

  #prove(sequence: number): void {
    if (sequence > this.#provenSequence) this.#provenSequence = sequence;
  }

  /** Throws CORRUPT when durable records are not there. */
  checkNothingLost(): void {
    if (this.#provenSequence > this.#lastSequence) throw lost(this.#lastSequence + 1, this.#provenSequence);
  }

  /** Looks for evidence of durable records beyond the end: after it in the last segment, and in every slot not replayed. */
  isAnythingLost(): boolean {
    const { layout } = this.#options;
    const last = this.#spans.at(-1);
    if (last !== undefined) {
      this.#searchSlot(
        last.ordinal,
        alignUp(last.endOffset, layout.granularityBytes),
        last.generation,
        last.generation,
      );
    }
    const newest = this.#options.generation;
    const oldest = Math.max(last?.generation ?? 1, newest - SEARCHED_GENERATIONS);
    for (let ahead = 0; ahead < layout.segmentCount - this.#spans.length; ahead += 1) {
      const ordinal = this.#ordinal + ahead;
      const header = this.#headerOf(ordinal);
      if (header !== undefined && header.ordinal >= ordinal) this.#prove(header.firstSequence - 1);
      this.#searchSlot(ordinal, slotOffset(layout, ordinal), oldest, newest);
    }
    return this.#provenSequence > this.#lastSequence;
  }

  /**
   * Takes the testimony of every record of the segment that begins at a place where a group may begin, from `from` on, if
   * an opening of these generations wrote it.
   */
  #searchSlot(ordinal: number, from: number, oldest: number, newest: number): void {
    const { layout, storeId } = this.#options;
    const start = slotOffset(layout, ordinal);
    const end = start + layout.segmentBytes;
    const candidates =
      from === start && this.#isCandidate(start + SEGMENT_HEADER_BYTES) ? [start + SEGMENT_HEADER_BYTES] : [];
    for (let offset = from; offset + LOG_RECORD_HEADER_BYTES <= end; offset += layout.granularityBytes) {
      if (this.#isCandidate(offset)) candidates.push(offset);
    }
    if (candidates.length === 0) return;
    for (let generation = oldest; generation <= newest; generation += 1) {
      const seed = segmentSeed(storeId, ordinal, generation);
      for (const offset of candidates) {
        const probe = probeLogRecord(this.#bytes, offset, end, seed);
        if (probe !== undefined && Number.isSafeInteger(probe.durableSequence)) this.#prove(probe.durableSequence);
      }
    }
  }

  /** Cheap tests for a record beyond the end, before checksums are tried: recycled slots are full of older ones. */
  #isCandidate(offset: number): boolean {
    const sequence = readUint64(this.#bytes, offset + 8);
    return hasRecordFlags(this.#bytes, offset) && Number.isSafeInteger(sequence) && sequence > this.#lastSequence;
  }

  /** Makes durable what was read from the last segment and may not be. Same bytes in the same place: tearing is harmless. */
  async persistTail(): Promise<void> {
    const last = this.#spans.at(-1);
    const isProven = this.#provenSequence >= this.#lastSequence;
    const { granularityBytes } = this.#options.layout;
    for (const { ordinal, offset, endOffset } of this.#spans) {
      if (!this.#mended.has(ordinal) && (isProven || ordinal !== last?.ordinal)) continue;
      await this.#options.region.persist(offset, alignUp(endOffset, granularityBytes) - offset);
    }
  }

  result(): RecoveredLog {
    // A segment without a single record has nothing to settle: its ordinal is passed over.
    return { spans: this.#spans, nextOrdinal: this.#ordinal, lastSequence: this.#lastSequence };
  }
}

function disagreeing(ordinal: number): DaosError {
  return new DaosError(
    "CORRUPT",
    `Cannot recover "log": segment ${ordinal} repeats records of the one before. Restore the target from its redundancy or a backup.`,
  );
}

function lost(from: number, to: number): DaosError {
  return new DaosError(
    "CORRUPT",
    `Cannot recover "log": records ${from} to ${to} were durable and are damaged or gone. ` +
      "Restore the target from its redundancy or a backup.",
  );
}
