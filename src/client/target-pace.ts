/**
 * How quickly targets answer, as one client sees it. A call that has waited for longer than its target usually takes is
 * *late*: who sent it may ask another target as well (src/client/hedged-reads.ts). From then on the target is late, too, and
 * is asked last, until it has answered a probe in time: a read that another target was asked for besides.
 *
 * Time is counted in ticks of one timer, which runs while calls are open. Where this process stands still, one tick comes
 * and not many, so that nobody else is taken for slow.
 */
import type { Timers } from "../contracts/world.ts";

const TICK_MS = 5;
/** A call is late after so many times what 99 of 100 calls take, within these bounds, ticks. */
const LATE_FACTOR = 3;
const MIN_LATE_TICKS = 20 / TICK_MS;
const MAX_LATE_TICKS = 1_000 / TICK_MS;
/** The same as long as fewer calls than this have been answered. */
const FIRST_LATE_TICKS = 100 / TICK_MS;
const MIN_SAMPLES = 16;
/** After so many answers older ones count half. */
const RECENT_SAMPLES = 1_024;
/** By the power of two below so many ticks. */
const BUCKETS = 16;
/** Reads that are sent a second time: this share of all, and so many at once. */
const HEDGE_SHARE = 0.05;
const HEDGE_BURST = 32;
/** A target that has answered nothing for so many ticks, though it was asked, does not work: another does it instead of it. */
const SILENT_TICKS = 250 / TICK_MS;
/** Time between probes of a late target, ticks. */
const PROBE_TICKS = 500 / TICK_MS;
/** Calls kept before those that have ended are left out. */
const MIN_KEPT_CALLS = 1_024;

/** A call that somebody waits for. */
export interface PacedCall {
  readonly isSettled: boolean;
  /** When it was sent. */
  startedTick: number;
  /** It is late, ever more so; true: it need not be told again. */
  late(): boolean;
}

/** All targets of a client. */
export class TargetPaces {
  readonly #timers: Timers;
  readonly #open = new Set<TargetPace>();
  readonly #late = new Set<TargetPace>();
  #isTicking = false;
  #tokens = HEDGE_BURST;
  tick = 0;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** Whether some target is late. */
  get hasLate(): boolean {
    return this.#late.size > 0;
  }

  /** Of a target. */
  newPace(): TargetPace {
    return new TargetPace(this, this.#late);
  }

  /** A read was sent that may have to be sent twice. */
  readBegan(): void {
    if (this.#tokens < HEDGE_BURST) this.#tokens += HEDGE_SHARE;
  }

  /** Whether a read may be sent a second time now, which then is counted. */
  takeHedge(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** This target has open calls. */
  watch(pace: TargetPace): void {
    this.#open.add(pace);
    if (!this.#isTicking) this.#start();
  }

  #start(): void {
    this.#isTicking = true;
    this.#timers.after(TICK_MS, () => {
      this.tick += 1;
      for (const pace of this.#open) if (!pace.ticked()) this.#open.delete(pace);
      this.#isTicking = false;
      if (this.#open.size > 0) this.#start();
    });
  }
}

export class TargetPace {
  readonly #paces: TargetPaces;
  readonly #late: Set<TargetPace>;
  readonly #counts = new Float64Array(BUCKETS);
  #samples = 0;
  #lateTicks = FIRST_LATE_TICKS;
  /** In the order of their starts, with some that have ended. */
  #calls: PacedCall[] = [];
  #keptCalls = MIN_KEPT_CALLS;
  #isWatched = false;
  #answeredTick = -1;
  #probedTick = -PROBE_TICKS;
  #isProbing = false;

  constructor(paces: TargetPaces, late: Set<TargetPace>) {
    this.#paces = paces;
    this.#late = late;
  }

  /** To be asked last. */
  get isLate(): boolean {
    return this.#late.has(this);
  }

  /** A call is sent to the target; it is watched until it has settled, or `late` was told and has said that this is enough. */
  began(call: PacedCall): void {
    call.startedTick = this.#paces.tick;
    this.#calls.push(call);
    if (this.#calls.length > this.#keptCalls) this.#leaveOutSettled();
    if (this.#isWatched) return;
    this.#isWatched = true;
    this.#paces.watch(this);
  }

  /** The target has answered something. */
  heard(): void {
    this.#answeredTick = this.#paces.tick;
  }

  /** The target has answered a read that began at `startedTick`. */
  answered(startedTick: number): void {
    const { tick } = this.#paces;
    this.#answeredTick = tick;
    const bucket = 32 - Math.clz32(tick - startedTick);
    this.#counts[bucket < BUCKETS ? bucket : BUCKETS - 1]! += 1;
    this.#samples += 1;
    if (this.#samples >= RECENT_SAMPLES) this.#forgetHalf();
    else if (this.#samples === MIN_SAMPLES) this.#lateTicks = this.#lateAfter();
  }

  /** Another target was asked besides. */
  markLate(): void {
    this.#late.add(this);
  }

  /** Whether it is late, and is to be asked besides another one, to see whether it still is. Then `probed` is to be told. */
  takeProbe(): boolean {
    if (!this.isLate || this.#isProbing || this.#paces.tick - this.#probedTick < PROBE_TICKS) return false;
    this.#probedTick = this.#paces.tick;
    this.#isProbing = true;
    return true;
  }

  /** The probe was answered, or has failed. */
  probed(isAnswered: boolean): void {
    this.#isProbing = false;
    if (isAnswered && this.#paces.tick - this.#probedTick < this.#lateTicks) this.#late.delete(this);
  }

  /** Whether it has answered nothing for so long, with a call open since `startedTick`, that it does not seem to work at all. */
  isSilentSince(startedTick: number, ticks = SILENT_TICKS): boolean {
    return this.#paces.tick - Math.max(startedTick, this.#answeredTick) >= ticks;
  }

  /** Whether it has answered nothing for `ms`, though a call was open all the time. */
  isSilent(ms: number): boolean {
    const oldest = this.#calls.find(({ isSettled }) => !isSettled);
    return oldest !== undefined && this.isSilentSince(oldest.startedTick, ms / TICK_MS);
  }

  /** Tells the calls that are late; false when none is open. */
  ticked(): boolean {
    const lateBefore = this.#paces.tick - this.#lateTicks;
    this.#calls = this.#calls.filter((call) => {
      if (call.isSettled) return false;
      return call.startedTick > lateBefore || !call.late();
    });
    this.#isWatched = this.#calls.length > 0;
    return this.#isWatched;
  }

  #leaveOutSettled(): void {
    this.#calls = this.#calls.filter(({ isSettled }) => !isSettled);
    this.#keptCalls = Math.max(MIN_KEPT_CALLS, this.#calls.length * 2);
  }

  #forgetHalf(): void {
    this.#lateTicks = this.#lateAfter();
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) this.#counts[bucket]! /= 2;
    this.#samples /= 2;
  }

  /** From the recent answers, of which at least MIN_SAMPLES are known. */
  #lateAfter(): number {
    let slower = this.#samples * 0.01;
    let bucket = BUCKETS - 1;
    for (; bucket > 0; bucket -= 1) {
      slower -= this.#counts[bucket]!;
      if (slower < 0) break;
    }
    return Math.min(MAX_LATE_TICKS, Math.max(MIN_LATE_TICKS, LATE_FACTOR * 2 ** bucket));
  }
}
