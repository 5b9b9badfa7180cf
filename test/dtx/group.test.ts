/** What replication is told of a pool's groups. */
import { expect, test } from "bun:test";
import { placedGroups } from "../../src/dtx/group.ts";
import { objectOf, poolMap, withStates } from "../placement/pool-maps.ts";

test("dkeys of a group part where a pool is extended so far that there are more groups, and without redundancy wherever it moves", () => {
  const map = poolMap([8], 4);
  const added = Array.from({ length: 24 }, (_, index) => index + 8);
  const parting = (groups: ReturnType<typeof placedGroups>): string[] =>
    ["S1", "SX", "RP_2G1", "RP_2G4", "RP_3GX", "EC_2P1GX"].filter((name) => groups.parts(objectOf(name, 11)));
  expect(parting(placedGroups(map))).toEqual([]);
  expect(parting(placedGroups(withStates(map, added, "NEW")))).toEqual(["S1", "SX", "RP_3GX", "EC_2P1GX"]);
  for (const state of ["DOWN", "UP"] as const) expect(parting(placedGroups(withStates(map, [5], state)))).toEqual([]);
  expect(parting(placedGroups(withStates(map, [5], "DRAIN")))).toEqual(["SX"]);
});
