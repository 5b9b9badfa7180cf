/**
 * How long operations took lately: counts in buckets of a quarter octave, so that a percentile is right within a fifth.
 * Old samples fade: when there are MOST_SAMPLES, all counts are halved. Bounded memory, a few nanoseconds a sample.
 */
import type { DeviceLatency } from "../../../src/contracts/block-device.ts";

const MOST_SAMPLES = 65_536;
/** Four for each power of two of microseconds, up to 2^31. */
const BUCKETS = 120;
const LONGEST_US = 2 ** 31 - 1;

export class LatencyHistogram {
  readonly #counts = new Float64Array(BUCKETS);
  #samples = 0;
  #sumUs = 0;

  record(latencyUs: number): void {
    const us = Math.min(Math.max(latencyUs, 0), LONGEST_US);
    const bucket = bucketOf(Math.floor(us));
    this.#counts[bucket] = this.#counts[bucket]! + 1;
    this.#samples += 1;
    this.#sumUs += us;
    if (this.#samples >= MOST_SAMPLES) this.#fade();
  }

  /** Undefined before the first sample. */
  summary(): DeviceLatency | undefined {
    if (this.#samples === 0) return undefined;
    return { averageUs: this.#sumUs / this.#samples, p99Us: this.#percentile(0.99) };
  }

  /** Upper end of the bucket that holds it. */
  #percentile(share: number): number {
    let missing = this.#samples * share;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      missing -= this.#counts[bucket]!;
      if (missing <= 0) return endOf(bucket);
    }
    return LONGEST_US;
  }

  #fade(): void {
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) this.#counts[bucket] = this.#counts[bucket]! / 2;
    this.#samples /= 2;
    this.#sumUs /= 2;
  }
}

function bucketOf(us: number): number {
  if (us < 4) return us;
  const exponent = 31 - Math.clz32(us);
  return 4 * (exponent - 1) + ((us >> (exponent - 2)) & 3);
}

/** The first microsecond after the bucket. */
function endOf(bucket: number): number {
  if (bucket < 4) return bucket + 1;
  const exponent = (bucket >> 2) + 1;
  return (4 + (bucket & 3) + 1) * 2 ** (exponent - 2);
}
