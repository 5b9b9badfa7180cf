/**
 * Writes of an erasure-coded array. Full stripes become cells and parity; a piece of a stripe goes to its data shards and,
 * as it is, to every parity shard: no read before a write. Nothing is copied: data are views, parity is computed.
 */
import type { ShardPart } from "../../../src/contracts/redundancy.ts";
import type { ErasureCode } from "../../../native/isal/codec.ts";
import type { Geometry, StripeSplit } from "./geometry.ts";

export type Allocate = (length: number) => Uint8Array;

const NO_VIEWS: readonly Uint8Array[] = [];

/** The parts of a write; `bytes` undefined: their shape alone. */
export function writeParts(
  geometry: Geometry,
  code: ErasureCode,
  allocate: Allocate,
  address: number,
  length: number,
  bytes: Uint8Array | undefined,
): ShardPart[] {
  if (length === 0) return [];
  const parts: ShardPart[] = [];
  for (const shard of geometry.dataList) {
    const from = geometry.localAddress(shard, address);
    const to = geometry.localAddress(shard, address + length);
    if (from === to) continue;
    const views = bytes === undefined ? NO_VIEWS : cellViews(geometry, shard, from, to, address, bytes);
    parts.push({ shard, kind: "write", holds: "data", address: from, length: to - from, views });
  }
  const split = geometry.split(address, length);
  const parity = bytes === undefined ? [] : encodeStripes(geometry, code, allocate, split, address, bytes);
  geometry.parityList.forEach((shard, index) => {
    for (const { stripe, start, end } of split.partial) {
      const from = stripe * geometry.stripeBytes + start - address;
      parts.push({
        shard,
        kind: "write",
        holds: "replica",
        address: geometry.replicaAddress(stripe, start),
        length: end - start,
        views: bytes === undefined ? NO_VIEWS : [bytes.subarray(from, from + end - start)],
      });
    }
    for (let stripe = split.fullFrom; stripe < split.fullTo; stripe += 1) {
      const cell = parity[(stripe - split.fullFrom) * geometry.parityShards + index];
      parts.push(parityPart(geometry, shard, stripe, cell));
    }
    if (split.fullTo > split.fullFrom) parts.push(hiddenReplicas(geometry, shard, split.fullFrom, split.fullTo));
  });
  return parts;
}

/** Local bytes [from, to) of a data shard as views of what is written at `address`. */
function cellViews(
  geometry: Geometry,
  shard: number,
  from: number,
  to: number,
  address: number,
  bytes: Uint8Array,
): Uint8Array[] {
  const views: Uint8Array[] = [];
  for (let at = from; at < to;) {
    const next = Math.min(to, (Math.floor(at / geometry.cellBytes) + 1) * geometry.cellBytes);
    const start = geometry.arrayAddress(shard, at) - address;
    views.push(bytes.subarray(start, start + next - at));
    at = next;
  }
  return views;
}

/** The parity cells of the full stripes, stripe by stripe. */
function encodeStripes(
  geometry: Geometry,
  code: ErasureCode,
  allocate: Allocate,
  split: StripeSplit,
  address: number,
  bytes: Uint8Array,
): Uint8Array[] {
  const cells: Uint8Array[] = [];
  for (let stripe = split.fullFrom; stripe < split.fullTo; stripe += 1) {
    const start = stripe * geometry.stripeBytes - address;
    cells.push(...encodeStripe(geometry, code, allocate, bytes.subarray(start, start + geometry.stripeBytes)));
  }
  return cells;
}

/** The parity cells of one stripe. */
export function encodeStripe(
  geometry: Geometry,
  code: ErasureCode,
  allocate: Allocate,
  stripe: Uint8Array,
): Uint8Array[] {
  const { cellBytes, dataList, parityShards } = geometry;
  const data = dataList.map((shard) => stripe.subarray(shard * cellBytes, (shard + 1) * cellBytes));
  const memory = allocate(parityShards * cellBytes);
  const parity = geometry.parityList.map((_, index) => memory.subarray(index * cellBytes, (index + 1) * cellBytes));
  code.encode(data, parity);
  return parity;
}

export function parityPart(geometry: Geometry, shard: number, stripe: number, cell: Uint8Array | undefined): ShardPart {
  const views = cell === undefined ? NO_VIEWS : [cell];
  const address = geometry.parityAddress(stripe);
  return { shard, kind: "write", holds: "parity", address, length: geometry.cellBytes, views };
}

/** The replicas of stripes [from, to) are no longer needed: parity holds these bytes, or nothing does. */
export function hiddenReplicas(geometry: Geometry, shard: number, from: number, to: number): ShardPart {
  const address = geometry.replicaAddress(from, 0);
  const length = (to - from) * geometry.replicaStride;
  return { shard, kind: "punch", holds: "hidden", address, length, views: NO_VIEWS };
}

/** The parity of stripes [from, to) goes. */
export function droppedParity(geometry: Geometry, shard: number, from: number, to: number): ShardPart {
  const address = geometry.parityAddress(from);
  const length = geometry.parityAddress(to) - address;
  return { shard, kind: "punch", holds: "parity", address, length, views: NO_VIEWS };
}
