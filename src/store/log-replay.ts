/**
 * Brings the records that recovery reads back into memory: memtables, snapshot lists, taken blocks, and what is undecided.
 * They are durable, whatever sequence they have.
 */
import { DaosError } from "../base/errors.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import type { LoggedWrite, LogRecord } from "../format/log-record.ts";
import { type RecordDecision, RecordDecisionKind } from "../format/log-record-transaction.ts";
import { DtxMap } from "./dtx-map.ts";
import type { ExtentAllocator } from "./extent-allocator.ts";
import type { Generations } from "./generations.ts";
import { LoggedVersion } from "./logged-version.ts";
import { type PlacedWrite, PreparedRecord, writeBytes } from "./prepared-record.ts";
import type { PreparedTable } from "./prepared-table.ts";
import { recordEpoch } from "./record-check.ts";
import type { RequestTable } from "./request-table.ts";
import { undecidedSequence } from "./stability.ts";
import type { SnapshotRegistry } from "./snapshot-lists.ts";

export interface ReplayOptions {
  /** The region. */
  readonly bytes: Buffer;
  readonly generations: Generations;
  readonly snapshots: SnapshotRegistry;
  readonly allocator: ExtentAllocator;
  readonly prepared: PreparedTable;
  readonly requests: RequestTable;
}

export class Replay {
  readonly #source: { bytes: Buffer; durableSequence: number };
  readonly #options: ReplayOptions;
  readonly #decisions = new DtxMap<readonly [RecordDecision, number]>();

  /** Moved records that wait for the last one of them. */
  readonly #moving: LogRecord[] = [];
  /** Of the segment before the one that is read. */
  #endedOrdinal = -1;
  /** Nothing but moved records was read of that so far. */
  #isMovedOnly = true;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#source = { bytes: options.bytes, durableSequence: Number.MAX_SAFE_INTEGER };
  }

  /** Called behind the last record. The last decision on each id, also closed ones, with the sequence of its record. */
  decisions(): (readonly [RecordDecision, number])[] {
    this.#dropMoving();
    for (const record of this.#options.prepared.undecided()) this.#takeExtents(record);
    return [...this.#decisions.values()];
  }

  /** Behind the last record of a segment. */
  segmentEnded(ordinal: number): void {
    this.#options.generations.segmentEnded(ordinal);
    this.#endedOrdinal = ordinal;
    this.#isMovedOnly = true;
  }

  /** Throws CORRUPT for records that cannot follow what was added. */
  add(record: LogRecord): void {
    // A generation ends before the records that were moved out of its way, so that it can be settled as it is.
    if (!record.moved) this.#isMovedOnly = false;
    else if (this.#isMovedOnly && this.#endedOrdinal >= 0) {
      this.#options.generations.freezeBefore(this.#endedOrdinal);
      this.#isMovedOnly = false;
    }
    if (!record.moved) this.#dropMoving();
    if (record.moved) this.#addMoved(record);
    else if (record.prepared) this.#addPrepared(record);
    else {
      for (const write of record.writes) this.#put(write, record.sequence);
      this.#options.generations.addPunches(record.reclaims);
      if (record.origin !== undefined) this.#remember(record, 0);
    }
    for (const { container, epochs } of record.snapshots) this.#options.snapshots.restore(container, epochs);
    for (const decision of record.decisions) this.#decide(decision, record.sequence);
  }

  #put(write: LoggedWrite, sequence: number): void {
    const { key, epoch, kind, metaOffset, metaLength, inlineLength, checksum, extent } = write;
    if (extent !== undefined) this.#take(extent.offset, extent.length);
    const source = this.#source;
    const version = new LoggedVersion(
      source,
      sequence,
      epoch,
      kind,
      metaOffset,
      metaLength,
      inlineLength,
      checksum,
      extent,
    );
    this.#options.generations.put(key, version, writeBytes(write));
  }

  #addMoved(record: LogRecord): void {
    this.#moving.push(record);
    if (!record.lastMoved) return;
    const { prepared } = this.#options;
    const batch = this.#moving.splice(0);
    // Of an earlier batch some may be found that the first records of are gone: only this one's order counts.
    for (const { origin } of batch.toReversed()) {
      const known = prepared.find(origin!);
      if (known !== undefined) prepared.uncarry(known);
    }
    for (const moved of batch) this.#addPrepared(moved);
  }

  /** The last of them is not there: a crash or a full log cut them off, and those before are where they were. */
  #dropMoving(): void {
    for (const { sequence } of this.#moving.splice(0)) this.#options.prepared.skip(sequence);
  }

  #addPrepared(record: LogRecord): void {
    const { prepared } = this.#options;
    const { client, sequence: number, firstIncomplete } = record.origin!;
    const id = { client, sequence: number };
    const known = prepared.find(id);
    if (known !== undefined) {
      if (!record.moved) throw corrupt(`record ${record.sequence} repeats one of the same id`);
      if (record.writes.length !== known.writes.length) throw corrupt(`record ${record.sequence} is no copy`);
      prepared.copied(
        known,
        record.sequence,
        record.writes.map(({ metaOffset }) => metaOffset),
      );
      return;
    }
    const { sequence, lengthBytes, reclaims } = record;
    const found = new PreparedRecord({ id, firstIncomplete, reclaims, sequence, lengthBytes, log: this.#source });
    if (record.moved) prepared.addMoved(found, placed(found, record.writes));
    else prepared.add(found, placed(found, record.writes));
    this.#remember(record, undecidedSequence(sequence));
  }

  #remember({ origin, writes, reclaims }: LogRecord, sequence: number): void {
    this.#options.requests.add(origin!, origin!.firstIncomplete, recordEpoch(writes, reclaims), sequence);
  }

  #decide(decision: RecordDecision, sequence: number): void {
    const { prepared, requests } = this.#options;
    const { client } = decision;
    const id = { client, sequence: decision.sequence };
    const record = prepared.find(id);
    if (record !== undefined && decision.kind === RecordDecisionKind.commit) {
      this.#takeExtents(record);
      prepared.commit(record);
    }
    if (record !== undefined && decision.kind === RecordDecisionKind.abort) {
      prepared.abort(record);
      requests.remove(id);
    }
    this.#decisions.delete(id);
    this.#decisions.add(id, [decision, sequence]);
  }

  /** Of a record that was not aborted: the blocks of one that was may have got an older version since. */
  #takeExtents(record: PreparedRecord): void {
    const ranges = record.extentRanges();
    for (let index = 0; index < ranges.length; index += 2) this.#take(ranges[index]!, ranges[index + 1]!);
  }

  #take(offset: number, length: number): void {
    if (this.#options.allocator.take(offset / BLOCK_BYTES, Math.ceil(length / BLOCK_BYTES))) return;
    throw corrupt(`the extent at ${offset} is beyond the device or used by another version`);
  }
}

function placed(record: PreparedRecord, writes: readonly LoggedWrite[]): PlacedWrite[] {
  return writes.map((write) => ({
    key: write.key,
    version: record.version(write, write.metaOffset),
    bytes: writeBytes(write),
    replaced: undefined,
  }));
}

function corrupt(state: string): DaosError {
  return new DaosError("CORRUPT", `Cannot open "log": ${state}. Restore the target from its redundancy or a backup.`);
}
