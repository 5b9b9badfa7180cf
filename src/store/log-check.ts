/**
 * Checks the records of the log, as they lie in SCM, and turns back single bits that have flipped (flipped-bit.ts). What is
 * damaged otherwise cannot be mended: nobody else has a log like this one. It is found again when the segment is settled, and the
 * store takes no more writes then.
 */
import type { ByteString } from "../base/bytes.ts";
import { crc32Range } from "../base/checksum.ts";
import { flippedBit } from "../base/flipped-bit.ts";
import type { ScmRegion } from "../contracts/scm.ts";
import { decodeLogRecord, isSequenceAt, LOG_RECORD_HEADER_BYTES } from "../format/log-record.ts";
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  segmentSeed,
} from "../format/segment-header.ts";
import type { Log, SegmentSpan } from "./log.ts";
import { alignUp } from "./log-layout.ts";
import { SegmentReader } from "./segment-reader.ts";

const LENGTH_OFFSET = 4;

export interface LogCheckResult {
  readonly bytes: number;
  /** Places that were damaged and are as they were. */
  readonly mended: number;
  /** Records that are damaged, or lie behind one that is. */
  readonly damaged: number;
}

export class LogCheck {
  readonly #log: Log;
  readonly #region: ScmRegion;
  readonly #storeId: ByteString;

  constructor(log: Log, region: ScmRegion, storeId: ByteString) {
    this.#log = log;
    this.#region = region;
    this.#storeId = storeId;
  }

  /** Ordinals of the segments in use. */
  ordinals(): number[] {
    return this.#log.spans.map(({ ordinal }) => ordinal);
  }

  /** Checks what is durable of a segment, if it is still in use. Rejects as ScmRegion.persist. */
  async check(ordinal: number): Promise<LogCheckResult> {
    const span = this.#log.spans.find((candidate) => candidate.ordinal === ordinal);
    if (span === undefined || span.lastSequence > this.#log.durableSequence) return { bytes: 0, mended: 0, damaged: 0 };
    const { bytes } = this.#log;
    const seed = segmentSeed(this.#storeId, span.ordinal, span.generation);
    const places: number[] = this.#mendHeader(span) ? [span.offset] : [];
    const { granularityBytes, segmentBytes } = this.#log.layout;
    const end = span.offset + segmentBytes;
    const reader = new SegmentReader(bytes, span.offset, end, granularityBytes, seed, span.firstSequence);
    while (reader.nextSequence <= span.lastSequence) {
      if (reader.next() !== undefined) continue;
      const starts = new Set([reader.position, alignUp(reader.position, granularityBytes)]);
      const mended = [...starts].find((start) => mendRecord(bytes, start, end, seed, reader.nextSequence));
      if (mended === undefined) break;
      places.push(mended);
    }
    const damaged = span.lastSequence + 1 - reader.nextSequence;
    if (places.length > 0) await this.persist(span);
    return { bytes: span.endOffset - span.offset, mended: places.length, damaged };
  }

  /** Writes to the medium what is in memory of a segment. */
  async persist({ offset, endOffset }: SegmentSpan): Promise<void> {
    await this.#region.persist(offset, alignUp(endOffset, this.#log.layout.granularityBytes) - offset);
  }

  /** True when it was damaged: all that it says is known. */
  #mendHeader({ offset, ordinal, firstSequence, generation }: SegmentSpan): boolean {
    const { bytes } = this.#log;
    const before = Buffer.from(bytes.subarray(offset, offset + SEGMENT_HEADER_BYTES));
    const isWhole = decodeSegmentHeader(before, 0)?.ordinal === ordinal;
    if (!isWhole) encodeSegmentHeader(bytes, offset, { storeId: this.#storeId, ordinal, firstSequence, generation });
    return !isWhole;
  }
}

/** Turns back the one bit by which the record that is to be at `start` differs from what was written; false: it is another kind of damage. */
export function mendRecord(bytes: Buffer, start: number, end: number, seed: number, sequence: number): boolean {
  if (start + LOG_RECORD_HEADER_BYTES > end) return false;
  const length = bytes.readUInt32LE(start + LENGTH_OFFSET);
  const isRecord = (): boolean =>
    isSequenceAt(bytes, start, end, sequence) && decodeLogRecord(bytes, start, end, seed) !== undefined;
  if (isPossible(length, start, end)) {
    const message = start + LENGTH_OFFSET;
    const actual = crc32Range(bytes, message, start + length, seed);
    const flipped = flippedBit(bytes.readUInt32LE(start), actual, length - LENGTH_OFFSET);
    if (flipped?.in === "checksum" && tryChange(bytes, start, actual, isRecord)) return true;
    if (flipped?.in === "message" && tryFlip(bytes, message + flipped.at, flipped.mask, isRecord)) return true;
  }
  // Of a length that has flipped the checksum tells nothing before it is the right one.
  for (let bit = 0; bit < 32; bit += 1) {
    if (!isPossible((length ^ (1 << bit)) >>> 0, start, end)) continue;
    if (tryFlip(bytes, start + LENGTH_OFFSET + (bit >>> 3), 1 << (bit & 7), isRecord)) return true;
  }
  return false;
}

function isPossible(length: number, start: number, end: number): boolean {
  return length >= LOG_RECORD_HEADER_BYTES && start + length <= end;
}

function tryFlip(bytes: Buffer, at: number, mask: number, isRight: () => boolean): boolean {
  bytes[at]! ^= mask;
  if (isRight()) return true;
  bytes[at]! ^= mask;
  return false;
}

function tryChange(bytes: Buffer, at: number, checksum: number, isRight: () => boolean): boolean {
  const before = bytes.readUInt32LE(at);
  bytes.writeUInt32LE(checksum, at);
  if (isRight()) return true;
  bytes.writeUInt32LE(before, at);
  return false;
}
