/**
 * When a ring is turned: the rhythm of submission and completion in the target's own thread.
 *
 * All requests of one turn of the event loop are submitted by its end. While any are in flight the thread looks for
 * completions each turn. When a look finds none, what is expected decides: a completion that is due in a moment is
 * looked for again, that of a lone request is waited for in the kernel, for the rest the thread sleeps in its event loop
 * until the ring's wake-up. Figures behind the constants: docs/plugins.md.
 */
import type { Clock, Timers } from "../../../src/contracts/world.ts";
import { GapEstimate } from "./gap-estimate.ts";
import type { Ring } from "./ring.ts";

/** Completions due this soon are looked for turn by turn, nanoseconds: a wait in the kernel costs about as much. */
const SPIN_NS = 10_000;
/** Those due this soon are waited for in the kernel, microseconds; later ones let the thread sleep. */
const MOST_WAIT_US = 200;
/** One wait: all else that arrives may have to wait as long. A request that is alone is waited for in one. */
const WAIT_US = 50;
/** The event loop did nothing between two turns that are no further apart, nanoseconds. */
const IDLE_GAP_NS = 10_000;

export class Reaper {
  readonly #ring: Ring;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #settle: (id: number, result: number, nowNs: number) => void;
  readonly #turn = (): void => this.#run();
  /** Requests handed to the ring and not settled; the owner counts up, this counts down. */
  inFlight = 0;
  readonly #spinning = new GapEstimate(SPIN_NS);
  readonly #waiting = new GapEstimate(MOST_WAIT_US * 1000);
  readonly #lone = new GapEstimate(MOST_WAIT_US * 1000);
  #isScheduled = false;
  #isArmed = false;
  #lastTurnEndNs = 0;
  /** When looks began to find nothing; 0 when the last one found something. */
  #emptySinceNs = 0;
  /** What was decided then: not to sleep before, and whether to wait in the kernel meanwhile. */
  #awakeUntilNs = 0;
  #maySpendWaits = false;

  /** `settle` gets each completion; `nowNs` is the clock's time of the turn. It may push new requests and `kick`. */
  constructor(ring: Ring, clock: Clock, timers: Timers, settle: (id: number, result: number, nowNs: number) => void) {
    this.#ring = ring;
    this.#clock = clock;
    this.#timers = timers;
    this.#settle = settle;
  }

  /** Something was pushed: the ring is turned at the end of this turn of the event loop. */
  kick(): void {
    if (this.#isScheduled) return;
    if (this.#isArmed) this.#disarm();
    this.#schedule();
  }

  /** The ring's wake-up. Harmless when it comes late. */
  woken(): void {
    if (!this.#isArmed) return;
    this.#disarm();
    this.#run();
  }

  #run(): void {
    this.#isScheduled = false;
    if (this.inFlight === 0) return;
    const startNs = this.#clock.monotonicNs();
    const waitUs = this.#waitUs(startNs);
    const count = this.#ring.turn(waitUs);
    const nowNs = this.#clock.monotonicNs();
    if (waitUs === MOST_WAIT_US) this.#lone.sample(nowNs - startNs);
    this.#lastTurnEndNs = nowNs;
    if (count > 0) this.#found(count, nowNs);
    else this.#foundNone(nowNs);
  }

  #waitUs(nowNs: number): number {
    if (this.#emptySinceNs === 0) return this.inFlight === 1 && this.#lone.isExpected() ? MOST_WAIT_US : 0;
    return this.#maySpendWaits && nowNs - this.#lastTurnEndNs < IDLE_GAP_NS ? WAIT_US : 0;
  }

  #found(count: number, nowNs: number): void {
    if (this.#emptySinceNs > 0) {
      this.#spinning.sample(nowNs - this.#emptySinceNs);
      this.#waiting.sample(nowNs - this.#emptySinceNs);
      this.#emptySinceNs = 0;
    }
    this.inFlight -= count;
    for (let index = 0; index < count; index += 1) {
      this.#settle(this.#ring.completedId(index), this.#ring.completedResult(index), nowNs);
    }
    if (this.inFlight > 0 && !this.#isScheduled) this.#schedule();
  }

  #foundNone(nowNs: number): void {
    if (this.#emptySinceNs === 0) this.#decide(nowNs);
    if (nowNs >= this.#awakeUntilNs && this.#ring.arm()) this.#isArmed = true;
    else this.#schedule();
  }

  /** How to spend the time until the next completion. */
  #decide(nowNs: number): void {
    const maySpin = this.#spinning.isExpected();
    this.#emptySinceNs = nowNs;
    this.#maySpendWaits = !maySpin && this.#waiting.isExpected();
    this.#awakeUntilNs = nowNs + (maySpin ? 2 * SPIN_NS : this.#maySpendWaits ? MOST_WAIT_US * 1000 : 0);
  }

  #schedule(): void {
    this.#isScheduled = true;
    this.#timers.soon(this.#turn);
  }

  #disarm(): void {
    this.#isArmed = false;
    this.#ring.disarm();
  }
}
