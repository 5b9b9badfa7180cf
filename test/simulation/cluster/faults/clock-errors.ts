/**
 * Clocks that are wrong: each node and client is off by some time and drifts, is set forward or back now and then, and its
 * monotonic clock has a rate of its own.
 */
import type { NodeClock } from "../node-clock.ts";
import type { ClusterNode } from "../node.ts";
import { around, type FaultKind, type FaultParts, spanMs } from "./fault-kind.ts";

/** Usual error and drift of a wall clock, and of the rate of a monotonic one. */
const SKEW_MS = 40;
const DRIFT_PPM = 500;
const RATE_PPM = 200;
/** Errors that are not usual. */
const LARGE_SKEW_MS = 900;
const HUGE_SKEW_MS = 5_000;
/** Longest time until a clock is set right again. */
const WRONG_MS = 5_000;

export function clockKind(parts: FaultParts): FaultKind {
  return new ClockErrors(parts);
}

class ClockErrors implements FaultKind {
  readonly name = "clock";
  readonly weight = 3;
  readonly #parts: FaultParts;
  /** Until this moment of the common clock epochs may be given out that are ahead of it. */
  #aheadUntilMs = 0;

  constructor(parts: FaultParts) {
    this.#parts = parts;
  }

  get #clocks(): NodeClock[] {
    const { nodes, clients } = this.#parts.cluster;
    return [...nodes, ...clients].map(({ clock }) => clock);
  }

  get #nowMs(): number {
    return this.#parts.cluster.clock.monotonicNs() / 1e6;
  }

  begin(): void {
    const { random } = this.#parts;
    for (const clock of this.#clocks) {
      clock.skewMs = around(random, random.next() < 0.05 ? HUGE_SKEW_MS : SKEW_MS);
      clock.driftPpm = around(random, DRIFT_PPM);
      clock.ratePpm = around(random, RATE_PPM);
    }
  }

  strike(node: ClusterNode): void {
    const { random, note, cluster } = this.#parts;
    const { clients } = cluster;
    const { name, clock } = random.next() < 0.7 ? node : clients[random.below(clients.length)]!;
    const draw = random.next();
    const jumpMs = around(random, draw < 0.5 ? 3 * SKEW_MS : draw < 0.85 ? LARGE_SKEW_MS : HUGE_SKEW_MS);
    note("clock", `${name} jumps by ${jumpMs.toFixed(0)} ms`);
    this.#set(clock, clock.skewMs + jumpMs);
    cluster.timers.after(spanMs(random, 20, WRONG_MS), () => this.#set(clock, around(random, SKEW_MS)));
  }

  #set(clock: NodeClock, skewMs: number): void {
    this.#noteAhead(clock);
    clock.skewMs = skewMs;
  }

  #noteAhead(clock: NodeClock): void {
    this.#aheadUntilMs = Math.max(this.#aheadUntilMs, this.#nowMs + clock.aheadMs);
  }

  /** Sets all clocks right, and waits until time has caught up with the epochs of those that were ahead. */
  async heal(): Promise<void> {
    for (const clock of this.#clocks) {
      this.#set(clock, 0);
      clock.driftPpm = 0;
    }
    await this.#parts.cluster.timers.advance(Math.max(0, this.#aheadUntilMs - this.#nowMs));
  }
}
