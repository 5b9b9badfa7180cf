/**
 * Keeps prepared records out of the way of settling. Segments that hold an undecided record are not settled: their
 * records get a while to be decided, then those that are not are moved to the head of the log. Where the log is short of
 * room they are moved at once. So a transaction that nobody decides on never keeps the log from being recycled.
 */
import type { Timers } from "../contracts/world.ts";
import type { PreparedRecords } from "./prepared-records.ts";

/** So long the settling of segments waits for decisions. */
export const UNDECIDED_WAIT_MS = 500;
const POLL_MS = 20;

export class SettleHold {
  readonly #timers: Timers;
  readonly #prepared: PreparedRecords;
  readonly #retry: () => void;
  #waitedMs = 0;
  #isStuck = false;
  #timer: (() => void) | undefined;
  /** Last record of the log when records were moved last. */
  movedSequence = Number.NEGATIVE_INFINITY;

  /** `retry` is called when `clears` is worth another try. */
  constructor(timers: Timers, prepared: PreparedRecords, retry: () => void) {
    this.#timers = timers;
    this.#prepared = prepared;
    this.#retry = retry;
  }

  /** True while nothing is to be settled: decisions are waited for, which `isUrgent` ends, or room in the log. */
  isWaiting(isUrgent: boolean): boolean {
    return this.#timer !== undefined && (this.#isStuck || !isUrgent);
  }

  /**
   * True when what the log has up to `lastSequence` may be settled once `log.lastSequence` of now is durable. `isUrgent`:
   * there is no time to wait for decisions. `lastLogged` gives the log's last sequence.
   */
  clears(lastSequence: number, isUrgent: boolean, lastLogged: () => number): boolean {
    const prepared = this.#prepared;
    if (prepared.holds(lastSequence)) {
      if (!isUrgent && this.#waitedMs < UNDECIDED_WAIT_MS) {
        this.#wait(false);
        return false;
      }
      if (!prepared.move(lastSequence)) {
        this.#wait(true);
        return false;
      }
      this.movedSequence = lastLogged();
    }
    this.#waitedMs = 0;
    return true;
  }

  #wait(isStuck: boolean): void {
    this.#isStuck = isStuck;
    this.#timer?.();
    this.#timer = this.#timers.after(POLL_MS, () => {
      this.#timer = undefined;
      this.#waitedMs += POLL_MS;
      this.#retry();
    });
  }

  stop(): void {
    this.#timer?.();
    this.#timer = undefined;
  }
}
