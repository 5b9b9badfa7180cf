/**
 * Where the bytes of an erasure-coded array lie. Pure arithmetic.
 *
 * Stripe s is array bytes [s x stripeBytes, (s + 1) x stripeBytes): one cell on each data shard. A data shard's cells lie
 * end to end: cell s at local address s x cellBytes, so that any range of the array is one range on each data shard.
 * A parity shard has two spaces:
 *
 *     from 0      the replicas: stripe s at s x replicaStride, byte for byte, as far as its bytes are not in parity
 *     from 2^52   the parity: stripe s at 2^52 + s x 1 MiB
 *
 * Both strides are whole MiB. The store keeps arrays in windows of up to 1 MiB and may merge what a window holds under one
 * epoch; this way it never merges two stripes, so the epoch of parity stays its own, and no two parts of one write meet.
 */
import { DaosError } from "../../../src/base/errors.ts";
import { MAX_ARRAY_BYTES, MIB } from "../../../src/base/limits.ts";
import type { AddressSpace } from "../../../src/contracts/redundancy.ts";

export const PARITY_BASE = 2 ** 52;
export const PARITY_STRIDE_BYTES = 1 * MIB;

/** The whole cells of a range, and the pieces of stripes at its ends. */
export interface StripeSplit {
  /** Stripes [fullFrom, fullTo) are covered wholly. */
  readonly fullFrom: number;
  readonly fullTo: number;
  /** The others, at most two. */
  readonly partial: readonly StripeRange[];
}

/** Bytes [start, end) of a stripe, counted from its first. */
export interface StripeRange {
  readonly stripe: number;
  readonly start: number;
  readonly end: number;
}

/** The same bytes [low, high) of some cells of a stripe. */
export interface Slice {
  readonly stripe: number;
  readonly low: number;
  readonly high: number;
  /** The data shards whose bytes are asked for, ascending. */
  readonly wanted: readonly number[];
}

export class Geometry {
  readonly dataShards: number;
  readonly parityShards: number;
  readonly shardCount: number;
  readonly cellBytes: number;
  readonly stripeBytes: number;
  readonly replicaStride: number;
  readonly maxStripes: number;
  readonly maxArrayBytes: number;
  /** 0 .. dataShards - 1, and the parity shards after them. */
  readonly dataList: readonly number[];
  readonly parityList: readonly number[];

  constructor(dataShards: number, parityShards: number, cellBytes: number) {
    this.dataShards = dataShards;
    this.parityShards = parityShards;
    this.shardCount = dataShards + parityShards;
    this.cellBytes = cellBytes;
    this.stripeBytes = dataShards * cellBytes;
    this.replicaStride = Math.ceil(this.stripeBytes / MIB) * MIB;
    const inReplicas = Math.floor(PARITY_BASE / this.replicaStride);
    const inParity = Math.floor((MAX_ARRAY_BYTES - PARITY_BASE) / PARITY_STRIDE_BYTES);
    this.maxStripes = Math.min(inReplicas, inParity);
    this.maxArrayBytes = Math.min(this.maxStripes * this.stripeBytes, MAX_ARRAY_BYTES);
    this.dataList = Array.from({ length: dataShards }, (_, index) => index);
    this.parityList = Array.from({ length: parityShards }, (_, index) => dataShards + index);
  }

  parityAddress(stripe: number): number {
    return PARITY_BASE + stripe * PARITY_STRIDE_BYTES;
  }

  replicaAddress(stripe: number, within: number): number {
    return stripe * this.replicaStride + within;
  }

  /** Bytes of the array below `address` that lie on this data shard: the local address where what follows begins. */
  localAddress(shard: number, address: number): number {
    const stripe = Math.floor(address / this.stripeBytes);
    const within = address - stripe * this.stripeBytes - shard * this.cellBytes;
    return stripe * this.cellBytes + Math.min(Math.max(within, 0), this.cellBytes);
  }

  /** The array address of a data shard's local address. */
  arrayAddress(shard: number, local: number): number {
    const stripe = Math.floor(local / this.cellBytes);
    return stripe * this.stripeBytes + shard * this.cellBytes + (local - stripe * this.cellBytes);
  }

  /** Throws TOO_LARGE. */
  checkRange(address: number, length: number): void {
    if (address + length <= this.maxArrayBytes) return;
    throw new DaosError(
      "TOO_LARGE",
      `Cannot use bytes up to ${address + length}: an array of this class has at most ${this.maxArrayBytes}. ` +
        "Use more dkeys.",
    );
  }

  split(address: number, length: number): StripeSplit {
    const end = address + length;
    const fullFrom = Math.ceil(address / this.stripeBytes);
    const fullTo = Math.max(fullFrom, Math.floor(end / this.stripeBytes));
    if (fullFrom === fullTo) return { fullFrom, fullTo, partial: [...this.stripes(address, length)] };
    const partial: StripeRange[] = [];
    const from = fullFrom * this.stripeBytes;
    const to = fullTo * this.stripeBytes;
    if (address < from)
      partial.push({ stripe: fullFrom - 1, start: this.stripeBytes - (from - address), end: this.stripeBytes });
    if (to < end) partial.push({ stripe: fullTo, start: 0, end: end - to });
    return { fullFrom, fullTo, partial };
  }

  /** The stripes that a range touches, each with the bytes of it. */
  *stripes(address: number, length: number): Generator<StripeRange> {
    const end = address + length;
    for (let at = address; at < end;) {
      const stripe = Math.floor(at / this.stripeBytes);
      const base = stripe * this.stripeBytes;
      const to = Math.min(end, base + this.stripeBytes);
      yield { stripe, start: at - base, end: to - base };
      at = to;
    }
  }

  /** Slices that make up a part of a stripe: at most three, in each of which the same cells are asked for throughout. */
  slices(range: StripeRange): Slice[] {
    const { cellBytes } = this;
    const first = Math.floor(range.start / cellBytes);
    const last = Math.floor((range.end - 1) / cellBytes);
    const low = range.start - first * cellBytes;
    const high = range.end - last * cellBytes;
    if (first === last) return [{ stripe: range.stripe, low, high, wanted: [first] }];
    const cuts = [...new Set([0, low, high, cellBytes])].sort((left, right) => left - right);
    const slices: Slice[] = [];
    for (let index = 1; index < cuts.length; index += 1) {
      const from = cuts[index - 1]!;
      const to = cuts[index]!;
      const wanted = this.dataList.filter(
        (shard) =>
          (shard > first || (shard === first && from >= low)) && (shard < last || (shard === last && to <= high)),
      );
      if (wanted.length > 0) slices.push({ stripe: range.stripe, low: from, high: to, wanted });
    }
    return slices;
  }

  /** Where a shard keeps the stripes from `from` on. */
  spaces(shard: number, from: number): readonly AddressSpace[] {
    if (shard < this.dataShards) return [{ start: from * this.cellBytes, end: this.maxStripes * this.cellBytes }];
    return [
      { start: this.replicaAddress(from, 0), end: this.replicaAddress(this.maxStripes, 0) },
      { start: this.parityAddress(from), end: this.parityAddress(this.maxStripes) },
    ];
  }
}
