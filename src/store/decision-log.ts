/**
 * What was decided about prepared records: remembered until its owner forgets it, and logged, many decisions a record. A
 * decision whose entry in the log is about to be recycled is logged again as long as it is remembered.
 *
 * Guarantees: of each decision some entry is in the log, durable or on its way, until it is forgotten or a crash came
 * before the first one.
 */
import type { DtxId } from "../base/dtx-id.ts";
import { hasCode } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import { LOG_DECISION_BYTES, type RecordDecision, RecordDecisionKind } from "../format/log-record-transaction.ts";
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
  /** Sequence of its newest entry in the log, 0 for none. */
  entry: number;
  isPending: boolean;
  /** Called when the first entry is durable. */
  durable: (() => void) | undefined;
}

export class DecisionLog {
  readonly #timers: Timers;
  readonly #log: Log;
  readonly #decided = new DtxMap<Decided>();
  #pending: Decided[] = [];
  #timer: (() => void) | undefined;
  /** Of the last record with decisions. */
  #lastEntry = 0;

  constructor(timers: Timers, log: Log) {
    this.#timers = timers;
    this.#log = log;
  }

  /** Decisions that are remembered. */
  get size(): number {
    return this.#decided.size;
  }

  /** The bytes that they take in the log. */
  get bytes(): number {
    return this.#decided.size * LOG_DECISION_BYTES;
  }

  kindOf(id: DtxId): 1 | 2 | undefined {
    return this.#decided.get(id)?.kind;
  }

  ids(): DtxId[] {
    return [...this.#decided.values()].map(({ id }) => id);
  }

  /** A decision that was not there. `durable` is called when it is. */
  add(id: DtxId, kind: 1 | 2, durable?: () => void): void {
    const decided: Decided = { id, kind, closed: false, entry: 0, isPending: false, durable };
    this.#decided.add(id, decided);
    this.#enqueue(decided);
  }

  /** A decision found in the log, in its order. */
  restore(decision: RecordDecision, sequence: number): void {
    const { client, kind, closed } = decision;
    const id = { client, sequence: decision.sequence };
    const known = this.#decided.get(id);
    if (closed) this.#decided.delete(id);
    else if (known !== undefined) known.entry = sequence;
    else this.#decided.add(id, { id, kind, closed, entry: sequence, isPending: false, durable: undefined });
  }

  /** Remembers it no longer. */
  close(id: DtxId): void {
    const decided = this.#decided.get(id);
    if (decided === undefined) return;
    decided.closed = true;
    this.#decided.delete(id);
    this.#enqueue(decided);
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

  /** Logs anew what is remembered and has its newest entry at or before `sequence`. False when there is no room. */
  carry(sequence: number): boolean {
    for (const decided of this.#decided.values()) {
      if (decided.entry > sequence || decided.isPending) continue;
      decided.isPending = true;
      this.#pending.push(decided);
    }
    this.flush();
    return this.#pending.length === 0;
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
    const decisions = batch.map(({ id, kind, closed }) => ({ ...id, kind, closed }));
    const sequence = this.#log.append(NONE, NONE, NONE, { decisions });
    this.#lastEntry = sequence;
    const durable: (() => void)[] = [];
    for (const decided of batch) {
      decided.isPending = false;
      decided.entry = sequence;
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
