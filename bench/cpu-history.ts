/**
 * CPU time of other processes over time, so that afterwards that of any interval can be told: who measures them knows only
 * later when it began.
 */
const SAMPLE_MS = 25;

export class CpuHistory {
  readonly #samples: { readonly atMs: number; readonly us: number }[] = [];
  readonly #timer: ReturnType<typeof setInterval>;

  /** `spentUs`: CPU time so far. */
  constructor(spentUs: () => number, now: () => number = Date.now) {
    const sample = (): void => void this.#samples.push({ atMs: now(), us: spentUs() });
    sample();
    this.#timer = setInterval(sample, SAMPLE_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Between two moments, milliseconds since 1970, microseconds of CPU. Throws RangeError when it was not looked then. */
  spentUs(fromMs: number, toMs: number): number {
    return this.untilUs(toMs) - this.untilUs(fromMs);
  }

  /** Until this moment. */
  untilUs(ms: number): number {
    const index = this.#samples.findIndex(({ atMs }) => atMs >= ms);
    const after = this.#samples[index];
    const before = this.#samples[index - 1];
    if (after === undefined || before === undefined) {
      throw new RangeError(`no CPU time is known of the moment ${ms}`);
    }
    const share = (ms - before.atMs) / (after.atMs - before.atMs);
    return before.us + share * (after.us - before.us);
  }
}
