/**
 * What a pool and its containers can still do, from the map and from who is here: what is gone, what that takes away, and how many
 * failures more are survived; and how much fits, by class. Computed when it is asked for: so it mends as the pool does.
 */
import { REDUNDANCIES } from "../base/object-class.ts";
import type { MapRecord } from "../format/meta-record.ts";
import type { ClassCapacity, DataHealth } from "../format/pool-state.ts";
import { isKeeping, ranksOf } from "./pool-map-changes.ts";

type MapTargetRecord = MapRecord["targets"][number];

/** Of data that survives `factor` faults. `isHere`: the rank's engine answers. */
export function healthOf(map: MapRecord, factor: number, isHere: (rank: number) => boolean): DataHealth {
  const gone = ranksOf({ ...map, targets: map.targets.filter((target) => isGone(target, factor, isHere)) });
  const tolerable = Math.max(0, factor - gone.length);
  if (gone.length === 0) return { state: "whole", gone, tolerable, reason: "" };
  if (gone.length > factor) return { state: "unavailable", gone, tolerable, reason: lossOf(gone, factor) };
  const isKept = map.targets.some(({ rank, state }) => gone.includes(rank) && state !== "DOWN");
  const written = isKept ? "can be read; what lies there is written once it is excluded" : "can be read and written";
  return { state: "degraded", gone, tolerable, reason: `rank ${gone.join(", ")} is gone: all ${written}` };
}

/** What it has is not to be had there, nor made up for. Of one copy nothing ever is, but by a drain. */
function isGone({ state, rank, drained }: MapTargetRecord, factor: number, isHere: (rank: number) => boolean): boolean {
  if (state === "DOWN") return true;
  if (state === "DOWNOUT") return factor === 0 && drained === undefined;
  return (state === "UPIN" || state === "DRAIN") && !isHere(rank);
}

function lossOf(gone: readonly number[], factor: number): string {
  const who = `rank ${gone.join(", ")} is gone`;
  if (factor === 0) return `${who}, and there is one copy of the data: what lies there is unavailable until it is back`;
  return (
    `${who}, and ${factor} fault(s) are survived: what lies on more of them is unavailable, what others have too is ` +
    "read-only; all goes on when enough of them are back"
  );
}

/** The one that says most: of a pool with several containers. */
export function worstHealth(all: readonly DataHealth[]): DataHealth {
  const order = ["unavailable", "degraded", "whole"];
  return all.toSorted((left, right) => {
    return order.indexOf(left.state) - order.indexOf(right.state) || left.tolerable - right.tolerable;
  })[0]!;
}

/**
 * For each redundancy that the pool has engines for, how many bytes of data fit, in objects that spread over all targets, until the
 * first target is full or the quota is. `freeOf`: bytes that a target of the rank has left; `quotaBytes`: what the quota has.
 */
export function capacityOf(map: MapRecord, freeOf: (rank: number) => number, quotaBytes: number): ClassCapacity[] {
  const keeping = map.targets.filter(({ state }) => isKeeping(state));
  const ranks = ranksOf({ ...map, targets: keeping });
  if (ranks.length === 0) return [];
  const evenBytes = keeping.length * Math.min(...ranks.map(freeOf));
  const rawBytes = Math.max(0, Math.min(quotaBytes, evenBytes));
  return REDUNDANCIES.filter(({ shardCount }) => shardCount <= ranks.length).map((redundancy) => ({
    class: redundancy.kind === "none" ? "SX" : `${redundancy.word}GX`,
    usableBytes: Math.floor((rawBytes * redundancy.dataShards) / redundancy.shardCount),
    survives: redundancy.toleratedFailures,
  }));
}
