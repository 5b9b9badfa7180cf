/**
 * One erasure-coded class as a redundancy scheme: k data shards, p parity shards, any p of them may be lost.
 */
import { DaosError } from "../../../src/base/errors.ts";
import type { Epoch } from "../../../src/base/epoch.ts";
import { type ArrayRun, joinRuns } from "../../../src/base/extent-runs.ts";
import type {
  AddressSpace,
  ArrayContent,
  DataExtent,
  EpochPart,
  Fold,
  Plan,
  RedundancyScheme,
  ShardPart,
  ValueContent,
} from "../../../src/contracts/redundancy.ts";
import { cutExtent } from "../extents.ts";
import { steppedPlan } from "../plan.ts";
import { foldStripe } from "./fold-plan.ts";
import { PARITY_BASE, PARITY_STRIDE_BYTES } from "./geometry.ts";
import { punchParts, restOfPunch } from "./punch-plan.ts";
import { readArray } from "./read-plan.ts";
import { rebuildArray } from "./rebuild-plan.ts";
import { type Group, isData } from "./stripe-state.ts";
import { readValue, rebuildValue, valueParts } from "./value-plan.ts";
import { writeParts } from "./write-plan.ts";

export class ErasureScheme implements RedundancyScheme {
  readonly redundancy: string;
  readonly shardCount: number;
  readonly dataShards: number;
  readonly toleratedFailures: number;
  readonly leastShardsToWrite: number;
  readonly leastShardsToRead: number;
  readonly stripeBytes: number;
  readonly maxArrayBytes: number;
  readonly #group: Group;

  constructor(redundancy: string, group: Group) {
    const { geometry } = group;
    this.redundancy = redundancy;
    this.shardCount = geometry.shardCount;
    this.dataShards = geometry.dataShards;
    this.toleratedFailures = geometry.parityShards;
    this.leastShardsToWrite = geometry.dataShards;
    this.leastShardsToRead = geometry.dataShards;
    this.stripeBytes = geometry.stripeBytes;
    this.maxArrayBytes = geometry.maxArrayBytes;
    this.#group = group;
  }

  /** A parity shard hears of every update; the last one leaves the first for readers that decode. */
  leader(alive: readonly number[]): number {
    if (alive.length >= this.dataShards) return this.#leader(alive);
    const state = `${alive.length} of the group's shards are up, ${this.dataShards} are needed`;
    throw new DaosError("UNAVAILABLE", `Cannot order updates: ${state}. Bring their engines back.`);
  }

  planWrite(address: number, length: number, bytes?: Uint8Array): readonly ShardPart[] {
    const { geometry, code, allocate } = this.#group;
    geometry.checkRange(address, length);
    return writeParts(geometry, code, allocate, address, length, bytes);
  }

  planValue(length: number, bytes?: Uint8Array): readonly ShardPart[] {
    return valueParts(this.#group, length, bytes);
  }

  planPunch(address: number, length: number, alive: readonly number[]): Plan<readonly ArrayRun[]> | undefined {
    if (alive.length < this.dataShards) return undefined;
    return steppedPlan(restOfPunch(this.#group, address, this.#cut(address, length), this.#leader(alive), alive));
  }

  punchParts(address: number, length: number, rest: readonly ArrayRun[]): readonly ShardPart[] {
    return punchParts(this.#group.geometry, address, this.#cut(address, length), rest);
  }

  #cut(address: number, length: number): number {
    return Math.max(0, Math.min(length, this.maxArrayBytes - address));
  }

  planRead(
    address: number,
    length: number,
    epoch: Epoch,
    alive: readonly number[],
    into?: Uint8Array,
  ): Plan<ArrayContent> | undefined {
    this.#group.geometry.checkRange(address, length);
    if (alive.length < this.dataShards) return undefined;
    return steppedPlan(readArray(this.#group, address, length, epoch, alive, into));
  }

  planValueRead(epoch: Epoch, alive: readonly number[]): Plan<ValueContent | "absent"> | undefined {
    if (alive.length < this.dataShards) return undefined;
    return steppedPlan(readValue(this.#group, epoch, alive));
  }

  /** A parity shard knows every stripe: whole where it has parity, to the byte where it has replicas. */
  extentShards(alive: readonly number[]): readonly number[] | undefined {
    if (alive.length < this.dataShards) return undefined;
    const leader = this.#leader(alive);
    return isData(this.#group.geometry, leader) ? this.#group.geometry.dataList : [leader];
  }

  addressSpaces(shard: number, from = 0): readonly AddressSpace[] {
    return this.#group.geometry.spaces(shard, Math.floor(from / this.stripeBytes));
  }

  footprint(shard: number, address: number, length: number): readonly AddressSpace[] {
    const { geometry } = this.#group;
    if (length === 0) return [];
    const end = address + length;
    if (isData(geometry, shard)) {
      const [from, to] = [geometry.localAddress(shard, address), geometry.localAddress(shard, end)];
      return from === to ? [] : [{ start: from, end: to }];
    }
    const { stripeBytes, cellBytes } = geometry;
    const first = Math.floor(address / stripeBytes);
    const last = Math.floor((end - 1) / stripeBytes);
    return [
      {
        start: geometry.replicaAddress(first, address - first * stripeBytes),
        end: geometry.replicaAddress(last, end - last * stripeBytes),
      },
      { start: geometry.parityAddress(first), end: geometry.parityAddress(last) + cellBytes },
    ];
  }

  arrayExtents(shard: number, extents: readonly DataExtent[]): readonly DataExtent[] {
    return joinRuns(extents.flatMap((extent) => this.#arrayExtents(shard, extent)));
  }

  stripesToFold(shard: number, extents: readonly DataExtent[]): readonly number[] {
    if (isData(this.#group.geometry, shard)) return [];
    const { replicaStride } = this.#group.geometry;
    const stripes = new Set<number>();
    for (const { address, length } of extents) {
      if (address >= PARITY_BASE) continue;
      const last = Math.floor((address + length - 1) / replicaStride);
      for (let stripe = Math.floor(address / replicaStride); stripe <= last; stripe += 1) stripes.add(stripe);
    }
    return [...stripes];
  }

  planFold(stripe: number, epoch: Epoch, alive: readonly number[]): Plan<Fold> | undefined {
    if (alive.length < this.dataShards) return undefined;
    return steppedPlan(foldStripe(this.#group, stripe, epoch, this.#leader(alive), alive));
  }

  planRebuild(
    lost: number,
    address: number,
    length: number,
    epoch: Epoch,
    alive: readonly number[],
  ): Plan<readonly EpochPart[]> | undefined {
    if (alive.length < this.dataShards) return undefined;
    return steppedPlan(rebuildArray({ group: this.#group, lost, epoch, alive }, address, length));
  }

  planValueRebuild(lost: number, epoch: Epoch, alive: readonly number[]): Plan<readonly EpochPart[]> | undefined {
    if (alive.length < this.dataShards) return undefined;
    return steppedPlan(rebuildValue(this.#group, lost, epoch, alive));
  }

  #leader(alive: readonly number[]): number {
    const last = alive.at(-1)!;
    return isData(this.#group.geometry, last) ? alive[0]! : last;
  }

  /** Cut where cells and stripes end. */
  #arrayExtents(shard: number, extent: DataExtent): DataExtent[] {
    const { geometry } = this.#group;
    const { cellBytes, stripeBytes, replicaStride } = geometry;
    const isReplica = !isData(geometry, shard) && extent.address < PARITY_BASE;
    const step = isData(geometry, shard) ? cellBytes : isReplica ? replicaStride : PARITY_STRIDE_BYTES;
    const base = isData(geometry, shard) || isReplica ? 0 : PARITY_BASE;
    const end = extent.address + extent.length;
    const pieces: DataExtent[] = [];
    for (let index = Math.floor((extent.address - base) / step); base + index * step < end; index += 1) {
      const start = base + index * step;
      if (isReplica || isData(geometry, shard)) {
        const target = index * stripeBytes + (isReplica ? 0 : shard * cellBytes);
        pieces.push(cutExtent(extent, start, start + step, target - start)!);
      } else {
        pieces.push({ address: index * stripeBytes, length: stripeBytes, epoch: extent.epoch });
      }
    }
    return pieces;
  }
}
