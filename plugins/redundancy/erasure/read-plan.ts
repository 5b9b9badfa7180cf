/**
 * Reads of an erasure-coded array. Data shards alone while those asked for are alive; else, slice by slice, parity and
 * replicas first, then the other cells as of the parity's epoch. All slices of a range go through their rounds together.
 */
import type { Epoch } from "../../../src/base/epoch.ts";
import type { ArrayContent, DataExtent, ShardReadResult } from "../../../src/contracts/redundancy.ts";
import { assembleContent, type ContentPiece, cutExtent } from "../extents.ts";
import { type Steps, single, together } from "../plan.ts";
import type { Geometry, Slice } from "./geometry.ts";
import { arrayRead, columnContent, type Group, readStripeSlice } from "./stripe-state.ts";

export function* readArray(
  group: Group,
  address: number,
  length: number,
  epoch: Epoch,
  alive: readonly number[],
  into?: Uint8Array,
): Steps<ArrayContent> {
  const { geometry } = group;
  if (length === 0) return assembleContent(address, length, []);
  const columns = geometry.dataList.filter(
    (shard) => geometry.localAddress(shard, address) < geometry.localAddress(shard, address + length),
  );
  const works = columns.every((shard) => alive.includes(shard))
    ? columns.map((shard) => readColumn(geometry, shard, address, length, epoch))
    : [...geometry.stripes(address, length)]
        .flatMap((range) => geometry.slices(range))
        .map((slice) => readSlice(group, slice, epoch, alive));
  return assembleContent(address, length, (yield* together(works)).flat(), into);
}

/** One data shard's share of a range, which is one range there. */
function* readColumn(
  geometry: Geometry,
  shard: number,
  address: number,
  length: number,
  epoch: Epoch,
): Steps<ContentPiece[]> {
  const from = geometry.localAddress(shard, address);
  const to = geometry.localAddress(shard, address + length);
  return columnPieces(geometry, shard, from, yield* single(arrayRead(shard, from, to - from, epoch)));
}

function* readSlice(group: Group, slice: Slice, epoch: Epoch, alive: readonly number[]): Steps<ContentPiece[]> {
  const { geometry } = group;
  const lost = slice.wanted.filter((shard) => !alive.includes(shard));
  if (lost.length > 0) {
    const state = yield* readStripeSlice(group, slice, lost, epoch, alive);
    return slice.wanted.flatMap((shard) => {
      const { bytes, extents } = columnContent(geometry, slice, state, shard);
      const base = slice.stripe * geometry.stripeBytes + shard * geometry.cellBytes;
      return extents.map((extent) => pieceOf(extent, bytes, slice.low, base));
    });
  }
  const local = slice.stripe * geometry.cellBytes + slice.low;
  const results = yield slice.wanted.map((shard) => arrayRead(shard, local, slice.high - slice.low, epoch));
  return slice.wanted.flatMap((shard, index) => columnPieces(geometry, shard, local, results[index]!));
}

/** What a data shard read from local address `from` on, as pieces of the array: cut where cells end. */
function columnPieces(geometry: Geometry, shard: number, from: number, result: ShardReadResult): ContentPiece[] {
  const { cellBytes } = geometry;
  const pieces: ContentPiece[] = [];
  for (const extent of result.extents) {
    const end = extent.address + extent.length;
    for (let at = extent.address; at < end;) {
      const next = Math.min(end, (Math.floor(at / cellBytes) + 1) * cellBytes);
      const cut = cutExtent(extent, at, next, geometry.arrayAddress(shard, at) - at)!;
      pieces.push({ extent: cut, bytes: result.bytes.subarray(at - from, next - from) });
      at = next;
    }
  }
  return pieces;
}

/** An extent that counts from a cell's first byte, whose array address is `base`; `bytes` begin at `low` of the cell. */
function pieceOf(extent: DataExtent, bytes: Uint8Array, low: number, base: number): ContentPiece {
  const at = extent.address - low;
  return {
    extent: { ...extent, address: base + extent.address },
    bytes: bytes.subarray(at, at + extent.length),
  };
}
