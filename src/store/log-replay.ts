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

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#source = { bytes: options.bytes, durableSequence: Number.MAX_SAFE_INTEGER };
  }

  /** What was decided and not closed, with the sequence of the last record that says so. */
  decisions(): (readonly [RecordDecision, number])[] {
    return [...this.#decisions.values()];
  }

  /** Throws CORRUPT for records that cannot follow what was added. */
  add(record: LogRecord): void {
    if (record.prepared) this.#addPrepared(record);
    else {
      for (const write of record.writes) this.#put(write, record.sequence);
      if (record.origin !== undefined) this.#remember(record, 0);
    }
    for (const { container, epochs } of record.snapshots) this.#options.snapshots.restore(container, epochs);
    for (const decision of record.decisions) this.#decide(decision, record.sequence);
  }

  #put(write: LoggedWrite, sequence: number): void {
    const { key, epoch, kind, metaOffset, metaLength, inlineLength, extent } = write;
    if (extent !== undefined) this.#take(extent.offset, extent.length);
    const source = this.#source;
    const version = new LoggedVersion(source, sequence, epoch, kind, metaOffset, metaLength, inlineLength, extent);
    this.#options.generations.put(key, version, writeBytes(write));
  }

  #addPrepared(record: LogRecord): void {
    const { prepared } = this.#options;
    const { client, sequence: number, firstIncomplete } = record.origin!;
    const id = { client, sequence: number };
    const known = prepared.find(id);
    if (known !== undefined) {
      if (!record.moved) throw corrupt(`record ${record.sequence} repeats one of the same id`);
      prepared.copied(known, record.sequence, placed(known, record.writes));
      return;
    }
    for (const { extent } of record.writes) if (extent !== undefined) this.#take(extent.offset, extent.length);
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
    const { prepared, allocator, requests } = this.#options;
    const { client } = decision;
    const id = { client, sequence: decision.sequence };
    const record = prepared.find(id);
    if (record !== undefined && decision.kind === RecordDecisionKind.commit) prepared.commit(record);
    if (record !== undefined && decision.kind === RecordDecisionKind.abort) {
      const ranges = record.extentRanges();
      prepared.abort(record);
      requests.remove(id);
      for (let index = 0; index < ranges.length; index += 2) {
        allocator.free(ranges[index]! / BLOCK_BYTES, Math.ceil(ranges[index + 1]! / BLOCK_BYTES));
      }
    }
    this.#decisions.delete(id);
    if (!decision.closed) this.#decisions.add(id, [decision, sequence]);
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
