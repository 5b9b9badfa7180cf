/**
 * Reads the records of one log segment in order. The one reader of the log: recovery and settling share it.
 *
 * A segment ends at the first place where the next expected record is neither directly after the last one nor at the next
 * multiple of the granularity. Whether records are missing there is for the caller to find out (log-recovery.ts).
 */
import { decodeLogRecord, isSequenceAt, type LogRecord } from "../format/log-record.ts";
import { SEGMENT_HEADER_BYTES } from "../format/segment-header.ts";
import { alignUp } from "./log-layout.ts";

export class SegmentReader {
  /** Where the last record ended, bytes from the start of `bytes`. */
  position: number;
  nextSequence: number;
  readonly #bytes: Buffer;
  readonly #end: number;
  readonly #granularityBytes: number;
  readonly #seed: number;

  /** Reads the segment in bytes[start, end); `start` is a multiple of the granularity. */
  constructor(
    bytes: Buffer,
    start: number,
    end: number,
    granularityBytes: number,
    seed: number,
    firstSequence: number,
  ) {
    this.#bytes = bytes;
    this.#end = end;
    this.#granularityBytes = granularityBytes;
    this.#seed = seed;
    this.position = start + SEGMENT_HEADER_BYTES;
    this.nextSequence = firstSequence;
  }

  /** The next record, or undefined at the end. Throws CORRUPT for one whose checksum holds and whose content cannot be. */
  next(): LogRecord | undefined {
    const record = this.#expected(this.position);
    if (record !== undefined) return record;
    const aligned = alignUp(this.position, this.#granularityBytes);
    return aligned === this.position ? undefined : this.#expected(aligned);
  }

  #expected(position: number): LogRecord | undefined {
    if (!isSequenceAt(this.#bytes, position, this.#end, this.nextSequence)) return undefined;
    const record = decodeLogRecord(this.#bytes, position, this.#end, this.#seed);
    if (record === undefined) return undefined;
    this.position = position + record.lengthBytes;
    this.nextSequence += 1;
    return record;
  }
}
