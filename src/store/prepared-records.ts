/**
 * Prepared records of an open store: appending them, deciding on them, waiting for that, and moving those that nobody
 * decides on to the head of the log, so that the log can be recycled behind them. See CellStore for the rules.
 */
import type { ByteString } from "../base/bytes.ts";
import { type Decision, type DtxId, dtxIdText, isDtxId } from "../base/dtx-id.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { MAX_OPEN_RECORDS, OPEN_RECORDS_SHARE } from "../base/limits.ts";
import type { Timers } from "../contracts/world.ts";
import type { RecordSnapshots } from "../format/log-record.ts";
import type { AppendOptions, CellWrite, DtxState, ReclaimRange, Transactions, UndecidedRecord } from "./cell.ts";
import { DecisionLog, decisionKind } from "./decision-log.ts";
import type { Log } from "./log.ts";
import type { CarriedCell } from "./maintenance.ts";
import { PreparedRecord } from "./prepared-record.ts";
import type { PreparedTable } from "./prepared-table.ts";
import { recordEpoch } from "./record-check.ts";
import type { RequestTable } from "./request-table.ts";
import { undecidedMembers, undecidedSequence } from "./stability.ts";

const NO_SNAPSHOTS: readonly RecordSnapshots[] = [];

export interface PreparedRecordsOptions {
  readonly timers: Timers;
  readonly log: Log;
  readonly table: PreparedTable;
  /** Nothing refers to these blocks any more: offset, length, ... */
  readonly freed: (ranges: Float64Array) => void;
  readonly requests: RequestTable;
}

export class PreparedRecords implements Transactions {
  readonly decisions: DecisionLog;
  readonly #log: Log;
  readonly #table: PreparedTable;
  readonly #freed: (ranges: Float64Array) => void;
  readonly #requests: RequestTable;
  readonly #maxBytes: number;
  #listeners: ((keys: readonly ByteString[]) => void)[] = [];
  #persistListeners: (() => void)[] = [];

  constructor(options: PreparedRecordsOptions) {
    this.#log = options.log;
    this.#table = options.table;
    this.#freed = options.freed;
    this.#requests = options.requests;
    this.decisions = new DecisionLog(options.timers, options.log);
    const { segmentBytes, segmentCount } = options.log.layout;
    this.#maxBytes = segmentBytes * segmentCount * OPEN_RECORDS_SHARE;
  }

  /** Appends the record; see CellStore.append. Returns what rests on it. */
  append(writes: readonly CellWrite[], reclaims: readonly ReclaimRange[], options: AppendOptions): number {
    const { origin: id } = options;
    if (id === undefined || !isDtxId(id)) throw invalid("it has no id of positive integers");
    if (this.stateOf(id) !== undefined) throw invalid(`${dtxIdText(id)} was appended before`);
    this.#checkLimits();
    const firstIncomplete = options.firstIncomplete ?? 0;
    const log = this.#log;
    const { client, sequence: number } = id;
    const transaction = { origin: { client, sequence: number, firstIncomplete }, prepared: true };
    const sequence = log.append(writes, reclaims, NO_SNAPSHOTS, transaction);
    const lengthBytes = log.recordBytes;
    const record = new PreparedRecord({ id, firstIncomplete, reclaims, sequence, lengthBytes, log });
    this.#table.add(record, record.versionsAt(log.recordOffset, writes));
    const stability = undecidedSequence(sequence);
    this.#requests.add(id, firstIncomplete, recordEpoch(writes, reclaims), stability);
    return stability;
  }

  #checkLimits(): void {
    const { size, bytes } = this.#table;
    const count = size + this.decisions.size;
    if (count < MAX_OPEN_RECORDS && bytes < this.#maxBytes) return;
    throw new DaosError(
      "OVERLOADED",
      `Cannot prepare a record: ${count} are open, undecided ones with ${bytes} bytes. Try again when some are decided and closed.`,
    );
  }

  /** See CellStore.whenStable; `stability` names prepared records. */
  whenStable(stability: number, callback: (error?: Error) => void): void {
    const members = undecidedMembers(stability);
    if (members === undefined || members.some((sequence) => this.#table.wasAborted(sequence))) {
      callback(undone());
      return;
    }
    let waiting = 1;
    const done = (error?: Error): void => {
      waiting = error === undefined ? waiting - 1 : Number.NaN;
      if (error !== undefined || waiting === 0) callback(error);
    };
    // Once an error was told, `waiting` is no number and reaches nothing.
    const once = (error?: Error): void => {
      if (!Number.isNaN(waiting)) done(error);
    };
    for (const sequence of members) {
      const record = this.#table.bySequence(sequence);
      if (record === undefined) continue;
      waiting += 1;
      record.waiters.push(once);
    }
    this.#log.whenDurable(this.#log.lastSequence, once);
  }

  /** See CellStore.pending; `stability` names prepared records. */
  pending(stability: number): number {
    const { durableSequence } = this.#log;
    const isStable = undecidedMembers(stability)?.every((sequence) => {
      return sequence <= durableSequence && !this.#table.wasAborted(sequence) && !this.#table.bySequence(sequence);
    });
    return isStable === true ? 0 : stability;
  }

  /** See Transactions.decide. */
  decide(id: DtxId, decision: Decision): boolean {
    const kind = decisionKind(decision);
    const known = this.decisions.kindOf(id);
    if (known !== undefined && known !== kind) {
      throw new DaosError(
        "CONFLICT",
        `Cannot ${decision} "${dtxIdText(id)}": it was decided the other way. Ask for its state.`,
      );
    }
    const record = this.#table.find(id);
    if (record === undefined) return known !== undefined;
    if (decision === "commit") {
      this.#table.commit(record);
      this.decisions.add(id, kind);
      record.settle();
    } else {
      this.#abort(record);
    }
    return true;
  }

  #abort(record: PreparedRecord): void {
    const { keys } = record;
    const ranges = record.extentRanges();
    this.#table.abort(record);
    this.decisions.add(record.id, decisionKind("abort"), ranges.length === 0 ? undefined : () => this.#freed(ranges));
    this.#requests.remove(record.id);
    for (const listener of this.#listeners) listener(keys);
    record.settle(undone());
  }

  logDecisions(): number {
    const sequence = this.decisions.flush();
    if (!this.decisions.isPending) return sequence;
    throw this.#log.failure ?? noRoom();
  }

  decided(): DtxId[] {
    return this.decisions.ids();
  }

  stateOf(id: DtxId): DtxState | undefined {
    if (this.#table.find(id) !== undefined) return "prepared";
    const kind = this.decisions.kindOf(id);
    return kind === undefined ? undefined : kind === decisionKind("commit") ? "committed" : "aborted";
  }

  forget(id: DtxId): void {
    if (this.#table.find(id) !== undefined) throw invalid(`${dtxIdText(id)} is undecided`);
    this.decisions.close(id);
  }

  undecided(): UndecidedRecord[] {
    return [...this.#table.undecided()].map(described);
  }

  undecidedRecord(id: DtxId): UndecidedRecord | undefined {
    const record = this.#table.find(id);
    return record === undefined ? undefined : described(record);
  }

  onAborted(listener: (keys: readonly ByteString[]) => void): void {
    this.#listeners.push(listener);
  }

  onPersist(listener: () => void): void {
    this.#persistListeners.push(listener);
  }

  /** What was appended is about to be persisted. */
  persisting(): void {
    for (const listener of this.#persistListeners) listener();
  }

  /** Segments that must stay free so that everything undecided can be moved. */
  get reservedSegments(): number {
    const { bytes } = this.#table;
    if (bytes === 0) return 0;
    // A segment's end stays empty when the next record does not fit: at worst half of each.
    return Math.ceil(bytes / (this.#log.layout.segmentBytes / 2));
  }

  /** True when something at or before `sequence` is undecided. */
  holds(sequence: number): boolean {
    return this.#table.size > 0 && this.#table.holds(sequence);
  }

  /** See SettleRequest. */
  skipped(upTo: number): Float64Array {
    return this.#table.skipped(upTo);
  }

  /** See MaintenanceRequest. */
  carriedCells(): CarriedCell[] {
    return this.#table.carriedCells();
  }

  /** Appends again what is undecided at or before `sequence`. False when the log has no room: nothing is moved then. */
  move(sequence: number): boolean {
    const records = this.#table.toMove(sequence);
    const copies: { sequence: number; metaOffsets: number[] }[] = [];
    for (const record of records) {
      const origin = { ...record.id, firstIncomplete: record.firstIncomplete };
      const lastMoved = copies.length === records.length - 1;
      const transaction = { origin, prepared: true, moved: true, lastMoved };
      try {
        const copy = this.#log.append(record.cellWrites(), record.reclaims, NO_SNAPSHOTS, transaction);
        copies.push({ sequence: copy, metaOffsets: record.metaOffsetsAt(this.#log.recordOffset) });
      } catch (error) {
        if (!hasCode(error, "NO_SPACE")) throw error;
        // Without the last one the others do not count.
        for (const copy of copies) this.#table.skip(copy.sequence);
        return false;
      }
    }
    copies.forEach((copy, place) => this.#table.copied(records[place]!, copy.sequence, copy.metaOffsets));
    return true;
  }

  /** Logs nothing any more. */
  stop(error: Error): void {
    this.decisions.stop();
    this.fail(error);
  }

  /** Whoever waits for a decision gets `error`. */
  fail(error: Error): void {
    for (const record of this.#table.undecided()) record.settle(error);
  }
}

function described(record: PreparedRecord): UndecidedRecord {
  const { id, epoch, keys, sequence } = record;
  return { id, epoch, sequence: undecidedSequence(sequence), keys };
}

function undone(): DaosError {
  return new DaosError(
    "CONFLICT",
    "Cannot keep the result: it rests on an update that was aborted. Run the operation again.",
  );
}

function noRoom(): DaosError {
  return new DaosError("NO_SPACE", "Cannot log decisions: the log is full. Try again when it settled.");
}

function invalid(why: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot use a prepared record: ${why}. Check the request's id.`);
}
