/**
 * Decisions on their way to the members of groups. Commits are sent in batches, for nobody waits for them but readers, who
 * ask by themselves; aborts at once, before any update that follows. A decision that everybody has durably, ourselves
 * included, is closed: the members may forget it.
 *
 * A member hears of decisions in the order in which they were made, for what it keeps of a cell is the newest of those
 * that are decided. So a member that does not take what it is told ends the connection, and is told nothing more before it
 * was asked what it has, and has heard again what it missed.
 */
import type { DtxId } from "../base/dtx-id.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import { encodeDecisions } from "../format/dtx-messages.ts";
import { Opcode } from "../format/operations.ts";
import { DtxMap } from "../store/dtx-map.ts";
import type { Peer } from "./peer.ts";
import type { PreparedStore } from "./prepared-store.ts";

/** A batch goes out when it has so many decisions (DAOS: 512), or this long after its first one, milliseconds. */
const BATCH_DECISIONS = 256;
const BATCH_DELAY_MS = 5;
/** Pause before what failed is tried again, milliseconds. */
const AGAIN_MS = 100;

interface Decided extends DtxId {
  readonly isCommit: boolean;
  readonly members: number[];
  /** Members that do not have the decision durably, as far as we know. */
  readonly waiting: Set<number>;
  readonly closed: (() => void) | undefined;
  /** Others than the members may need it: it is not closed here. */
  readonly isPartial: boolean;
}

/** What is to be told to one member. */
interface Batch {
  commits: Decided[];
  aborts: Decided[];
  forgets: DtxId[];
  cancelTimer: (() => void) | undefined;
}

export interface OutboxOptions {
  readonly timers: Timers;
  readonly peer: (index: number) => Peer | undefined;
  readonly mapVersion: () => number;
  readonly store: Pick<PreparedStore, "forget" | "whenDecisionsDurable">;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #decided = new DtxMap<Decided>();
  readonly #batches = new Map<number, Batch>();
  /** Members that have missed something: they hear of nothing else before that is sent again (`resend`). */
  readonly #missed = new Set<number>();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Decisions that somebody does not have yet. */
  get size(): number {
    return this.#decided.size;
  }

  /** What was decided about a transaction that is not closed. */
  decisionOf(id: DtxId): "commit" | "abort" | undefined {
    const decided = this.#decided.get(id);
    if (decided === undefined) return undefined;
    return decided.isCommit ? "commit" : "abort";
  }

  /** Tells the members, of which we are none. `closed` hears when all have it durably. */
  add(id: DtxId, decision: "commit" | "abort", members: readonly number[], closed?: () => void): void {
    const { client, sequence } = id;
    const isCommit = decision === "commit";
    const waiting = new Set(members);
    const decided: Decided = {
      client,
      sequence,
      isCommit,
      members: [...members],
      waiting,
      closed,
      isPartial: false,
    };
    this.#decided.add(id, decided);
    if (members.length === 0) this.#close(decided);
    for (const member of members) {
      this.#post(member, decided);
      // What comes next must not be run on top of what was undone: it makes, say, no array where one seems to be.
      if (!isCommit) this.flush(member);
    }
  }

  /**
   * A member has undecided what was decided long ago: it hears of that with the next `resend`. Others may have it undecided
   * too and say so later, so a commit stays known when this one has it (closing.ts); of an abort nobody needs to know.
   */
  addMember(id: DtxId, decision: "commit" | "abort", member: number): void {
    const known = this.#decided.get(id);
    if (known === undefined) {
      const { client, sequence } = id;
      const isCommit = decision === "commit";
      const waiting = new Set([member]);
      const members = [member];
      this.#decided.add(id, { client, sequence, isCommit, members, waiting, closed: undefined, isPartial: isCommit });
      return;
    }
    if (!known.members.includes(member)) known.members.push(member);
    known.waiting.add(member);
  }

  /** Tells a member once more what it does not have: its connection was lost meanwhile. */
  resend(member: number): void {
    this.#missed.delete(member);
    const batch = this.#batches.get(member);
    batch?.cancelTimer?.();
    this.#batches.delete(member);
    for (const decided of this.#decided.values()) if (decided.waiting.has(member)) this.#post(member, decided);
    for (const id of batch?.forgets ?? []) this.#forget(member, id);
  }

  /** The target is no longer among the members. */
  removeMember(member: number): void {
    this.#missed.delete(member);
    this.#batches.get(member)?.cancelTimer?.();
    this.#batches.delete(member);
    for (const decided of this.#decided.values()) this.#has(decided, member);
  }

  stop(): void {
    for (const batch of this.#batches.values()) batch.cancelTimer?.();
  }

  /** Sends at once what waits for this member. */
  flush(member: number): void {
    const batch = this.#batches.get(member);
    if (batch === undefined) return;
    batch.cancelTimer?.();
    batch.cancelTimer = undefined;
    // What it may forget waits with what it has missed.
    if (this.#missed.has(member)) return;
    this.#batches.delete(member);
    void this.#send(member, batch);
  }

  flushAll(): void {
    for (const member of this.#batches.keys()) this.flush(member);
  }

  #post(member: number, decided: Decided): void {
    if (this.#missed.has(member)) return;
    const batch = this.#batch(member);
    (decided.isCommit ? batch.commits : batch.aborts).push(decided);
    this.#filled(member, batch);
  }

  #batch(member: number): Batch {
    let batch = this.#batches.get(member);
    if (batch === undefined) {
      batch = { commits: [], aborts: [], forgets: [], cancelTimer: undefined };
      this.#batches.set(member, batch);
    }
    return batch;
  }

  #filled(member: number, batch: Batch): void {
    if (batch.commits.length + batch.aborts.length + batch.forgets.length >= BATCH_DECISIONS) this.flush(member);
    else batch.cancelTimer ??= this.#options.timers.after(BATCH_DELAY_MS, () => this.flush(member));
  }

  async #send(member: number, batch: Batch): Promise<void> {
    const peer = this.#options.peer(member);
    if (peer === undefined) return;
    const { args, payload } = encodeDecisions(batch);
    try {
      await peer.call(Opcode.dtxDecide, args, payload, { mapVersion: this.#options.mapVersion() });
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      this.#missed.add(member);
      // What it does not have is sent again when it is ready anew.
      this.#options.timers.after(AGAIN_MS, () => this.#options.peer(member)?.resyncAgain());
      return;
    }
    for (const decided of batch.commits) this.#has(decided, member);
    for (const decided of batch.aborts) this.#has(decided, member);
  }

  #has(decided: Decided, member: number): void {
    if (decided.waiting.delete(member) && decided.waiting.size === 0) this.#close(decided);
  }

  #close(decided: Decided): void {
    const { store } = this.#options;
    store.whenDecisionsDurable((error) => {
      if (this.#decided.get(decided) !== decided || decided.waiting.size > 0) return;
      if (error !== undefined) {
        // The log has room again some time. A store that failed is asked again when it is opened again.
        if (hasCode(error, "NO_SPACE")) this.#options.timers.after(AGAIN_MS, () => this.#close(decided));
        return;
      }
      this.#decided.delete(decided);
      if (decided.isPartial) return;
      store.forget(decided);
      for (const member of decided.members) this.#forget(member, decided);
      // A client may send again what was undone: the members must have forgotten this before they hear of that.
      if (!decided.isCommit) for (const member of decided.members) this.flush(member);
      decided.closed?.();
    });
  }

  /** Tells a member that everybody knows what was decided. */
  #forget(member: number, { client, sequence }: DtxId): void {
    if (this.#options.peer(member) === undefined) return;
    const batch = this.#batch(member);
    batch.forgets.push({ client, sequence });
    this.#filled(member, batch);
  }
}
