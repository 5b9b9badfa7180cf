import { expect, test } from "bun:test";
import { mapEvents } from "../../src/control/map-events.ts";
import type { MapRecord } from "../../src/format/meta-record.ts";
import type { TargetState } from "../../src/format/pool-map.ts";

function map(version: number, ...states: readonly (TargetState | undefined)[]): MapRecord {
  const targets = states.flatMap((state, index) => {
    return state === undefined ? [] : [{ index, rank: index, target: 0, domain: "/", state, since: 1 }];
  });
  return { version, targets };
}

function ids(before: MapRecord, after: MapRecord, isFilled = true): string[] {
  return mapEvents("tank", before, after, isFilled).map(({ id }) => id);
}

test("an exclusion is told, and that others are filled where there are copies", () => {
  const [before, after] = [map(1, "UPIN", "UPIN"), map(2, "UPIN", "DOWN")];
  expect(mapEvents("tank", before, after, true)).toEqual([
    {
      id: "pool_excluded",
      message: 'pool "tank": targets 1 (rank 1) are out of service (pool map version 2)',
      rank: 1,
    },
    { id: "pool_rebuild_started", message: 'pool "tank": others are filled with what they had (pool map version 2)' },
  ]);
  expect(ids(before, after, false)).toEqual(["pool_excluded"]);
});

test("each change of a target's state is what it means", () => {
  expect(ids(map(1, "UPIN"), map(2, "UPIN", "NEW"))).toEqual(["pool_extended"]);
  expect(ids(map(1, "UPIN", "NEW"), map(2, "UPIN", "UPIN"))).toEqual(["pool_reintegrated"]);
  expect(ids(map(1, "UPIN", "NEW"), map(2, "UPIN"))).toEqual(["pool_excluded"]);
  expect(ids(map(1, "UPIN", "UPIN"), map(2, "UPIN", "DRAIN"))).toEqual(["pool_draining"]);
  expect(ids(map(1, "UPIN", "DRAIN"), map(2, "UPIN", "DOWNOUT"))).toEqual(["pool_drained"]);
  expect(ids(map(1, "UPIN", "DOWNOUT"), map(2, "UPIN", "UP"))).toEqual(["pool_reintegrating"]);
  expect(ids(map(1, "UPIN", "UP"), map(2, "UPIN", "UPIN"))).toEqual(["pool_reintegrated"]);
  // Others still have all that it was being filled with.
  expect(ids(map(1, "UPIN", "UP"), map(2, "UPIN", "DOWNOUT"))).toEqual(["pool_excluded"]);
  expect(ids(map(1, "UPIN", "DOWN"), map(2, "UPIN", "DOWNOUT"))).toEqual([]);
});

test("several changes at once are an event each, and targets of one meaning share it", () => {
  const events = mapEvents("tank", map(1, "DRAIN", "UP", "UP"), map(2, "DOWNOUT", "UPIN", "UPIN"), true);
  expect(events.map(({ id, rank }) => [id, rank])).toEqual([
    ["pool_drained", 0],
    ["pool_reintegrated", undefined],
  ]);
  expect(events[1]!.message).toContain("targets 1, 2 (rank 1, 2) serve");
});
