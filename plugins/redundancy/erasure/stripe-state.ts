/**
 * The state of a slice of a stripe as its parity shards have it, and the cells that are decoded from it.
 *
 * On every parity shard, at every epoch, a stripe is in one of two states:
 *
 *     parity      there is parity of epoch e: at e every byte of the stripe held data. What the replicas show are writes
 *                 after e, for data only; laid over the cells as of e they give the stripe.
 *     replicas    there is no parity: the replicas are the stripe, byte for byte, holes included.
 *
 * A full write makes parity and hides the replicas, a partial one adds replicas, a fold turns replicas into parity, and a
 * punch of part of a stripe with parity turns all of it into replicas first (punch-plan.ts). So what the replicas show
 * always counts, and their epochs are not compared with anything.
 */
import { DaosError } from "../../../src/base/errors.ts";
import { EPOCH_NONE, type Epoch } from "../../../src/base/epoch.ts";
import type { DataExtent, ShardRead, ShardReadResult } from "../../../src/contracts/redundancy.ts";
import type { ErasureCode } from "../../../native/isal/codec.ts";
import { coveredBytes, cutExtent } from "../extents.ts";
import { type Steps, single } from "../plan.ts";
import type { Geometry } from "./geometry.ts";

/** What plans have in common. */
export interface Group {
  readonly geometry: Geometry;
  readonly code: ErasureCode;
  readonly allocate: (length: number) => Uint8Array;
}

/** Bytes [low, high) of every cell of a stripe. */
export interface CellRange {
  readonly stripe: number;
  readonly low: number;
  readonly high: number;
}

/** Bytes that a replica shows; the extent counts from the stripe's first byte. */
export interface Replica {
  readonly extent: DataExtent;
  readonly bytes: Uint8Array;
}

export interface StripeSlice {
  /** EPOCH_NONE: there is no parity, and `cells` is empty. */
  readonly parityEpoch: Epoch;
  /** By shard, the bytes [low, high) of its cell as of the parity's epoch. Not to be written to. */
  readonly cells: ReadonlyMap<number, Uint8Array>;
  readonly replicas: readonly Replica[];
}

export function arrayRead(
  shard: number,
  address: number,
  length: number,
  epoch: Epoch,
  orNextReadable = false,
): ShardRead {
  return { shard, kind: "array", address, length, epoch, orNextReadable };
}

export function isData(geometry: Geometry, shard: number): boolean {
  return shard < geometry.dataShards;
}

/**
 * Reads the state of a slice, and the cells of the shards `outputs` and of those they are decoded from. `outputs` are not
 * alive, or data shards that are. Needs a parity shard alive, and as many shards as there are data shards. Cells that replicas
 * cover altogether are left out, unless what lies beneath is needed.
 *
 * A fold may come at any moment, also for a past epoch. A shard does its reads in the order of the list, so replicas come
 * before the parity of the same shard: what a fold moves between them is seen twice, which does no harm, and never missed.
 */
export function* readStripeSlice(
  group: Group,
  range: CellRange,
  outputs: readonly number[],
  epoch: Epoch,
  alive: readonly number[],
  beneath: "needed" | "if shown" = "if shown",
): Steps<StripeSlice> {
  const { geometry } = group;
  const data = alive.filter((shard) => isData(geometry, shard));
  const missing = geometry.dataShards - data.length;
  const used = alive.filter((shard) => !isData(geometry, shard)).slice(0, Math.max(1, missing));
  const besides = replicaReads(geometry, used[0]!, range, epoch);
  const results = yield [...besides, ...used.map((shard) => parityRead(geometry, shard, range, epoch))];
  let replicas = replicasOf(geometry, range, results.slice(0, besides.length));
  const slots = results.slice(besides.length);
  const epochs = slots.map((slot) => parityEpoch(slot, range));
  const oldest = epochs.indexOf(epochs.reduce((least, other) => (other < least ? other : least)));
  if (oldest > 0) {
    // The fold is yet to come there: that shard's state is what all can show.
    const shard = used[oldest]!;
    const again = yield [...replicaReads(geometry, shard, range, epoch), parityRead(geometry, shard, range, epoch)];
    replicas = replicasOf(geometry, range, again.slice(0, -1));
    slots[oldest] = again.at(-1)!;
    epochs[oldest] = parityEpoch(slots[oldest], range);
  }
  const parityAt = epochs[oldest]!;
  if (parityAt === EPOCH_NONE || (beneath === "if shown" && replacesAll(geometry, range, replicas))) {
    return { parityEpoch: parityAt, cells: new Map(), replicas };
  }
  const cells = new Map<number, Uint8Array>();
  used.forEach((shard, index) => {
    if (epochs[index] === parityAt && index < missing) cells.set(shard, slots[index]!.bytes);
  });
  yield* alignParity(geometry, range, used.slice(0, missing), parityAt, cells);
  yield* readCells(geometry, range, data, used[0]!, parityAt, cells);
  decode(group, range, outputs, cells);
  return { parityEpoch: parityAt, cells, replicas };
}

export function parityRead(geometry: Geometry, shard: number, range: CellRange, epoch: Epoch, next = false): ShardRead {
  const address = geometry.parityAddress(range.stripe) + range.low;
  return arrayRead(shard, address, range.high - range.low, epoch, next);
}

/** The epoch of the parity in the result of such a read; EPOCH_NONE without parity. Throws CORRUPT when it is in pieces. */
export function parityEpoch(result: ShardReadResult, range: CellRange): Epoch {
  const first = result.extents[0];
  if (first === undefined) return EPOCH_NONE;
  const whole = coveredBytes(result.extents) === range.high - range.low;
  if (whole && result.extents.every((extent) => extent.epoch === first.epoch)) return first.epoch;
  throw corrupt(range, "its parity is in pieces");
}

/** The replicas of bytes [low, high) of every cell. */
export function replicaReads(geometry: Geometry, shard: number, range: CellRange, epoch: Epoch): ShardRead[] {
  const { cellBytes, stripeBytes } = geometry;
  const { stripe, low, high } = range;
  if (high - low === cellBytes) return [arrayRead(shard, geometry.replicaAddress(stripe, 0), stripeBytes, epoch)];
  return geometry.dataList.map((column) => {
    return arrayRead(shard, geometry.replicaAddress(stripe, column * cellBytes + low), high - low, epoch);
  });
}

/** What such reads gave. */
export function replicasOf(geometry: Geometry, range: CellRange, results: readonly ShardReadResult[]): Replica[] {
  const base = geometry.replicaAddress(range.stripe, 0);
  return results.flatMap(({ extents, bytes }, index) => {
    // Of whole cells there is one read, from the stripe's first byte.
    const readFrom = base + index * geometry.cellBytes + range.low;
    return extents.map((extent) => {
      const at = extent.address - readFrom;
      return {
        extent: { ...extent, address: extent.address - base },
        bytes: bytes.subarray(at, at + extent.length),
      };
    });
  });
}

function replacesAll(geometry: Geometry, range: CellRange, replicas: readonly Replica[]): boolean {
  const bytes = coveredBytes(replicas.map((replica) => replica.extent));
  return bytes === geometry.dataShards * (range.high - range.low);
}

/** Reads the parity again, as of `parityAt`, from those shards that have shown another. Throws CONFLICT. */
function* alignParity(
  geometry: Geometry,
  range: CellRange,
  parity: readonly number[],
  parityAt: Epoch,
  cells: Map<number, Uint8Array>,
): Steps<void> {
  const others = parity.filter((shard) => !cells.has(shard));
  if (others.length === 0) return;
  const results = yield others.map((shard) => parityRead(geometry, shard, range, parityAt, true));
  others.forEach((shard, index) => {
    if (parityEpoch(results[index]!, range) !== parityAt) throw conflict(range);
    cells.set(shard, results[index]!.bytes);
  });
}

/**
 * Reads the data cells as of the parity's epoch. Where a shard shows a later epoch, for lack of that one, parity must be the
 * same at that later epoch: else aggregation overtook this read. `witness` is asked for that.
 */
function* readCells(
  geometry: Geometry,
  range: CellRange,
  data: readonly number[],
  witness: number,
  parityAt: Epoch,
  cells: Map<number, Uint8Array>,
): Steps<void> {
  const { stripe, low, high } = range;
  const probe: CellRange = { stripe, low, high: low + 1 };
  const local = stripe * geometry.cellBytes + low;
  const reads = data.map((shard) => arrayRead(shard, local, high - low, parityAt, true));
  const results = yield [...reads, parityRead(geometry, witness, probe, parityAt, true)];
  const witnessed = results[data.length]!;
  const later = new Set<Epoch>();
  data.forEach((shard, index) => {
    const result = results[index]!;
    if (coveredBytes(result.extents) !== high - low)
      throw corrupt(range, `shard ${shard} lacks data that parity was made of`);
    if (result.shownAt > parityAt && result.shownAt !== witnessed.shownAt) later.add(result.shownAt);
    cells.set(shard, result.bytes);
  });
  if (parityEpoch(witnessed, probe) !== parityAt) throw conflict(range);
  for (const epoch of later) {
    const again = yield* single(parityRead(geometry, witness, probe, epoch, true));
    if (parityEpoch(again, probe) !== parityAt) throw conflict(range);
  }
}

function decode(group: Group, range: CellRange, outputs: readonly number[], cells: Map<number, Uint8Array>): void {
  const lost = outputs.filter((shard) => !cells.has(shard));
  if (lost.length === 0) return;
  const length = range.high - range.low;
  const survivors = [...cells.keys()];
  const made = lost.map(() => group.allocate(length));
  group.code.reconstruct(
    survivors,
    survivors.map((shard) => cells.get(shard)!),
    lost,
    made,
  );
  lost.forEach((shard, index) => cells.set(shard, made[index]!));
}

/** The bytes [low, high) of a data shard's cell as the slice shows them. Extents count from the cell's first byte. */
export function columnContent(
  geometry: Geometry,
  range: CellRange,
  slice: StripeSlice,
  column: number,
): { readonly bytes: Uint8Array; readonly extents: readonly DataExtent[] } {
  const { low, high } = range;
  const cellStart = column * geometry.cellBytes;
  const cell = slice.cells.get(column);
  let bytes = cell;
  const extents: DataExtent[] = [];
  let at = low;
  const fromParity = (to: number) => {
    if (cell !== undefined && at < to) extents.push({ address: at, length: to - at, epoch: slice.parityEpoch });
  };
  for (const replica of slice.replicas) {
    const cut = cutExtent(replica.extent, cellStart + low, cellStart + high, -cellStart);
    if (cut === undefined) continue;
    if (bytes === cell) bytes = cell === undefined ? new Uint8Array(high - low) : new Uint8Array(cell);
    const from = cut.address + cellStart - replica.extent.address;
    bytes!.set(replica.bytes.subarray(from, from + cut.length), cut.address - low);
    fromParity(cut.address);
    extents.push(cut);
    at = cut.address + cut.length;
  }
  fromParity(high);
  return { bytes: bytes ?? new Uint8Array(0), extents };
}

export function corrupt(range: { readonly stripe: number }, state: string): DaosError {
  return new DaosError(
    "CORRUPT",
    `Cannot decode stripe ${range.stripe}: ${state}. Read at another epoch, and check the shards.`,
  );
}

function conflict(range: CellRange): DaosError {
  return new DaosError(
    "CONFLICT",
    `Cannot decode stripe ${range.stripe}: its parity was folded meanwhile. Read it again.`,
  );
}
