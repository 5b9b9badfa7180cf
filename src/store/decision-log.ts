/**
 * What was decided about prepared records: remembered until its owner forgets it, and logged, many decisions a record. A
 * decision whose record is settled while it is remembered gets a row in the index in the same transaction.
 *
 * Guarantees: of each decision an entry is in the log or a row in the index until it is forgotten, unless a crash came
 * before the first entry was durable: then its record is undecided again.
 */
import type { DtxId } from "../base/dtx-id.ts";
import { hasCode } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import { type RecordDecision, RecordDecisionKind } from "../format/log-record-transaction.ts";
import { DtxMap } from "./dtx-map.ts";
import type { Log } from "./log.ts";

/** So many decisions make a record at once, and none has more. */
export const DECISION_BATCH = 512;
/** Fewer wait so long for others. */
export const DECISION_LOG_MS = 10;

const NONE: readonly never[] = [];

interface Decided {
  readonly id: DtxId;
  readonly kind: 1 | 2;
  closed: boolean;
  /** Sequence of its first entry in the log, 0 for none. */
  entry: number;
  hasRow: boolean;
  isPending: boolean;
  /** Called when the first entry is durable. */
  durable: (() => void) | undefined;
}

/** Rows of decisions that one settle writes and removes. */
export interface DecisionRows {
  /** Client, sequence, kind, client, ... */
  readonly added: Float64Array;
  /** Client, sequence, client, ... */
  readonly closed: Float64Array;
  /** To be called when it is done, or when nothing was. */
  settled(): void;
  failed(): void;
}

export class DecisionLog {
  readonly #timers: Timers;
  readonly #log: Log;
  readonly #decided = new DtxMap<Decided>();
  #pending: Decided[] = [];
  #timer: (() => void) | undefined;
  /** Of the last record with decisions. */
  #lastEntry = 0;
  /** Of forgotten decisions that may have rows in the index. */
  readonly #closedRows: Decided[] = [];

  constructor(timers: Timers, log: Log) {
    this.#timers = timers;
    this.#log = log;
  }

  /** Decisions that are remembered. */
  get size(): number {
    return this.#decided.size;
  }

  /** True when something is to be logged. */
  get isPending(): boolean {
    return this.#pending.length > 0;
  }

  kindOf(id: DtxId): 1 | 2 | undefined {
    return this.#decided.get(id)?.kind;
  }

  ids(): DtxId[] {
    return [...this.#decided.values()].map(({ id }) => id);
  }

  /** A decision that was not there. `durable` is called when it is. */
  add({ client, sequence }: DtxId, kind: 1 | 2, durable?: () => void): void {
    // Copied by name: the caller's may be more than an id, with these two as getters.
    const id = { client, sequence };
    const decided: Decided = { id, kind, closed: false, entry: 0, hasRow: false, isPending: false, durable };
    this.#decided.add(id, decided);
    this.#enqueue(decided);
  }

  /** A decision found in the index. */
  restoreRow({ client, sequence }: DtxId, kind: 1 | 2): void {
    this.#restore({ client, sequence }, kind, Number.POSITIVE_INFINITY, true);
  }

  /** The last decision on an id in the log, after the rows. */
  restore(decision: RecordDecision, sequence: number): void {
    const { client, kind, closed } = decision;
    const id = { client, sequence: decision.sequence };
    const known = this.#decided.get(id);
    if (known !== undefined && known.kind === kind && !closed) return;
    // A row of the other kind is about an earlier record of the same id, which was aborted and forgotten.
    if (known !== undefined) this.#drop(known);
    if (!closed) this.#restore(id, kind, sequence, false);
  }

  #restore(id: DtxId, kind: 1 | 2, entry: number, hasRow: boolean): void {
    this.#decided.add(id, { id, kind, closed: false, entry, hasRow, isPending: false, durable: undefined });
  }

  /** Remembers it no longer. */
  close(id: DtxId): void {
    const decided = this.#decided.get(id);
    if (decided === undefined) return;
    this.#drop(decided);
    this.#enqueue(decided);
    // What was undone may be appended again under the same id: this entry must come before that in the log.
    if (decided.kind === RecordDecisionKind.abort) this.flush();
  }

  #drop(decided: Decided): void {
    decided.closed = true;
    this.#decided.delete(decided.id);
    if (decided.hasRow) this.#closedRows.push(decided);
  }

  /** What the index has to be told when everything up to `sequence` is settled. */
  rows(sequence: number): DecisionRows {
    // An entry behind it is worth something when it is durable.
    const { durableSequence } = this.#log;
    const isKept = (entry: number): boolean => entry > sequence && entry <= durableSequence;
    const added = [...this.#decided.values()].filter(({ hasRow, entry }) => !hasRow && !isKept(entry));
    // From now on: they may be forgotten while it is written.
    for (const decided of added) decided.hasRow = true;
    const closed = this.#closedRows.slice();
    return {
      added: new Float64Array(added.flatMap(({ id, kind }) => [id.client, id.sequence, kind])),
      closed: new Float64Array(closed.flatMap(({ id }) => [id.client, id.sequence])),
      settled: () => void this.#closedRows.splice(0, closed.length),
      failed: () => {
        for (const decided of added) decided.hasRow = decided.closed;
      },
    };
  }

  #enqueue(decided: Decided): void {
    if (decided.isPending) return;
    decided.isPending = true;
    this.#pending.push(decided);
    if (this.#pending.length >= DECISION_BATCH) this.flush();
    else this.#arm();
  }

  #arm(): void {
    this.#timer ??= this.#timers.after(DECISION_LOG_MS, () => {
      this.#timer = undefined;
      this.flush();
    });
  }

  /**
   * Logs what is pending. Returns the sequence of the last record with decisions. Where the log has no room they stay
   * pending, and are tried again after a moment.
   */
  flush(): number {
    while (this.#pending.length > 0 && this.#log.failure === undefined) {
      const batch = this.#pending.slice(0, DECISION_BATCH);
      try {
        this.#append(batch);
      } catch (error) {
        if (!hasCode(error, "NO_SPACE")) throw error;
        this.#arm();
        break;
      }
      this.#pending = this.#pending.slice(batch.length);
    }
    return this.#lastEntry;
  }

  #append(batch: readonly Decided[]): void {
    const decisions = batch.map(({ id: { client, sequence }, kind, closed }) => ({ client, sequence, kind, closed }));
    const sequence = this.#log.append(NONE, NONE, NONE, { decisions });
    this.#lastEntry = sequence;
    const durable: (() => void)[] = [];
    for (const decided of batch) {
      decided.isPending = false;
      if (decided.entry === 0) decided.entry = sequence;
      if (decided.durable !== undefined) durable.push(decided.durable);
      decided.durable = undefined;
    }
    if (durable.length === 0) return;
    this.#log.whenDurable(sequence, (error) => {
      if (error === undefined) for (const callback of durable) callback();
    });
  }

  stop(): void {
    this.#timer?.();
    this.#timer = undefined;
  }
}

export function decisionKind(decision: "commit" | "abort"): 1 | 2 {
  return RecordDecisionKind[decision];
}
