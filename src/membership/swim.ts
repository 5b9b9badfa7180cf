/**
 * One engine's part in finding out which engines live: SWIM (Das, Gupta and Motivala 2002) with Lifeguard (Dadgar,
 * Phillips and Currey 2018). No I/O: a driver brings time and datagrams, and sends what it is told; it calls `tick` when
 * `dueMs` has come (and asks for it again after every call).
 *
 * Each period the engine pings another one, in random order. When no answer comes, some others are asked to ping it too;
 * when none comes that way either, it is a suspect. A suspect that hears of it refutes, with a number higher than before;
 * one that does not in time is dead. News travel on every datagram, and by themselves while there are some.
 *
 * - When our own timer is late we stood still, and nobody is blamed for that time.
 * - Who is dead is not listened to, but told so: one that only has lost its way in cannot accuse others, and one that is there
 *   again refutes and lives. It has to hear us and be heard for that: a link that works one way makes nobody flap.
 * - Members are those of the roster. Another one's pings are answered, for our roster may be the older, and that is all.
 */
import type { Random } from "../contracts/world.ts";
import {
  MAX_MEMBER_UPDATES,
  type MembershipMessage,
  MembershipKind,
  MemberState,
  type MemberUpdate,
} from "../format/membership-message.ts";
import { Beliefs } from "./beliefs.ts";
import { GossipQueue } from "./gossip-queue.ts";
import { LocalHealth } from "./local-health.ts";
import { compareUpdates, type MemberViews } from "./member-views.ts";
import { ProbeOrder } from "./probe-order.ts";
import { type Probe, Probes } from "./probes.ts";
import { RandomMembers } from "./random-members.ts";
import type { Roster } from "./roster.ts";
import { type SwimSettings, transmissionsAmong } from "./settings.ts";
import { SyncWindow } from "./sync-window.ts";

/** Members passed over in one period, because they are gone, before the probe is left out. */
const MAX_SKIPS = 64;
/** Engines that are told when we leave. */
const FAREWELLS = 8;
const NONE: readonly never[] = [];

export interface SwimParts {
  readonly rank: number;
  /** When this engine was started, milliseconds since 1970. */
  readonly start: number;
  readonly settings: SwimSettings;
  readonly random: Pick<Random, "next">;
  readonly send: (message: MembershipMessage) => void;
  /** What is believed of a member has changed. */
  readonly changed?: (update: MemberUpdate) => void;
}

export class Swim {
  readonly #parts: SwimParts;
  readonly #settings: SwimSettings;
  readonly #views: MemberViews;
  readonly #others: RandomMembers;
  readonly #window: SyncWindow;
  readonly #order: ProbeOrder;
  readonly #probes = new Probes();
  readonly #queue = new GossipQueue();
  readonly #beliefs: Beliefs;
  readonly #health: LocalHealth;
  #refutation = 0;
  #hasLeft = false;
  #periodAtMs: number;
  #gossipAtMs: number;
  #syncAtMs: number;

  constructor(parts: SwimParts, roster: Roster, nowMs: number) {
    const { settings, random } = parts;
    this.#parts = parts;
    this.#settings = settings;
    this.#beliefs = new Beliefs(roster, settings, this.#queue, parts.changed);
    this.#views = this.#beliefs.views;
    this.#others = new RandomMembers(parts.rank, this.#views, random);
    this.#window = new SyncWindow(this.#views);
    this.#order = new ProbeOrder(random);
    this.#health = new LocalHealth(settings.maxHealthScore);
    this.#periodAtMs = nowMs + random.next() * settings.periodMs;
    this.#gossipAtMs = nowMs;
    this.#syncAtMs = nowMs + (1 + random.next()) * settings.syncMs;
  }

  /** When `tick` is to be called, milliseconds. */
  get dueMs(): number {
    if (this.#hasLeft) return Number.POSITIVE_INFINITY;
    const gossipMs = this.#queue.isEmpty ? Number.POSITIVE_INFINITY : this.#gossipAtMs;
    return Math.min(this.#periodAtMs, this.#syncAtMs, gossipMs, this.#probes.dueMs, this.#beliefs.suspicions.dueMs);
  }

  get roster(): Roster {
    return this.#views.roster;
  }

  /** How slow we think we are: 1 is well. */
  get healthFactor(): number {
    return this.#health.factor;
  }

  /** Members that are dead or have left. */
  get goneCount(): number {
    return this.#views.gone.size;
  }

  /** What is believed of a member; of ourselves what we say. Undefined for who is none. */
  state(rank: number): MemberUpdate | undefined {
    return rank === this.#parts.rank ? this.#ownUpdate() : this.#views.get(rank);
  }

  /** When a suspect will be dead unless it refutes; undefined for who is none. */
  deadAtMs(rank: number): number | undefined {
    return this.#beliefs.suspicions.get(rank)?.untilMs;
  }

  /** The members are these now. */
  adopt(roster: Roster): void {
    this.#beliefs.adopt(roster);
  }

  /** Tells some others that we go; nothing more is sent after that. */
  leave(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    for (const to of this.#others.drawSeveral(FAREWELLS))
      this.#send(MembershipKind.gossip, to, 0, to, [this.#ownUpdate()]);
  }

  /** Does what is due. */
  tick(nowMs: number): void {
    if (this.#hasLeft || nowMs < this.dueMs) return;
    this.#forgiveOwnStall(nowMs);
    if (nowMs >= this.#probes.dueMs) this.#endWaits(nowMs);
    this.#beliefs.endSuspicions(nowMs);
    if (nowMs >= this.#periodAtMs) this.#beginPeriod(nowMs);
    if (nowMs >= this.#syncAtMs) this.#beginSync(nowMs);
    if (nowMs >= this.#gossipAtMs && !this.#queue.isEmpty) this.#gossip(nowMs);
  }

  /** A datagram has come. */
  receive(message: MembershipMessage, nowMs: number): void {
    const { from, kind, sequence } = message;
    if (this.#hasLeft || message.to !== this.#parts.rank || from === this.#parts.rank) return;
    if (!this.#views.roster.has(from)) {
      if (kind === MembershipKind.ping) this.#send(MembershipKind.ack, from, sequence, this.#parts.rank);
      return;
    }
    if (!this.#hear(message, nowMs)) return;
    for (const update of message.updates) this.#apply(update, message, nowMs);
    switch (kind) {
      case MembershipKind.ping:
        return this.#send(MembershipKind.ack, from, sequence, this.#parts.rank);
      case MembershipKind.pingRequest:
        return this.#help(message, nowMs);
      case MembershipKind.ack:
        return this.#acknowledged(message);
      case MembershipKind.nack:
        return this.#probes.refused(message.subject, sequence, from);
      case MembershipKind.gossip:
      case MembershipKind.syncReply:
        return;
      case MembershipKind.sync:
        return this.#answerSync(message);
      default:
        kind satisfies never;
    }
  }

  // Probing.

  #forgiveOwnStall(nowMs: number): void {
    const sleptMs = nowMs - this.dueMs;
    if (sleptMs <= this.#settings.lateMs) return;
    // Answers may have come meanwhile that nobody has read yet.
    const forgivenMs = sleptMs + this.#settings.lateMs;
    this.#probes.shift(forgivenMs);
    this.#beliefs.suspicions.shift(forgivenMs);
    this.#health.worse(1);
  }

  #beginPeriod(nowMs: number): void {
    const { periodMs, pingTimeoutMs } = this.#settings;
    const { factor } = this.#health;
    this.#periodAtMs = Math.max(this.#periodAtMs + periodMs * factor, nowMs + periodMs / 2);
    const target = this.#nextTarget();
    if (target === undefined) return;
    const probe = this.#probes.probe(target, nowMs + pingTimeoutMs * factor);
    this.#send(MembershipKind.ping, target, probe.sequence, target);
  }

  #nextTarget(): number | undefined {
    const { ranks } = this.#views.roster;
    const tries = Math.min(ranks.length, MAX_SKIPS);
    for (let skipped = 0; skipped < tries; skipped += 1) {
      const rank = ranks[this.#order.next(ranks.length)]!;
      if (rank !== this.#parts.rank && !this.#views.isGone(rank) && !this.#probes.isProbing(rank)) return rank;
    }
    return undefined;
  }

  #endWaits(nowMs: number): void {
    const { probes, relays } = this.#probes.due(nowMs);
    for (const { asker, askedSequence, target } of relays) {
      this.#send(MembershipKind.nack, asker, askedSequence, target);
    }
    for (const probe of probes) {
      if (this.#views.isGone(probe.target) || !this.#views.roster.has(probe.target)) continue;
      if (probe.isIndirect) this.#failed(probe, nowMs);
      else this.#askHelpers(probe, nowMs);
    }
  }

  /** Others ping it, and we do once more: the ping or its answer may have been lost. */
  #askHelpers(probe: Probe, nowMs: number): void {
    const { helpers, indirectTimeoutMs } = this.#settings;
    const { target, sequence } = probe;
    const chosen = this.#others.drawSeveral(helpers, target);
    probe.isIndirect = true;
    probe.helpers = chosen.length;
    this.#probes.resume(probe, nowMs + indirectTimeoutMs * this.#health.factor);
    for (const helper of chosen) this.#send(MembershipKind.pingRequest, helper, sequence, target);
    this.#send(MembershipKind.ping, target, sequence, target);
  }

  /**
   * A nack in time says that its sender found the same, and that we hear and are heard: its sender counts as an accuser,
   * which spares the wait for others to come across the suspect in their own order.
   */
  #failed({ target, helpers, nackedBy }: Probe, nowMs: number): void {
    this.#health.worse(helpers === 0 ? 1 : Math.max(0, helpers - nackedBy.length));
    const isNews = this.#beliefs.accuse(target, [this.#parts.rank, ...nackedBy], nowMs);
    if (isNews) this.#send(MembershipKind.gossip, target, 0, target);
  }

  #acknowledged({ from, subject, sequence }: MembershipMessage): void {
    if (this.#probes.answered(subject, sequence) !== undefined) return this.#health.better();
    if (from !== subject) return;
    const relay = this.#probes.relayAnswered(subject, sequence);
    if (relay !== undefined) this.#send(MembershipKind.ack, relay.asker, relay.askedSequence, subject);
  }

  #help({ from, sequence, subject }: MembershipMessage, nowMs: number): void {
    if (subject === this.#parts.rank || !this.#views.roster.has(subject)) return;
    const relay = this.#probes.relay(subject, from, sequence, nowMs + this.#settings.pingTimeoutMs);
    if (relay !== undefined) this.#send(MembershipKind.ping, subject, relay.sequence, subject);
  }

  // Believing.

  /** What the sender says by its being there. False: it is not to be listened to. */
  #hear(message: MembershipMessage, nowMs: number): boolean {
    const { from, start, refutation } = message;
    if (this.#views.isUndoubted(from, start, refutation)) return true;
    const spoken: MemberUpdate = { rank: from, start, refutation, state: MemberState.alive, accusers: NONE };
    const view = this.#views.get(from)!;
    if (compareUpdates(spoken, view) > 0) {
      this.#beliefs.believe(spoken, nowMs);
      return true;
    }
    if (start !== view.start) return false;
    if (view.state < MemberState.dead) return true;
    if (view.state === MemberState.left) return false;
    for (const update of message.updates) if (update.rank === this.#parts.rank) this.#accused(update);
    this.#send(MembershipKind.gossip, from, 0, from);
    return false;
  }

  #apply(update: MemberUpdate, { kind, from }: MembershipMessage, nowMs: number): void {
    const { rank } = update;
    if (rank === this.#parts.rank) {
      if (this.#accused(update)) this.#send(MembershipKind.gossip, from, 0, from);
      return;
    }
    // What it says of itself by being there is heard already; its farewell is more than that.
    if (rank === from && update.state !== MemberState.left) return;
    if (this.#views.isNews(update)) {
      const isSync = kind === MembershipKind.sync || kind === MembershipKind.syncReply;
      if (!isSync || update.state !== MemberState.dead) return this.#beliefs.believe(update, nowMs);
      // It may have been told long ago, on the other side of a partition: who is called dead is asked first.
      const suspect = { ...update, state: MemberState.suspect, accusers: [from] };
      if (!this.#views.isNews(suspect)) return;
      this.#beliefs.believe(suspect, nowMs);
      return this.#send(MembershipKind.gossip, rank, 0, rank);
    }
    if (update.state === MemberState.suspect) this.#beliefs.confirm(update, nowMs);
  }

  /** Somebody says something of us. True when it was a doubt: who said so is to be told that we live. */
  #accused({ start, refutation, state }: MemberUpdate): boolean {
    if (start !== this.#parts.start || state === MemberState.alive) return false;
    if (refutation >= this.#refutation) {
      this.#refutation = Math.min(refutation + 1, 0xffff_ffff);
      this.#health.worse(1);
      this.#queue.add(this.#parts.rank);
    }
    return true;
  }

  // Telling.

  #gossip(nowMs: number): void {
    const { gossipMs, gossipFanout } = this.#settings;
    this.#gossipAtMs = nowMs + gossipMs;
    for (const to of this.#others.drawSeveral(gossipFanout)) {
      if (!this.#queue.isEmpty) this.#send(MembershipKind.gossip, to, 0, to);
    }
    // Whom we suspect must hear of it, although others are told at random.
    const suspect = this.#beliefs.suspicions.nextOwn();
    if (suspect !== undefined) this.#send(MembershipKind.gossip, suspect, 0, suspect);
  }

  /** With one that lives, and now and then with one that is dead: it may be there again. */
  #beginSync(nowMs: number): void {
    const { syncMs, reconnections } = this.#settings;
    this.#syncAtMs = nowMs + syncMs;
    const { gone, roster } = this.#views;
    const to = this.#others.draw();
    if (to !== undefined) this.#send(MembershipKind.sync, to, 0, to, this.#window.take(NONE));
    const living = Math.max(1, roster.size - gone.size);
    if (this.#parts.random.next() * living >= gone.size * reconnections) return;
    const lost = [...gone][Math.floor(this.#parts.random.next() * gone.size)];
    if (lost !== undefined && this.#views.get(lost)?.state === MemberState.dead) {
      this.#send(MembershipKind.sync, lost, 0, lost, this.#window.take([this.#views.get(lost)!]));
    }
  }

  /** First where the other one is behind, then more of what we know. */
  #answerSync({ from, updates }: MembershipMessage): void {
    const newer: MemberUpdate[] = [];
    for (const update of updates) {
      const view = this.state(update.rank);
      if (view !== undefined && compareUpdates(view, update) > 0) newer.push(view);
    }
    this.#send(MembershipKind.syncReply, from, 0, from, this.#window.take(newer));
  }

  #ownUpdate(): MemberUpdate {
    const { rank, start } = this.#parts;
    const state = this.#hasLeft ? MemberState.left : MemberState.alive;
    return { rank, start, refutation: this.#refutation, state, accusers: NONE };
  }

  /** Without `updates`: the news, and first of all what the receiver must know of itself. */
  #send(
    kind: MembershipKind,
    to: number,
    sequence: number,
    subject: number,
    updates: readonly MemberUpdate[] = this.#news(to),
  ): void {
    const { rank: from, start } = this.#parts;
    this.#parts.send({ kind, from, to, start, refutation: this.#refutation, sequence, subject, updates });
  }

  #news(to: number): readonly MemberUpdate[] {
    const doubt = this.#views.doubt(to);
    if (doubt === undefined && this.#queue.isEmpty) return NONE;
    const ranks: number[] = [];
    this.#queue.take(ranks, MAX_MEMBER_UPDATES - 1, transmissionsAmong(this.#settings, this.#views.roster.size));
    const news: MemberUpdate[] = doubt === undefined ? [] : [doubt];
    for (const rank of ranks) {
      const update = rank === to ? undefined : this.state(rank);
      if (update !== undefined) news.push(update);
    }
    return news;
  }
}
