/**
 * Who of the engines lives, as far as the control plane can tell: heartbeats, leases and silence. No I/O: a driver brings
 * the time, and says what the engines have found out about each other.
 *
 * An engine may serve while it holds a lease; the control plane counts a lease from when it answered, the engine from
 * when it asked, so the engine's is over first. After a start of the control plane every engine counts as silent since
 * just now and holding a lease: whatever the one before has granted has run out when ours has.
 */
import { SUSPECT_AFTER_MS } from "../base/limits.ts";

export interface MembershipSettings {
  readonly leaseMs: number;
  /** Silence after which an engine is excluded although the others may reach it; undefined: none ever is. */
  readonly excludeAfterMs: number | undefined;
  /** Time after which one is that the others have found dead, once its lease is over. */
  readonly excludeDeadAfterMs: number;
}

/** A tick that comes this much later than it should says that it was us who slept, milliseconds. */
const STALL_MS = 1_000;

interface Life {
  incarnation: number;
  heardMs: number;
  leaseUntilMs: number;
  /** Its connection is gone: a suspect without further ado. */
  isLost: boolean;
  /** It must join again before it gets a lease. */
  isWithheld: boolean;
  isHere: boolean;
  /** It was told to stop, and serves until it says farewell. */
  isLeaving: boolean;
  /** How often it was not told something. */
  misses: number;
}

export class Membership {
  readonly #settings: MembershipSettings;
  readonly #lives = new Map<number, Life>();
  #tickedMs: number | undefined;

  constructor(settings: MembershipSettings) {
    this.#settings = settings;
  }

  /** At the control plane's start: an engine that was a member. A suspect until it joins; its silence begins now. */
  remember(rank: number, nowMs: number): void {
    const { leaseMs } = this.#settings;
    this.#lives.set(rank, {
      incarnation: -1,
      heardMs: nowMs,
      leaseUntilMs: nowMs + leaseMs,
      isLost: true,
      isWithheld: true,
      isHere: true,
      isLeaving: false,
      misses: 0,
    });
  }

  /** It is being told its pools; until `joined` heartbeats keep it, without a lease. */
  joining(rank: number, incarnation: number, nowMs: number): void {
    this.#lives.set(rank, {
      incarnation,
      heardMs: nowMs,
      leaseUntilMs: this.#lives.get(rank)?.leaseUntilMs ?? nowMs,
      isLost: false,
      isWithheld: true,
      isHere: true,
      isLeaving: false,
      misses: 0,
    });
  }

  misses(rank: number): number {
    return this.#lives.get(rank)?.misses ?? 0;
  }

  /** Its pools were given to it: from now on heartbeats bring leases. */
  joined(rank: number, incarnation: number, nowMs: number): void {
    const life = this.#lives.get(rank);
    if (life?.incarnation !== incarnation) return;
    life.heardMs = nowMs;
    life.isWithheld = false;
  }

  /** It was told to stop: its heartbeats keep its lease until it says farewell, and its silence is no reason to exclude it. */
  leaving(rank: number): void {
    const life = this.#lives.get(rank);
    if (life !== undefined) life.isLeaving = true;
  }

  /** It said farewell and serves no more. */
  left(rank: number): void {
    const life = this.#lives.get(rank);
    if (life === undefined) return;
    life.isHere = false;
    life.leaseUntilMs = 0;
  }

  /** The lease that a heartbeat brings, milliseconds; 0: join again. Undefined for another incarnation than joined last. */
  heartbeat(rank: number, incarnation: number, nowMs: number): number | undefined {
    const life = this.#lives.get(rank);
    if (life === undefined || !life.isHere || life.incarnation !== incarnation) return undefined;
    life.heardMs = nowMs;
    life.isLost = false;
    if (life.isWithheld) return 0;
    life.leaseUntilMs = nowMs + this.#settings.leaseMs;
    return this.#settings.leaseMs;
  }

  /** The connection of its heartbeats has ended. */
  lost(rank: number, incarnation: number): void {
    const life = this.#lives.get(rank);
    if (life?.incarnation === incarnation) life.isLost = true;
  }

  /** No lease is granted any more until it joins again. Returns when the one it holds is over. */
  withhold(rank: number): number {
    const life = this.#lives.get(rank);
    if (life === undefined) return 0;
    life.isWithheld = true;
    life.misses += 1;
    return life.leaseUntilMs;
  }

  leaseUntilMs(rank: number): number {
    return this.#lives.get(rank)?.leaseUntilMs ?? 0;
  }

  /** When it was heard last, as far as silence counts. */
  heardMs(rank: number): number {
    return this.#lives.get(rank)?.heardMs ?? 0;
  }

  incarnation(rank: number): number | undefined {
    return this.#lives.get(rank)?.incarnation;
  }

  /** Silent, or its connection is lost. */
  isSuspect(rank: number, nowMs: number): boolean {
    const life = this.#lives.get(rank);
    return life?.isHere === true && !life.isLeaving && (life.isLost || nowMs - life.heardMs > SUSPECT_AFTER_MS);
  }

  /**
   * When it is to be excluded if no heartbeat comes; undefined: never. `deadAtMs`: when the others have found it dead.
   * That counts when its lease is over and it is silent here too: who can be heard by some and not by others is not dead.
   */
  exclusionAtMs(rank: number, deadAtMs?: number): number | undefined {
    const { excludeAfterMs, excludeDeadAfterMs } = this.#settings;
    const life = this.#lives.get(rank);
    if (life === undefined || excludeAfterMs === undefined) return undefined;
    const silentMs = life.heardMs + excludeAfterMs;
    if (deadAtMs === undefined) return silentMs;
    return Math.min(
      silentMs,
      Math.max(deadAtMs + excludeDeadAfterMs, life.leaseUntilMs, life.heardMs + SUSPECT_AFTER_MS),
    );
  }

  /**
   * Ranks that are to be excluded; `deadAtMs`: since when the others have found one dead. When it was us who slept,
   * nobody is blamed for that time.
   */
  tick(nowMs: number, deadAtMs: (rank: number) => number | undefined = () => undefined): number[] {
    const sleptMs = this.#tickedMs === undefined ? 0 : nowMs - this.#tickedMs;
    this.#tickedMs = nowMs;
    if (sleptMs > STALL_MS) for (const life of this.#lives.values()) life.heardMs += sleptMs;
    const here = [...this.#lives].filter(([, life]) => life.isHere && !life.isLeaving).map(([rank]) => rank);
    return here.filter((rank) => nowMs > (this.exclusionAtMs(rank, deadAtMs(rank)) ?? Number.POSITIVE_INFINITY));
  }
}
