/**
 * Who of several engines leads the control plane: the one whose record is at LEADER_KEY in the meta store, under a lease.
 *
 * The revision of that record is the leader's *term*: terms only grow. Two guards, for the two ways an old leader could do
 * harm:
 *
 * - *Writes*: each commit of a leader compares the record's revision (`fence`), so no commit of an earlier term follows
 *   one of a later term, whatever clocks and networks do. FencedMetaStore adds it.
 * - *Reads out of memory*, and leases that it grants: it leads until LEASE_SHARE of the lease has passed since it last
 *   *began* to keep it alive (`isLeader`); nobody else can have the record before. That takes clocks whose rates differ by
 *   less than the rest. Who is the system's only engine leads on while the store is away: nobody else could.
 *
 * While the store is away a leader leads on by *pledges*: all other engines of the system promise not to lead for PLEDGE_MS,
 * and it counts on LEASE_SHARE of that from when it asked. Whoever would lead first has to let its own pledge end, so no quorum and no
 * third party is needed; one engine that does not promise ends it. An engine promises while, as far as it knows, the leader's
 * record is there: when the leader alone is cut off it finds that record gone, promises no more, and another one leads.
 * docs/membership.md has the whole argument.
 *
 * An engine that finds its own record, from before a restart, takes it over at once, with a new term.
 */
import { DaosError } from "../base/errors.ts";
import type { MetaCompare, MetaStore } from "../contracts/meta-store.ts";
import type { Clock, Timers } from "../contracts/world.ts";
import { LEADER_KEY, MEMBER_PREFIX } from "../format/meta-key.ts";
import { decodeMetaRecord, type LeaderRecord } from "../format/meta-record.ts";
import { isRefusal, MetaRecords, putRecord } from "./meta-records.ts";

/** Looks in the time of one lease: to keep it, or to see whether it is free. */
const LOOKS_A_LEASE = 4;
/** Part of the lease for which a leader counts on it. */
const LEASE_SHARE = 0.8;
/** How long a promise not to lead holds at who gave it, milliseconds. */
const PLEDGE_MS = 2_000;
/** A leader that has not heard of the store for this part of its lease asks for pledges, and again at this interval. */
const UNHEARD_SHARE = 0.3;
const ASK_MS = 400;

export interface LeadershipParts {
  readonly store: MetaStore;
  readonly clock: Clock;
  readonly timers: Timers;
  /** This engine, and where others reach it. */
  readonly self: LeaderRecord;
  readonly leaseMs: number;
  /** Called when it begins to lead (its term), and when it no longer does (undefined). */
  readonly changed: (term: number | undefined) => void;
  /** Called when another engine is known to lead. */
  readonly followed: (leader: LeaderRecord) => void;
  /** Whether no other engine can try to lead: nobody else belongs to the system unless this engine, leading, writes it down. */
  readonly isAlone: () => boolean;
  /** Asks all other engines of the system for a pledge (`pledge`), as the leader of the present term; true when each gave it. */
  readonly askPledges: () => Promise<boolean>;
  /** When this process was started, on the monotonic clock: what it has promised before is not known. */
  readonly startedAtNs: number;
}

export class Leadership {
  readonly #parts: LeadershipParts;
  readonly #records: MetaRecords;
  #lease: string | undefined;
  #term: number | undefined;
  #validUntilNs = 0;
  /** Of what it has promised to another leader. */
  #pledgedUntilNs: number;
  /** The record's revision that it tries to follow, and does not know yet whether it did: it promises nothing meanwhile. */
  #contended: number | undefined;
  /** Who is known to lead, and since which term. Terms that were seen only grow. */
  #known: { readonly record: LeaderRecord | undefined; readonly term: number } = { record: undefined, term: 0 };
  #stopWatching: () => void = () => {};
  #cancelExpiry: () => void = () => {};
  #cancelAsking: () => void = () => {};
  #wake: () => void = () => {};
  #running: Promise<void> | undefined;
  #stopped = false;
  readonly #firstLook = Promise.withResolvers<void>();

  constructor(parts: LeadershipParts) {
    this.#parts = parts;
    this.#records = new MetaRecords(parts.store);
    this.#pledgedUntilNs = parts.startedAtNs + PLEDGE_MS * 1e6;
  }

  /** Tries to lead from now on, and goes on trying. */
  start(): void {
    this.#stopWatching = this.#parts.store.watch(LEADER_KEY, ({ key, value, revision }) => {
      if (key !== LEADER_KEY) return;
      if (this.#term !== undefined && revision > this.#term) this.#lose();
      this.#know(value === undefined ? undefined : decodeMetaRecord("leader", key, value), revision);
      if (value === undefined) this.#wake();
    });
    this.#running = this.#run();
  }

  get isLeader(): boolean {
    if (this.#term === undefined) return false;
    return this.#parts.clock.monotonicNs() < this.#validUntilNs || this.#parts.isAlone();
  }

  /** Resolves when it has looked once, in vain or not, who leads. */
  get firstLook(): Promise<void> {
    return this.#firstLook.promise;
  }

  /** Who led when this engine last heard of it; itself while it leads. */
  get leader(): LeaderRecord | undefined {
    return this.isLeader ? this.#parts.self : this.#known.record;
  }

  /** The present term, when this engine leads. */
  get term(): number | undefined {
    return this.isLeader ? this.#term : undefined;
  }

  /**
   * Promises the leader of this term not to lead before PLEDGE_MS have passed. False: it does not, for it leads or tries to, or
   * that is not the leader whose record is there, as far as it knows.
   */
  pledge(term: number): boolean {
    const { record, term: known } = this.#known;
    if (this.#term !== undefined || this.#contended !== undefined || known !== term || record === undefined)
      return false;
    this.#pledgedUntilNs = this.#parts.clock.monotonicNs() + PLEDGE_MS * 1e6;
    return true;
  }

  /** What each commit of the leader of `term` compares; undefined when that is not this engine, or no longer. */
  fence(term: number): MetaCompare | undefined {
    return this.term === term ? { key: LEADER_KEY, revision: term } : undefined;
  }

  /** Whether the term of `fence` still is the present one, as the store says; it stops leading when it is not. */
  async holds(fence: MetaCompare): Promise<boolean> {
    const entry = await this.#parts.store.get(LEADER_KEY);
    if (entry?.revision === fence.revision) return true;
    if (this.#term === fence.revision) this.#lose();
    return false;
  }

  /** Gives leadership up, so that another engine has it at once; it does not try again. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#stopWatching();
    this.#lose();
    this.#wake();
    await this.#running;
    if (this.#lease !== undefined) await this.#ignoringFailure(() => this.#parts.store.revokeLease(this.#lease!));
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const woken = this.#pause();
      await this.#ignoringFailure(() => (this.#term === undefined ? this.#campaign() : this.#keep(this.#term)));
      this.#firstLook.resolve();
      await woken;
    }
  }

  /** Until the next look, or until the record is gone. */
  #pause(): Promise<void> {
    const { timers, leaseMs } = this.#parts;
    return new Promise((resolve) => {
      const cancel = timers.after(leaseMs / LOOKS_A_LEASE, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }

  async #campaign(): Promise<void> {
    const { self, clock } = this.#parts;
    const stored = await this.#records.get("leader", LEADER_KEY);
    if (stored === undefined) this.#known = { ...this.#known, record: undefined };
    else this.#know(stored.record, stored.revision);
    const isOwn = stored?.record.engine === self.engine;
    // A commit that may still happen is brought to an end first, whoever leads.
    if (stored !== undefined && !isOwn && this.#contended === undefined) return;
    const isFree = isOwn || (await this.#isOnly());
    const sinceNs = clock.monotonicNs();
    const lease = await this.#freshLease();
    // Nothing may be waited for between this and the commit: it promises nothing from here on.
    if (!isFree && clock.monotonicNs() < this.#pledgedUntilNs) return;
    this.#contended ??= stored?.revision ?? 0;
    const term = await this.#contend(this.#contended, lease);
    if (this.#stopped) return;
    this.#know(self, term);
    this.#term = term;
    this.#count(sinceNs, term);
    if (this.#term === term) this.#parts.changed(term);
  }

  /** The only engine of a system has nobody whom it could have promised anything, in a process before this one neither. */
  async #isOnly(): Promise<boolean> {
    return (await this.#records.page("member", MEMBER_PREFIX, 2)).length < 2;
  }

  /** The term that was won. Rejects when it was not, or when that is not known. */
  async #contend(revision: number, lease: string): Promise<number> {
    const put = putRecord("leader", LEADER_KEY, this.#parts.self);
    const operations = "put" in put ? [{ ...put, lease }] : [];
    try {
      const term = await this.#parts.store.commit([{ key: LEADER_KEY, revision }], operations);
      this.#contended = undefined;
      return term;
    } catch (error) {
      if (isRefusal(error)) this.#contended = undefined;
      throw error;
    }
  }

  async #keep(term: number): Promise<void> {
    const sinceNs = this.#parts.clock.monotonicNs();
    const isAlive = await this.#parts.store.keepAlive(this.#lease!);
    if (this.#term !== term) return;
    if (isAlive) this.#count(sinceNs, term);
    else this.#lose();
  }

  /** The lease counts from `sinceNs`. */
  #count(sinceNs: number, term: number): void {
    const { clock, timers, leaseMs } = this.#parts;
    this.#leadUntil(sinceNs, leaseMs, term);
    this.#cancelAsking();
    const unheardMs = (clock.monotonicNs() - sinceNs) / 1e6;
    const waitMs = Math.max(0, leaseMs * UNHEARD_SHARE - unheardMs);
    this.#cancelAsking = timers.after(waitMs, () => this.#ask(term));
  }

  /** Again and again, until the store is heard of. */
  #ask(term: number): void {
    if (this.#term !== term) return;
    const { clock, timers, askPledges } = this.#parts;
    const askedNs = clock.monotonicNs();
    void this.#ignoringFailure(async () => {
      // Who is too late has lost it: others may have led meanwhile.
      if ((await askPledges()) && this.#term === term && this.isLeader) this.#leadUntil(askedNs, PLEDGE_MS, term);
    });
    this.#cancelAsking = timers.after(ASK_MS, () => this.#ask(term));
  }

  /** It leads for a part of `holdsMs` from `sinceNs`. Never shortens. */
  #leadUntil(sinceNs: number, holdsMs: number, term: number): void {
    const { clock, timers } = this.#parts;
    this.#validUntilNs = Math.max(this.#validUntilNs, sinceNs + holdsMs * LEASE_SHARE * 1e6);
    this.#cancelExpiry();
    const leftMs = (this.#validUntilNs - clock.monotonicNs()) / 1e6;
    this.#cancelExpiry = timers.after(Math.max(0, leftMs), () => {
      if (this.#term === term && !this.isLeader) this.#lose();
    });
  }

  async #freshLease(): Promise<string> {
    const { store, leaseMs } = this.#parts;
    if (this.#lease === undefined || !(await store.keepAlive(this.#lease))) {
      this.#lease = await store.grantLease(leaseMs);
    }
    return this.#lease;
  }

  #know(record: LeaderRecord | undefined, term: number): void {
    if (term <= this.#known.term) return;
    this.#known = { record, term };
    if (record !== undefined && record.engine !== this.#parts.self.engine) this.#parts.followed(record);
  }

  #lose(): void {
    if (this.#term === undefined) return;
    this.#term = undefined;
    this.#validUntilNs = 0;
    this.#cancelExpiry();
    this.#cancelAsking();
    this.#parts.changed(undefined);
  }

  /**
   * A store that does not answer, or another engine that was faster, is no reason to stop trying: time decides who leads.
   */
  async #ignoringFailure(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
    }
  }
}
