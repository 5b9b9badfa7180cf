/**
 * The leader's part of two-phase commit, for all groups of one pool that this target leads (DAOS: src/dtx, docs/overview/
 * transaction.md). Each update is appended here and queued for the other members in the same turn, so all have the updates of
 * a dkey in one order; what is queued leaves when the log is about to be persisted here. When all have an update durably it
 * is committed: nobody is asked any more, and the members hear of it later. What a member refuses is aborted, with
 * everything of the dkey that was ordered after it.
 *
 * Nothing acknowledged depends on what is only in memory: a committed update lies prepared in every member's log, and
 * whoever leads later finds it there (inherited).
 */
import type { Decision, DtxId } from "../base/dtx-id.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import { DtxState, type OpenDtx } from "../format/dtx-messages.ts";
import { Opcode } from "../format/operations.ts";
import { NO_TARGET } from "../placement/layout.ts";
import type { RpcCompletion } from "../rpc/pending-call.ts";
import { DtxMap } from "../store/dtx-map.ts";
import type { Groups, RedundancyGroup } from "./group.ts";
import { DkeyLocks } from "./dkey-locks.ts";
import { unitOf } from "./dkey-unit.ts";
import { InheritedUpdates } from "./inherited-updates.ts";
import { ANSWERS_NOTHING, notLeader, notServed, undone } from "./leader-errors.ts";
import { LedUpdate, type UpdateRequest } from "./led-update.ts";
import { Outbox } from "./outbox.ts";
import type { Peer } from "./peer.ts";
import { dtxStateOf, type PreparedStore } from "./prepared-store.ts";

/** Time for a member to prepare an update before the connection to it is looked at anew, milliseconds. */
const PREPARE_TIMEOUT_MS = 30_000;

/** What a member knows. */
export interface ResyncAnswer {
  readonly states: readonly DtxState[];
  readonly open: readonly OpenDtx[];
  /** Containers of which it has been brought all that this target leads, under the present map. */
  readonly complete: readonly number[];
}

export interface GroupLeaderOptions {
  readonly self: number;
  readonly store: PreparedStore;
  readonly timers: Timers;
  readonly peer: (index: number) => Peer | undefined;
  /** See MapAgreement. */
  readonly missing: () => ReadonlySet<number>;
  /** Hears of each update that was appended here and is to be decided. */
  readonly noteUpdate: (update: LedUpdate) => void;
}

export class GroupLeader {
  /** Of erasure-coded dkeys. */
  readonly locks = new DkeyLocks();
  readonly #options: GroupLeaderOptions;
  readonly #open = new DtxMap<LedUpdate>();
  /** Appended and undecided, in order of their epochs, by dkey. */
  readonly #byDkey = new Map<string, LedUpdate[]>();
  readonly #inherited: InheritedUpdates;
  readonly #outbox: Outbox;
  #groups: Groups;

  constructor(options: GroupLeaderOptions, groups: Groups) {
    this.#options = options;
    this.#groups = groups;
    this.#outbox = new Outbox({
      timers: options.timers,
      peer: options.peer,
      mapVersion: () => this.#groups.mapVersion,
      store: options.store,
    });
    this.#inherited = new InheritedUpdates({
      missing: options.missing,
      others: (members) => this.#others(members),
      decided: (id, decision, members) => {
        options.store.decide(id, decision);
        this.#outbox.add(id, decision, members);
      },
    });
    this.inherit();
  }

  /** Updates under way and decisions that somebody does not know. */
  get openCount(): number {
    return this.#open.size + this.#inherited.size + this.#outbox.size;
  }

  /**
   * Takes an update into order. Run it with the result as its WriteOrder; when that has appended, wait for `whenDecided`.
   * Throws STALE when another target leads the group, UNAVAILABLE while a member cannot take part.
   */
  begin(request: UpdateRequest, group: RedundancyGroup): LedUpdate {
    const { self, peer } = this.#options;
    if (group.leader !== self) throw notLeader(group.leader);
    for (const member of group.members) {
      if (member === self || peer(member)?.isReady === true) continue;
      const state = `target ${member} of its group cannot be reached`;
      throw new DaosError("UNAVAILABLE", `Cannot update the object: ${state}. Retry until it is back or excluded.`);
    }
    for (const other of this.#options.missing()) {
      const state = `target ${other} of the pool may not know the present pool map`;
      throw new DaosError("UNAVAILABLE", `Cannot update the object: ${state}. Retry until it does or is excluded.`);
    }
    if (this.#inherited.size > 0 && this.#inherited.hasDkey(unitOf(request))) {
      const state = "an earlier update of it is still being settled";
      throw new DaosError("UNAVAILABLE", `Cannot update the object: ${state}. Retry.`);
    }
    this.#forgetAttempt(request.object);
    const groups = this.#groups;
    return new LedUpdate(request, group, self, (update, sequence) => {
      // With a large payload it takes a while until it is appended.
      if (groups === this.#groups) this.#appended(update, sequence);
      else this.#appendedLate(update, sequence);
    });
  }

  /** The client sends again what was undone. Throws UNAVAILABLE while a member may still have that prepared. */
  #forgetAttempt({ client, sequence }: DtxId): void {
    const { store } = this.#options;
    const id = { client, sequence };
    if (this.#outbox.decisionOf(id) !== undefined || store.stateOf(id) === "prepared") {
      throw new DaosError("UNAVAILABLE", "Cannot update the object: an earlier attempt is being settled. Retry.");
    }
    if (store.stateOf(id) === "aborted") store.forget(id);
  }

  /** Whether this target is telling the others of its decision. */
  tells(id: DtxId): boolean {
    return this.#outbox.decisionOf(id) !== undefined;
  }

  /** The update of this id that is under way. */
  openUpdate(id: DtxId): LedUpdate | undefined {
    return this.#open.get(id);
  }

  #groupOf({ object }: LedUpdate): RedundancyGroup {
    return this.#groups.groupOf(object.oid, object.dkey);
  }

  #forgetGone(waiting: Set<number>): void {
    for (const member of waiting) if (this.#options.peer(member) === undefined) waiting.delete(member);
  }

  /** The map has changed since the update was taken into order. */
  #appendedLate(update: LedUpdate, sequence: number): void {
    const { self } = this.#options;
    const group = this.#groupOf(update);
    if (group.leader !== self) {
      update.decided(notLeader(group.leader));
      return;
    }
    const isPartial = group.members.length > group.readable.length || this.#options.missing().size > 0;
    if (update.isOtherShard(group, self) || (update.isPrepared && isPartial)) {
      // It has done another shard's share, would come to a member that is not filled yet, or be kept from one that still serves.
      update.decided(notLeader(NO_TARGET));
      if (this.inherit()) for (const member of this.#others(group.members)) this.#options.peer(member)?.resyncAgain();
      return;
    }
    // What was appended for good, for nobody else was to have it, is filled into targets that have come since.
    if (update.isPrepared) update.regroup(group, self);
    this.#appended(update, sequence);
  }

  #appended(update: LedUpdate, sequence: number): void {
    if (!update.isPrepared) {
      update.isDurableHere = true;
      this.#options.store.whenDurable(sequence, (error) => update.decided(error as DaosError | undefined));
      return;
    }
    this.#open.add(update, update);
    const before = this.#byDkey.get(update.unit);
    if (before === undefined) this.#byDkey.set(update.unit, [update]);
    else before.push(update);
    this.#options.noteUpdate(update);
    for (const member of update.waiting) this.#prepare(update, member);
    this.#options.store.whenDurable(sequence, (error) => {
      if (error !== undefined) this.#refused(update, error as DaosError);
      else {
        update.isDurableHere = true;
        this.#decideIfAll(update);
      }
    });
  }

  #prepare(update: LedUpdate, member: number): void {
    const completion: RpcCompletion = {
      answered: () => {
        update.sent();
        update.waiting.delete(member);
        this.#decideIfAll(update);
      },
      failed: (error) => {
        update.sent();
        // Whether it has it is found out when the two talk again, or when the map says that it is gone.
        if (ANSWERS_NOTHING.has(error.code)) this.#options.peer(member)?.resyncAgain();
        else this.#refused(update, error);
      },
    };
    const options = { mapVersion: this.#groups.mapVersion, timeoutMs: PREPARE_TIMEOUT_MS, gather: true };
    const peer = this.#options.peer(member);
    if (peer === undefined) return;
    update.sends();
    const { encoder, argumentsBytes, payload } = update.messageTo(member);
    peer.start(Opcode.dtxPrepare, argumentsBytes, encoder, payload, options, completion);
  }

  /** Commits what all have, in the order of the dkey: a later one may rest on those before it. */
  #decideIfAll(update: LedUpdate): void {
    const open = this.#byDkey.get(update.unit) ?? [];
    for (let first = open[0]; first !== undefined; first = open[0]) {
      if (!first.isDurableHere || first.waiting.size > 0) return;
      this.#decide(first, "commit", undefined);
    }
  }

  #decide(update: LedUpdate, decision: Decision, error: DaosError | undefined, closed?: () => void): void {
    this.#open.delete(update);
    const open = this.#byDkey.get(update.unit)!;
    open.splice(open.indexOf(update), 1);
    if (open.length === 0) this.#byDkey.delete(update.unit);
    this.#options.store.decide(update, decision);
    this.#outbox.add(update, decision, this.#others(update.members), closed);
    if (closed === undefined) update.decided(error);
  }

  #others(targets: readonly number[]): readonly number[] {
    return targets.filter((member) => member !== this.#options.self && this.#options.peer(member) !== undefined);
  }

  /** A member cannot do it for a reason that stays: told to the client when nobody can ever commit it. */
  #refused(update: LedUpdate, error: DaosError): void {
    if (update.isDecided) return;
    this.#abortAfter(update);
    if (!this.#isOpen(update)) return;
    this.#decide(update, "abort", error, () => update.decided(error));
  }

  /** Those of one dkey in the order of their epochs. */
  #inOrder(): LedUpdate[] {
    return [...this.#byDkey.values()].flat();
  }

  #isOpen(update: LedUpdate): boolean {
    return this.#open.get(update) === update;
  }

  /** Aborts what was ordered after this update, newest first. */
  #abortAfter(update: LedUpdate): void {
    const open = this.#byDkey.get(update.unit) ?? [];
    const place = open.indexOf(update);
    if (place === -1) return;
    for (let index = open.length - 1; index > place; index -= 1) this.#decide(open[index]!, "abort", undone());
  }

  /** What this target knows of transactions that others ask it for as their leader. */
  statesOf(ids: readonly DtxId[]): DtxState[] {
    return ids.map((id) => dtxStateOf(this.#options.store, id));
  }

  /**
   * Takes over undecided updates of others' making, or of ours before a restart, whose group this target leads now. True
   * when there are new ones: their members are to be asked.
   */
  inherit(): boolean {
    const { store, self } = this.#options;
    const { size } = this.#inherited;
    for (const update of store.openUpdates()) {
      const { id, container, oid, dkey } = update;
      const group = this.#groups.groupOf(oid, dkey);
      if (group.leader !== self || this.#open.get(id) !== undefined || this.#inherited.has(id)) continue;
      if (this.#outbox.decisionOf(id) !== undefined) continue;
      this.#inherited.add(update, unitOf({ container, object: { oid, dkey } }), group.members);
    }
    const isMore = this.#inherited.size > size;
    this.#inherited.settle();
    return isMore;
  }

  /** Whether earlier updates of a dkey are not decided yet. */
  isSettling(unit: string): boolean {
    return this.#inherited.hasDkey(unit) || this.#byDkey.has(unit);
  }

  /** Whether updates of others' making are not decided yet. */
  get isSettlingSome(): boolean {
    return this.#inherited.size > 0;
  }

  /** Tells the others at once what was decided. */
  flushDecisions(): void {
    this.#outbox.flushAll();
  }

  /** Up to which epoch this target knows the updates of a dkey that it leads; 0 while it does not. */
  decidedTo(unit: string, now: Epoch): Epoch {
    if (this.#inherited.hasDkey(unit)) return EPOCH_NONE;
    const oldest = this.#byDkey.get(unit)?.[0];
    return oldest === undefined ? now : ((oldest.givenEpoch - 1) as Epoch);
  }

  /** Ids of inherited updates that this member has not spoken of. */
  idsToAsk(member: number): DtxId[] {
    return this.#inherited.idsToAsk(member);
  }

  /**
   * What a member said when asked: states of `ids`, and every update of groups that we lead that is open there. Updates
   * under way that it does not have are aborted, as are those that we do not know; it hears again what it may have missed.
   */
  resynced(member: number, ids: readonly DtxId[], answer: ResyncAnswer): void {
    const { store } = this.#options;
    const { states, open, complete } = answer;
    this.#inherited.heard(member, ids, states, this.#groups, (container) => complete.includes(container));
    const there = new DtxMap<OpenDtx>();
    for (const dtx of open) there.add(dtx, dtx);
    for (const update of this.#inOrder()) {
      if (!update.waiting.has(member) || !this.#isOpen(update)) continue;
      if (there.get(update)?.epoch !== update.givenEpoch) {
        this.#abortAfter(update);
        this.#decide(update, "abort", undone());
      } else {
        update.waiting.delete(member);
        this.#decideIfAll(update);
      }
    }
    for (const dtx of open) {
      if (this.#inherited.has(dtx) || this.#open.get(dtx) !== undefined) continue;
      // What is not known here was never prepared here, for what is decided is not forgotten before all have it.
      const isCommitted = dtxStateOf(store, dtx) === DtxState.committed;
      this.#outbox.addMember(dtx, isCommitted ? "commit" : "abort", member);
    }
    this.#outbox.resend(member);
    this.#outbox.flush(member);
  }

  /**
   * The pool map has changed, and the peers with it. Members that are gone are waited for no longer; what this target no
   * longer leads stays undecided for whoever does.
   */
  mapChanged(groups: Groups): void {
    this.#groups = groups;
    for (const update of this.#inOrder()) {
      if (!this.#isOpen(update)) continue;
      if (this.#groupOf(update).leader === this.#options.self) {
        this.#forgetGone(update.waiting);
        this.#decideIfAll(update);
      } else this.#handOver(update);
    }
    this.#inherited.forgetGone();
    this.inherit();
  }

  /** Nobody needs what the container holds: undoes what is undecided in it. */
  removeContainer(container: number): void {
    for (const update of this.#inOrder().toReversed()) {
      if (update.container === container) this.#decide(update, "abort", notServed());
    }
    this.#inherited.removeContainer(container);
  }

  #handOver(update: LedUpdate): void {
    this.#open.delete(update);
    this.#byDkey.delete(update.unit);
    update.decided(notLeader(NO_TARGET));
  }

  /** A target has left the pool's members. */
  removeMember(member: number): void {
    this.#outbox.removeMember(member);
  }

  stop(): void {
    this.#outbox.stop();
    for (const update of this.#inOrder()) this.#handOver(update);
  }
}
