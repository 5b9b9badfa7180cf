/**
 * What a lost shard has to hold as of an epoch, made from those that are left. A data shard gets its cell as of the parity's
 * epoch, and the replicas after it at theirs: both are needed to decode another shard. A parity shard gets what another
 * parity shard has; when there is none, replicas of what the data shards show.
 */
import type { Epoch } from "../../../src/base/epoch.ts";
import type { DataExtent, EpochPart } from "../../../src/contracts/redundancy.ts";
import { runAt, writtenAt } from "../epoch-part.ts";
import { joinNeighbours } from "../extents.ts";
import { type Steps, together } from "../plan.ts";
import { arrayRead, type CellRange, columnContent, type Group, isData, readStripeSlice } from "./stripe-state.ts";
import { droppedParity, hiddenReplicas, parityPart } from "./write-plan.ts";

interface Rebuilding {
  readonly group: Group;
  readonly lost: number;
  readonly epoch: Epoch;
  readonly alive: readonly number[];
}

export function* rebuildArray(rebuilding: Rebuilding, address: number, length: number): Steps<readonly EpochPart[]> {
  const { group, lost, alive } = rebuilding;
  const { geometry } = group;
  const hasParity = alive.some((shard) => !isData(geometry, shard));
  const works = [...geometry.stripes(address, length)].map(({ stripe }) => {
    if (isData(geometry, lost)) return rebuildCell(rebuilding, stripe);
    return hasParity ? rebuildParity(rebuilding, stripe) : rebuildFromData(rebuilding, stripe);
  });
  return (yield* together(works)).flat();
}

function* rebuildCell({ group, lost, epoch, alive }: Rebuilding, stripe: number): Steps<EpochPart[]> {
  const { geometry } = group;
  const { cellBytes } = geometry;
  const range: CellRange = { stripe, low: 0, high: cellBytes };
  const slice = yield* readStripeSlice(group, range, [lost], epoch, alive, "needed");
  const local = stripe * cellBytes;
  const above = columnContent(geometry, range, { ...slice, cells: new Map() }, lost);
  const extents = above.extents.map((extent) => ({ ...extent, address: extent.address + local }));
  const parts = runAt(lost, "data", local, cellBytes, above.bytes, extents, epoch);
  const cell = slice.cells.get(lost);
  if (cell === undefined) return parts;
  const written = parts.filter((part) => part.kind === "write");
  return [writtenAt(lost, "data", local, cell, slice.parityEpoch), ...written];
}

function* rebuildParity({ group, lost, epoch, alive }: Rebuilding, stripe: number): Steps<EpochPart[]> {
  const { geometry } = group;
  const range: CellRange = { stripe, low: 0, high: geometry.cellBytes };
  const slice = yield* readStripeSlice(group, range, [lost], epoch, alive, "needed");
  const cell = slice.cells.get(lost);
  if (cell !== undefined) {
    const replicas = slice.replicas.map(({ bytes, extent }) =>
      writtenAt(lost, "replica", geometry.replicaAddress(stripe, extent.address), bytes, extent.epoch),
    );
    return [...parityAt(group, lost, stripe, cell, slice.parityEpoch), ...replicas];
  }
  const image = new Uint8Array(geometry.stripeBytes);
  for (const { bytes, extent } of slice.replicas) image.set(bytes, extent.address);
  const extents = slice.replicas.map((replica) => replica.extent);
  return replicasAt(group, lost, stripe, image, extents, epoch);
}

/**
 * All data shards are alive, and no other parity shard is. So a data shard leads, which neither folds nor knows of parity: there
 * is none until this shard leads itself. Replicas keep the epochs of what they show, so that all parity shards have them alike,
 * whenever each was filled: the leader folds at the epoch of its newest, and that has to hide the others', too.
 */
function* rebuildFromData({ group, lost, epoch }: Rebuilding, stripe: number): Steps<EpochPart[]> {
  const { geometry } = group;
  const { cellBytes } = geometry;
  const results = yield geometry.dataList.map((shard) => arrayRead(shard, stripe * cellBytes, cellBytes, epoch));
  const image = new Uint8Array(geometry.stripeBytes);
  const extents = results.flatMap((result, shard) => {
    image.set(result.bytes, shard * cellBytes);
    const shift = shard * cellBytes - stripe * cellBytes;
    return result.extents.map((extent) => ({ ...extent, address: extent.address + shift }));
  });
  return replicasAt(group, lost, stripe, image, joinNeighbours(extents), epoch);
}

/** Parity of that epoch, and nothing beside it yet. */
function parityAt(group: Group, lost: number, stripe: number, cell: Uint8Array, epoch: Epoch): EpochPart[] {
  const { geometry } = group;
  const hidden = hiddenReplicas(geometry, lost, stripe, stripe + 1);
  return [parityPart(geometry, lost, stripe, cell), hidden].map((part) => ({ ...part, epoch }));
}

/** No parity: the stripe as replicas. `extents` count from its first byte. */
function replicasAt(
  group: Group,
  lost: number,
  stripe: number,
  image: Uint8Array,
  extents: readonly DataExtent[],
  epoch: Epoch,
): EpochPart[] {
  const { geometry } = group;
  const base = geometry.replicaAddress(stripe, 0);
  const local = extents.map((extent) => ({ ...extent, address: extent.address + base }));
  const replicas = runAt(lost, "replica", base, geometry.stripeBytes, image, local, epoch);
  return [{ ...droppedParity(geometry, lost, stripe, stripe + 1), epoch }, ...replicas];
}
