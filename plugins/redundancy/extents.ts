/**
 * Runs of data: cut to a range, joined where they touch, and put into one buffer. Pure.
 */
import type { Epoch } from "../../src/base/epoch.ts";
import type { ArrayContent, DataExtent } from "../../src/contracts/redundancy.ts";

export const NO_BYTES = new Uint8Array(0);

/** The part of the extent in [start, end), moved by `shift`; undefined when there is none. */
export function cutExtent(extent: DataExtent, start: number, end: number, shift: number): DataExtent | undefined {
  const from = Math.max(extent.address, start);
  const to = Math.min(extent.address + extent.length, end);
  return from < to ? { address: from + shift, length: to - from, epoch: extent.epoch } : undefined;
}

export function coveredBytes(extents: readonly DataExtent[]): number {
  return extents.reduce((sum, extent) => sum + extent.length, 0);
}

export function newestEpoch(extents: readonly DataExtent[]): Epoch {
  return extents.reduce((newest, extent) => (extent.epoch > newest ? extent.epoch : newest), 0 as Epoch);
}

/** In order of addresses, neighbours of one epoch as one. The extents lie apart. */
export function joinNeighbours(extents: readonly DataExtent[]): DataExtent[] {
  const joined: DataExtent[] = [];
  for (const extent of extents.toSorted((left, right) => left.address - right.address)) {
    const last = joined.at(-1);
    if (last !== undefined && last.epoch === extent.epoch && last.address + last.length === extent.address) {
      joined[joined.length - 1] = { ...last, length: last.length + extent.length };
    } else {
      joined.push(extent);
    }
  }
  return joined;
}

/** The rest of [start, end), each run with `epoch`. */
export function gapsBetween(extents: readonly DataExtent[], start: number, end: number, epoch: Epoch): DataExtent[] {
  const gaps: DataExtent[] = [];
  let at = start;
  for (const extent of extents.toSorted((left, right) => left.address - right.address)) {
    if (extent.address > at) gaps.push({ address: at, length: extent.address - at, epoch });
    at = Math.max(at, extent.address + extent.length);
  }
  if (at < end) gaps.push({ address: at, length: end - at, epoch });
  return gaps;
}

/** A piece of content that comes together: `bytes` are those of the extent, which is in array addresses. */
export interface ContentPiece {
  readonly extent: DataExtent;
  readonly bytes: Uint8Array;
}

/** The content of [address, address + length), in `into` if it has to be put together. A piece that is all of it is taken as it is. */
export function assembleContent(
  address: number,
  length: number,
  pieces: readonly ContentPiece[],
  into?: Uint8Array,
): ArrayContent {
  const extents = joinNeighbours(pieces.map((piece) => piece.extent));
  const epoch = newestEpoch(extents);
  if (pieces.length === 0) return { bytes: NO_BYTES, extents, epoch };
  const only = pieces[0]!;
  if (pieces.length === 1 && only.bytes.length === length) return { bytes: only.bytes, extents, epoch };
  const bytes = into ?? new Uint8Array(length);
  if (into !== undefined && coveredBytes(extents) < length) into.fill(0);
  for (const piece of pieces) bytes.set(piece.bytes, piece.extent.address - address);
  return { bytes, extents, epoch };
}
