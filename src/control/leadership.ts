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
 * An engine that finds its own record, from before a restart, takes it over at once, with a new term.
 */
import { DaosError } from "../base/errors.ts";
import type { MetaCompare, MetaStore } from "../contracts/meta-store.ts";
import type { Clock, Timers } from "../contracts/world.ts";
import { LEADER_KEY } from "../format/meta-key.ts";
import { decodeMetaRecord, type LeaderRecord } from "../format/meta-record.ts";
import { MetaRecords, putRecord } from "./meta-records.ts";

/** Looks in the time of one lease: to keep it, or to see whether it is free. */
const LOOKS_A_LEASE = 4;
/** Part of the lease for which a leader counts on it. */
const LEASE_SHARE = 0.8;

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
}

export class Leadership {
  readonly #parts: LeadershipParts;
  readonly #records: MetaRecords;
  #lease: string | undefined;
  #term: number | undefined;
  #validUntilNs = 0;
  /** Who is known to lead, and since which term. Terms that were seen only grow. */
  #known: { readonly record: LeaderRecord | undefined; readonly term: number } = { record: undefined, term: 0 };
  #stopWatching: () => void = () => {};
  #cancelExpiry: () => void = () => {};
  #wake: () => void = () => {};
  #running: Promise<void> | undefined;
  #stopped = false;
  readonly #firstLook = Promise.withResolvers<void>();

  constructor(parts: LeadershipParts) {
    this.#parts = parts;
    this.#records = new MetaRecords(parts.store);
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
    const { self, store, clock } = this.#parts;
    const stored = await this.#records.get("leader", LEADER_KEY);
    if (stored !== undefined) this.#know(stored.record, stored.revision);
    if (stored !== undefined && stored.record.engine !== self.engine) return;
    const sinceNs = clock.monotonicNs();
    const lease = await this.#freshLease();
    const put = putRecord("leader", LEADER_KEY, self);
    const operations = "put" in put ? [{ ...put, lease }] : [];
    const term = await store.commit([{ key: LEADER_KEY, revision: stored?.revision ?? 0 }], operations);
    if (this.#stopped) return;
    this.#know(self, term);
    this.#term = term;
    this.#count(sinceNs, term);
    if (this.#term === term) this.#parts.changed(term);
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
    this.#validUntilNs = sinceNs + leaseMs * LEASE_SHARE * 1e6;
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
    this.#cancelExpiry();
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
