/**
 * Parts of a rebuild: a run of a shard's array as it was read elsewhere, data at their epochs and holes at the epoch that was
 * asked for. A hole is punched alone, never what is around it: data may be older than the punch. Pure.
 */
import type { Epoch } from "../../src/base/epoch.ts";
import type { DataExtent, EpochPart, ShardPart } from "../../src/contracts/redundancy.ts";
import { gapsBetween } from "./extents.ts";

type Holds = ShardPart["holds"];

export function writtenAt(shard: number, holds: Holds, address: number, bytes: Uint8Array, epoch: Epoch): EpochPart {
  return { shard, kind: "write", holds, address, length: bytes.length, views: [bytes], epoch };
}

/** Local addresses [address, address + length): `bytes` begin there, and may be empty when `extents` are. */
export function runAt(
  shard: number,
  holds: Holds,
  address: number,
  length: number,
  bytes: Uint8Array,
  extents: readonly DataExtent[],
  epoch: Epoch,
): EpochPart[] {
  const holes = gapsBetween(extents, address, address + length, epoch).map((gap): EpochPart => {
    return { ...gap, shard, kind: "punch", holds, views: [] };
  });
  const data = extents.map((extent) => {
    const at = extent.address - address;
    return writtenAt(shard, holds, extent.address, bytes.subarray(at, at + extent.length), extent.epoch);
  });
  return [...holes, ...data];
}
