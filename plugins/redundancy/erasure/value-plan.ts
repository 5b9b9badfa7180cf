/**
 * Single values of erasure-coded objects. A small one lies whole on data shard 0 and on every parity shard: so any
 * tolerated losses leave a copy, and reading it is one small read. A larger one is cut into one cell a data shard, with
 * parity, which takes (k + p) / k of its size instead of 1 + p times. The bound is DAOS's (src/object/obj_ec.h): below it, reading k
 * shards costs more than the space.
 */
import { DaosError } from "../../../src/base/errors.ts";
import type { Epoch } from "../../../src/base/epoch.ts";
import { KIB } from "../../../src/base/limits.ts";
import type {
  EpochPart,
  ShardPart,
  ShardRead,
  ShardReadResult,
  ValueContent,
} from "../../../src/contracts/redundancy.ts";
import {
  decodeErasureValue,
  encodeErasureValueHeader,
  erasureValueCellBytes,
  ERASURE_VALUE_HEADER_BYTES,
} from "../../../src/format/erasure-value.ts";
import { type Steps, single } from "../plan.ts";
import type { Group } from "./stripe-state.ts";

/** Values up to this size are stored whole. */
export function wholeValueBytes(dataShards: number): number {
  return (Math.floor(dataShards / 8) + 1) * 4 * KIB;
}

export function valueParts(group: Group, length: number, bytes: Uint8Array | undefined): ShardPart[] {
  const { dataShards, parityShards, dataList, parityList } = group.geometry;
  if (length <= wholeValueBytes(dataShards)) {
    const header = encodeErasureValueHeader({ form: "whole", length });
    return [0, ...parityList].map((shard) => valuePart(shard, "copy", length, header, bytes));
  }
  const header = encodeErasureValueHeader({ form: "cell", length });
  const cellBytes = erasureValueCellBytes(length, dataShards);
  if (bytes === undefined) {
    return [...dataList, ...parityList].map((shard) =>
      valuePart(shard, shard < dataShards ? "data" : "parity", cellBytes, header, undefined),
    );
  }
  const cells = dataList.map((shard) => {
    const piece = bytes.subarray(Math.min(length, shard * cellBytes), Math.min(length, (shard + 1) * cellBytes));
    if (piece.length === cellBytes) return piece;
    const padded = new Uint8Array(cellBytes);
    padded.set(piece);
    return padded;
  });
  const memory = group.allocate(parityShards * cellBytes);
  const parity = parityList.map((_, index) => memory.subarray(index * cellBytes, (index + 1) * cellBytes));
  group.code.encode(cells, parity);
  return [
    ...dataList.map((shard) => valuePart(shard, "data", cellBytes, header, cells[shard])),
    ...parityList.map((shard, index) => valuePart(shard, "parity", cellBytes, header, parity[index])),
  ];
}

function valuePart(
  shard: number,
  holds: ShardPart["holds"],
  bodyBytes: number,
  header: Uint8Array,
  body: Uint8Array | undefined,
): ShardPart {
  const views = body === undefined ? [] : [header, body];
  return { shard, kind: "value", holds, address: 0, length: ERASURE_VALUE_HEADER_BYTES + bodyBytes, views };
}

export function* readValue(group: Group, epoch: Epoch, alive: readonly number[]): Steps<ValueContent | "absent"> {
  const { geometry } = group;
  const found = yield* readFirst(group, epoch, alive);
  if (found === undefined) return "absent";
  if (found.form === "whole") return { bytes: found.body, epoch: found.epoch };
  const lost = geometry.dataList.filter((shard) => !alive.includes(shard));
  const cells = yield* readCells(group, found, alive);
  decodeCells(group, lost, cells);
  const bytes = new Uint8Array(found.length);
  for (const shard of geometry.dataList) {
    const at = shard * found.body.length;
    if (at < found.length) bytes.set(cells.get(shard)!.subarray(0, found.length - at), at);
  }
  return { bytes, epoch: found.epoch };
}

/** A value that is not there gives no part: the punch of its akey is repeated by itself. */
export function* rebuildValue(
  group: Group,
  lost: number,
  epoch: Epoch,
  alive: readonly number[],
): Steps<readonly EpochPart[]> {
  const { geometry } = group;
  const found = yield* readFirst(group, epoch, alive);
  if (found === undefined) return [];
  const header = encodeErasureValueHeader(found);
  if (found.form === "whole") {
    if (lost !== 0 && lost < geometry.dataShards) return [];
    return [{ ...valuePart(lost, "copy", found.length, header, found.body), epoch: found.epoch }];
  }
  const cells = yield* readCells(group, found, alive);
  decodeCells(group, [lost], cells);
  const holds = lost < geometry.dataShards ? "data" : "parity";
  return [{ ...valuePart(lost, holds, found.body.length, header, cells.get(lost)), epoch: found.epoch }];
}

interface FoundPart {
  readonly shard: number;
  readonly form: "whole" | "cell";
  readonly length: number;
  readonly body: Uint8Array;
  readonly epoch: Epoch;
}

/** The part of a shard that always has one. */
function* readFirst(group: Group, epoch: Epoch, alive: readonly number[]): Steps<FoundPart | undefined> {
  const { dataShards } = group.geometry;
  const shard = alive.find((candidate) => candidate === 0 || candidate >= dataShards)!;
  return partOf(group, shard, yield* single(valueRead(shard, epoch, false)));
}

function partOf(group: Group, shard: number, result: ShardReadResult): FoundPart | undefined {
  const extent = result.extents[0];
  if (extent === undefined) return undefined;
  return { shard, ...decodeErasureValue(result.bytes, group.geometry.dataShards), epoch: extent.epoch };
}

/** As many cells of the value as it takes, by shard. Data shards first. Throws CONFLICT. */
function* readCells(group: Group, found: FoundPart, alive: readonly number[]): Steps<Map<number, Uint8Array>> {
  const others = alive.filter((shard) => shard !== found.shard).slice(0, group.geometry.dataShards - 1);
  const cells = new Map([[found.shard, found.body]]);
  // The same version everywhere; a shard that has dropped it for a later one shows that, and is found out.
  const results = yield others.map((shard) => valueRead(shard, found.epoch, true));
  others.forEach((shard, index) => {
    const part = partOf(group, shard, results[index]!);
    if (part?.epoch !== found.epoch || part.form !== "cell" || part.length !== found.length) {
      throw new DaosError("CONFLICT", "Cannot read the value: its cells are of different updates. Read it again.");
    }
    cells.set(shard, part.body);
  });
  return cells;
}

function decodeCells(group: Group, lost: readonly number[], cells: Map<number, Uint8Array>): void {
  if (lost.length === 0) return;
  const survivors = [...cells.keys()];
  const bodies = [...cells.values()];
  const made = lost.map(() => group.allocate(bodies[0]!.length));
  group.code.reconstruct(survivors, bodies, lost, made);
  lost.forEach((shard, index) => cells.set(shard, made[index]!));
}

function valueRead(shard: number, epoch: Epoch, orNextReadable: boolean): ShardRead {
  return { shard, kind: "value", address: 0, length: 0, epoch, orNextReadable };
}
