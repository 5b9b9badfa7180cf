/**
 * Membership alone, of any number of engines in one process: each is a Swim of its own on a network that loses and delays
 * datagrams, and may be cut in one direction; processes stand still for a while, and are killed. Counts what it costs,
 * when the killed are found, and who is called dead and lives.
 */
import {
  type MembershipMessage,
  membershipMessageBytes,
  MemberState,
  type MemberUpdate,
} from "../../../src/format/membership-message.ts";
import { Roster } from "../../../src/membership/roster.ts";
import { DEFAULT_SWIM_SETTINGS, type SwimSettings } from "../../../src/membership/settings.ts";
import { Swim } from "../../../src/membership/swim.ts";
import { SimulatedRandom } from "../random.ts";
import { DatagramWheel } from "./datagram-wheel.ts";

/** Of IPv4 and UDP, bytes a datagram. */
const HEADER_BYTES = 28;
const START = 1_700_000_000_000;

export interface EnginesOptions {
  readonly seed: number;
  readonly engines: number;
  readonly settings?: Partial<SwimSettings>;
  /** Share of datagrams that are lost. */
  readonly loss?: number;
  /** Delay of a datagram, uniform from 1 to this, milliseconds. */
  readonly delayMs?: number;
  /** How long a process stands still, and how often each of them does about, milliseconds. */
  readonly stall?: { readonly lastsMs: number; readonly everyMs: number };
}

/** When a killed engine was found, milliseconds after the kill; undefined: not yet. */
export interface Detection {
  readonly rank: number;
  readonly killedAtMs: number;
  suspectMs: number | undefined;
  firstMs: number | undefined;
  /** For the engine of rank 0. */
  observerMs: number | undefined;
  allMs: number | undefined;
  /** Engines that know. */
  knowing: number;
}

export class SimulatedEngines {
  readonly detections = new Map<number, Detection>();
  /** Statements that somebody is dead who lived, each counted once. */
  readonly falseDeaths = new Set<string>();
  /** Suspicions of engines that lived, each counted once. */
  readonly falseSuspicions = new Set<string>();
  messages = 0;
  bytes = 0;
  /** True: a datagram from the first to the second rank never arrives. */
  cut: (from: number, to: number) => boolean = () => false;
  readonly #options: EnginesOptions;
  readonly #random: SimulatedRandom;
  readonly #wheel = new DatagramWheel();
  readonly #engines: Swim[] = [];
  readonly #isKilled: Uint8Array;
  readonly #stalledUntilMs: Float64Array;
  readonly #timerAtMs: Float64Array;
  #roster: Roster;
  #living: number;

  constructor(options: EnginesOptions) {
    const { engines, seed } = options;
    this.#options = options;
    this.#random = new SimulatedRandom(seed);
    this.#isKilled = new Uint8Array(engines);
    this.#stalledUntilMs = new Float64Array(engines);
    this.#timerAtMs = new Float64Array(engines).fill(Number.POSITIVE_INFINITY);
    this.#living = engines;
    this.#roster = new Roster(Array.from({ length: engines }, (_none, rank) => ({ rank, start: START })));
    for (let rank = 0; rank < engines; rank += 1) this.#engines.push(this.#begin(rank, START));
    for (let rank = 0; rank < engines; rank += 1) this.#arm(rank);
  }

  get nowMs(): number {
    return this.#wheel.nowMs;
  }

  engine(rank: number): Swim {
    return this.#engines[rank]!;
  }

  isKilled(rank: number): boolean {
    return this.#isKilled[rank] === 1;
  }

  kill(rank: number): void {
    this.#isKilled[rank] = 1;
    this.#living -= 1;
    this.detections.set(rank, {
      rank,
      killedAtMs: this.nowMs,
      suspectMs: undefined,
      firstMs: undefined,
      observerMs: undefined,
      allMs: undefined,
      knowing: 0,
    });
  }

  /** A killed engine is there again, and the control plane has told everybody. */
  restart(rank: number): void {
    const start = START + this.nowMs;
    this.#isKilled[rank] = 0;
    this.#living += 1;
    this.detections.delete(rank);
    const members = this.#roster.ranks.map((other) => ({
      rank: other,
      start: other === rank ? start : this.#roster.start(other)!,
    }));
    this.#roster = new Roster(members);
    this.#engines[rank] = this.#begin(rank, start);
    for (const engine of this.#engines) engine.adopt(this.#roster);
    this.#timerAtMs[rank] = Number.POSITIVE_INFINITY;
    this.#arm(rank);
  }

  /** The process stands still for so long. */
  stall(rank: number, lastsMs: number): void {
    this.#stalledUntilMs[rank] = Math.max(this.#stalledUntilMs[rank]!, this.nowMs + lastsMs);
  }

  run(durationMs: number): void {
    for (const endMs = this.nowMs + durationMs; this.nowMs < endMs;) this.#step();
  }

  /** Until `isDone` or `atMostMs` have passed; whether it is done. */
  runUntil(isDone: () => boolean, atMostMs: number): boolean {
    for (const endMs = this.nowMs + atMostMs; this.nowMs < endMs;) {
      if (isDone()) return true;
      this.#step();
    }
    return isDone();
  }

  /** How many of the living engines believe that of a rank; for suspects and dead. */
  believing(rank: number, state: MemberState): number {
    return this.#engines.filter(
      (engine, own) => own !== rank && !this.isKilled(own) && engine.state(rank)?.state === state,
    ).length;
  }

  #begin(rank: number, start: number): Swim {
    const random = this.#random.fork();
    const { settings } = this.#options;
    return new Swim(
      {
        rank,
        start,
        settings: { ...DEFAULT_SWIM_SETTINGS, ...settings },
        random,
        send: (message) => this.#send(message),
        changed: (update) => this.#changed(rank, update),
      },
      this.#roster,
      this.nowMs,
    );
  }

  #step(): void {
    const { stall, engines } = this.#options;
    const events = this.#wheel.step();
    if (stall !== undefined) {
      let expected = engines / stall.everyMs;
      for (; expected > 0; expected -= 1) {
        if (expected >= 1 || this.#random.next() < expected) this.stall(this.#random.below(engines), stall.lastsMs);
      }
    }
    for (const event of events) {
      if (typeof event === "number") this.#timer(event);
      else this.#arrive(event);
    }
  }

  #timer(rank: number): void {
    const { nowMs } = this;
    if (this.#timerAtMs[rank] !== nowMs || this.isKilled(rank)) return;
    const untilMs = this.#stalledUntilMs[rank]!;
    if (untilMs > nowMs) return this.#armAt(rank, untilMs);
    this.#timerAtMs[rank] = Number.POSITIVE_INFINITY;
    this.#engines[rank]!.tick(nowMs);
    this.#arm(rank);
  }

  #arrive(message: MembershipMessage): void {
    const { to } = message;
    if (this.isKilled(to)) return;
    const untilMs = this.#stalledUntilMs[to]!;
    if (untilMs > this.nowMs) return this.#wheel.at(Math.ceil(untilMs), message);
    this.#engines[to]!.receive(message, this.nowMs);
    this.#arm(to);
  }

  #arm(rank: number): void {
    const { dueMs } = this.#engines[rank]!;
    const atMs = Math.min(Math.max(this.nowMs + 1, Math.ceil(dueMs)), this.nowMs + DatagramWheel.reachMs);
    if (atMs < this.#timerAtMs[rank]!) this.#armAt(rank, atMs);
  }

  #armAt(rank: number, atMs: number): void {
    this.#timerAtMs[rank] = atMs;
    this.#wheel.at(atMs, rank);
  }

  #send(message: MembershipMessage): void {
    const { loss = 0, delayMs = 1 } = this.#options;
    this.messages += 1;
    this.bytes += HEADER_BYTES + membershipMessageBytes(message.updates.length);
    if (loss > 0 && this.#random.next() < loss) return;
    if (this.cut(message.from, message.to)) return;
    const delay = delayMs <= 1 ? 1 : 1 + this.#random.below(delayMs);
    this.#wheel.at(this.nowMs + delay, message);
  }

  #changed(by: number, update: MemberUpdate): void {
    const { rank, start, refutation, state } = update;
    if (state !== MemberState.suspect && state !== MemberState.dead) return;
    const detection = this.detections.get(rank);
    if (detection === undefined) {
      const statement = `${rank}/${start}/${refutation}`;
      (state === MemberState.dead ? this.falseDeaths : this.falseSuspicions).add(statement);
      return;
    }
    const afterMs = this.nowMs - detection.killedAtMs;
    detection.suspectMs ??= afterMs;
    if (state !== MemberState.dead) return;
    detection.firstMs ??= afterMs;
    if (by === 0) detection.observerMs = afterMs;
    detection.knowing += 1;
    if (detection.knowing >= this.#living) detection.allMs ??= afterMs;
  }
}
