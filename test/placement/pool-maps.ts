/** Pool maps for the tests of placement: targets in racks of engines, and what becomes of them. */
import { objectClassByName } from "../../src/base/object-class.ts";
import { type ObjectId, objectId } from "../../src/base/object-id.ts";
import type { MapTarget, PoolMap, TargetState } from "../../src/format/pool-map.ts";

/** `racks`: engines of each rack; without names when there is one rack only, as pools that name no domains. */
export function poolMap(racks: readonly number[], targetsPerRank: number): PoolMap {
  const targets: MapTarget[] = [];
  let rank = 0;
  for (const [rack, engines] of racks.entries()) {
    for (let engine = 0; engine < engines; engine += 1, rank += 1) {
      const domain = racks.length === 1 ? "/" : `/rack${rack}/node${rank}`;
      for (let target = 0; target < targetsPerRank; target += 1) {
        const index = targets.length;
        targets.push({ index, host: "h", port: 1, rank, domain, state: "UPIN", since: 1 });
      }
    }
  }
  return { version: 1, targets };
}

/** The map with some targets in another state, since `since` unless kept. */
export function withStates(map: PoolMap, indices: readonly number[], state: TargetState, since?: number): PoolMap {
  const targets = map.targets.map((target) =>
    indices.includes(target.index) ? { ...target, state, since: since ?? target.since } : target,
  );
  return { version: map.version + 1, targets };
}

/** The first `count` targets. */
export function firstTargets(map: PoolMap, count: number): PoolMap {
  return { version: map.version, targets: map.targets.slice(0, count) };
}

export function objectOf(className: string, user: number): ObjectId {
  return objectId("ARRAY_BYTE", objectClassByName(className), 0, BigInt(user));
}
