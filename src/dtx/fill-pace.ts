/**
 * The pace of filling on one target, for all its pools: what is read to be brought to others, and what is written that others
 * bring, is done in slices, each of a page at most. While nobody else wants anything of the target many run at a time, and
 * one after the other without a pause. While requests of clients are there, one runs at a time, and behind it comes a pause
 * so long that slices are under way for no more than the pool's share of the time.
 *
 * Who has the least redundancy left goes first. What an update waits for (`isUrgent`) waits for nothing here, and takes
 * nobody's turn.
 */
import { DEFAULT_REBUILD_SHARE } from "../base/limits.ts";
import type { Timers } from "../contracts/world.ts";
import type { RebuildPolicy } from "../format/engine-operations.ts";

/** Slices under way at a time while nobody else wants anything. */
const IDLE_SLICES = 32;
/** Without a request for so long nobody wants anything, milliseconds. */
const QUIET_MS = 20;
/** While something waits here, it is looked again so often, milliseconds. */
const LOOK_MS = 5;
/** What is less ahead of its time need not wait: timers are not finer, milliseconds. */
const FINENESS_MS = 1;
/** Longest pause behind one slice: it may have waited for others than this target, milliseconds. */
const MAX_REST_MS = 1_000;
/** See FillSlice.level. */
const FOLD_LEVEL = 256;
/** With this share filling waits for nobody. */
const WHOLE_SHARE = 100;

/**
 * What filling may do in a pool. `share`: of the time in which a target is at it while requests are there. `isPaused`: nothing is
 * brought but what updates wait for.
 */
export type FillPolicy = RebuildPolicy;
export const DEFAULT_FILL_POLICY: FillPolicy = { share: DEFAULT_REBUILD_SHARE, isPaused: false };

/** Requests of clients to this target, and of leaders for them. */
export interface Foreground {
  /** So many have come. */
  readonly count: number;
  /** The newest is not answered yet. */
  readonly isBusy: boolean;
}

/** What a piece of work is for. Asked again while it waits: call `look` when an answer changes. */
export interface FillSlice {
  /** Failures that what is brought stands until it is. */
  readonly level: number;
  readonly policy: () => FillPolicy;
  readonly isUrgent: () => boolean;
  /** Nobody wants it any more: it is to find that out by itself. */
  readonly isOver: () => boolean;
}

/** For what is folded because leaders have changed, or started anew: behind all that is missing somewhere, and never paused. */
export function foldSlice(policy: () => FillPolicy): FillSlice {
  const running = (): FillPolicy => ({ ...policy(), isPaused: false });
  return { level: FOLD_LEVEL, policy: running, isUrgent: () => false, isOver: () => false };
}

export interface FillPaceOptions {
  readonly timers: Timers;
  /** Monotonic, milliseconds. */
  readonly nowMs: () => number;
  readonly foreground: Foreground;
}

interface Waiter {
  readonly slice: FillSlice;
  /** Hears whether it counts among those under way. */
  readonly begin: (isCounted: boolean) => void;
}

export class FillPace {
  readonly #options: FillPaceOptions;
  /** Ascending by level; of one level in the order in which they came. */
  readonly #waiting: Waiter[] = [];
  /** Since the target started: brought to others, and written here that others brought. */
  readonly counts = { filledDkeys: 0, filledBytes: 0, receivedBytes: 0 };
  /** Slices under way that are not urgent. */
  #running = 0;
  /** While requests are there the next slice begins no earlier. */
  #freeAtMs = 0;
  /** Requests that were seen, and until when the newest of them counts. */
  #seen = 0;
  #activeUntilMs = 0;
  #isArmed = false;

  constructor(options: FillPaceOptions) {
    this.#options = options;
    this.#seen = options.foreground.count;
  }

  /** What the work results in, once it had its turn. */
  async run<Result>(slice: FillSlice, work: () => Promise<Result>): Promise<Result> {
    const { nowMs } = this.#options;
    const isCounted = this.#mayBegin(slice, nowMs()) ? this.#admit(slice) : await this.#turn(slice);
    if (!isCounted) return work();
    const beganMs = nowMs();
    try {
      return await work();
    } finally {
      this.#running -= 1;
      this.#rest(slice, beganMs);
      this.look();
    }
  }

  /** As `run`, for work that may have to wait for who waits for a turn: it waits for one and takes none, and others rest behind it. */
  async runBeside<Result>(slice: FillSlice, work: () => Promise<Result>): Promise<Result> {
    await this.run(slice, async () => {});
    const beganMs = this.#options.nowMs();
    try {
      return await work();
    } finally {
      this.#rest(slice, beganMs);
    }
  }

  /** What comes out of the generator, each step in a turn of its own. */
  async *each<Item>(slice: FillSlice, items: AsyncGenerator<Item, void, void>): AsyncGenerator<Item, void, void> {
    try {
      for (;;) {
        const step = await this.run(slice, () => items.next());
        if (step.done === true) return;
        yield step.value;
      }
    } finally {
      await items.return();
    }
  }

  /** Lets begin what may begin now. */
  look(): void {
    const now = this.#options.nowMs();
    for (let at = 0; at < this.#waiting.length;) {
      const { slice, begin } = this.#waiting[at]!;
      if (this.#mayBegin(slice, now)) {
        this.#waiting.splice(at, 1);
        begin(this.#admit(slice));
      } else at += 1;
    }
    this.#arm();
  }

  #turn(slice: FillSlice): Promise<boolean> {
    return new Promise((begin) => {
      const place = this.#waiting.findIndex((other) => other.slice.level > slice.level);
      this.#waiting.splice(place < 0 ? this.#waiting.length : place, 0, { slice, begin });
      this.#arm();
    });
  }

  /** Whether it takes somebody's turn. */
  #admit(slice: FillSlice): boolean {
    if (slice.isUrgent() || slice.isOver()) return false;
    this.#running += 1;
    return true;
  }

  #mayBegin(slice: FillSlice, now: number): boolean {
    if (slice.isUrgent() || slice.isOver()) return true;
    const { share, isPaused } = slice.policy();
    if (isPaused) return false;
    if (share >= WHOLE_SHARE || !this.#isWanted(now)) return this.#running < IDLE_SLICES;
    return this.#running === 0 && this.#freeAtMs <= now + FINENESS_MS;
  }

  /** Whether somebody else wants something of the target. */
  #isWanted(now: number): boolean {
    const { count, isBusy } = this.#options.foreground;
    if (count !== this.#seen || isBusy) this.#activeUntilMs = now + QUIET_MS;
    this.#seen = count;
    return now < this.#activeUntilMs;
  }

  #rest(slice: FillSlice, beganMs: number): void {
    const now = this.#options.nowMs();
    const { share } = slice.policy();
    if (share >= WHOLE_SHARE || !this.#isWanted(now)) return;
    const restMs = Math.min(MAX_REST_MS, ((now - beganMs) * (WHOLE_SHARE - share)) / share);
    this.#freeAtMs = Math.max(this.#freeAtMs, now) + restMs;
  }

  /** Looks again later, while somebody waits for more than the end of a pause that people have made. */
  #arm(): void {
    if (this.#isArmed || this.#waiting.every(({ slice }) => slice.policy().isPaused)) return;
    this.#isArmed = true;
    this.#options.timers.after(LOOK_MS, () => {
      this.#isArmed = false;
      this.look();
    });
  }
}
