/**
 * Latencies in logarithmic buckets, as HdrHistogram has them: 64 a power of two, so that a percentile is at most 1.6 %
 * off, in fixed memory and a few nanoseconds a sample.
 */

/** Unit of the smallest bucket, nanoseconds. */
const UNIT_NS = 16;
const SUB_BUCKETS = 64;
const SUB_BUCKET_BITS = 6;
/** Highest value a bucket tells apart, units: about 68 s. */
const MAX_UNITS = 0xffff_ffff;

export class LatencyHistogram {
  readonly #counts = new Float64Array((32 - SUB_BUCKET_BITS + 1) * SUB_BUCKETS);
  #count = 0;
  #sumNs = 0;
  #maxNs = 0;

  get count(): number {
    return this.#count;
  }

  get meanUs(): number {
    return this.#count === 0 ? 0 : this.#sumNs / this.#count / 1000;
  }

  get maxUs(): number {
    return this.#maxNs / 1000;
  }

  /** A sample, nanoseconds; one below zero counts as zero. */
  record(latencyNs: number): void {
    const ns = latencyNs > 0 ? latencyNs : 0;
    this.#counts[bucketOf(ns)]! += 1;
    this.#count += 1;
    this.#sumNs += ns;
    if (ns > this.#maxNs) this.#maxNs = ns;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#sumNs = 0;
    this.#maxNs = 0;
  }

  /** The latency that `fraction` (0 to 1) of the samples do not exceed, microseconds; 0 without samples. */
  percentileUs(fraction: number): number {
    const rank = Math.max(1, Math.ceil(this.#count * fraction));
    let seen = 0;
    for (let bucket = 0; bucket < this.#counts.length; bucket += 1) {
      seen += this.#counts[bucket]!;
      if (seen >= rank) return Math.min(middleNs(bucket), this.#maxNs) / 1000;
    }
    return 0;
  }
}

/** Values below 64 units have a bucket each; above, the leading 7 bits name the bucket. */
function bucketOf(ns: number): number {
  const units = Math.min(Math.floor(ns / UNIT_NS), MAX_UNITS);
  if (units < SUB_BUCKETS) return units;
  const shift = 31 - Math.clz32(units) - SUB_BUCKET_BITS;
  return (shift + 1) * SUB_BUCKETS + ((units >>> shift) & (SUB_BUCKETS - 1));
}

function middleNs(bucket: number): number {
  if (bucket < SUB_BUCKETS) return (bucket + 0.5) * UNIT_NS;
  const shift = Math.floor(bucket / SUB_BUCKETS) - 1;
  const leading = (bucket % SUB_BUCKETS) + SUB_BUCKETS;
  return (leading + 0.5) * 2 ** shift * UNIT_NS;
}
