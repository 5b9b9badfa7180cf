/** The group of a dkey and the scheme of its class say the same of who leads. */
import { expect, test } from "bun:test";
import { portableCodec } from "../../native/isal/portable-codec.ts";
import { erasureProvider } from "../../plugins/redundancy/erasure/index.ts";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { NO_TARGET } from "../../src/placement/layout.ts";
import { Placement } from "../../src/placement/placement.ts";
import { dkeyOfEachLeader } from "../../src/redundancy/leader-dkeys.ts";
import { redundancyGroup } from "../../src/redundancy/redundancy-group.ts";
import { objectOf, poolMap, withStates } from "../placement/pool-maps.ts";

/** Less than twice the cells that the table of groups has for each target: its rows double. */
const MAX_SETS_PER_TARGET = 8;
const DKEYS = Array.from({ length: 12 }, (_, index) => byteStringOfText(`dkey ${index}`));

/** All choices of the targets 0 to `count` - 1 that are gone. */
function* choices(count: number): Generator<number[], void, void> {
  for (let bits = 0; bits < 2 ** count; bits += 1) {
    yield Array.from({ length: count }, (_, index) => index).filter((index) => (bits & (1 << index)) !== 0);
  }
}

for (const [word, count] of [
  ["EC_2P1", 3],
  ["EC_4P2", 6],
] as const) {
  test(`${word}: whichever targets are gone, the leader is the shard that the scheme names`, () => {
    const scheme = erasureProvider(portableCodec).scheme(word, { cellBytes: 4096 });
    const oid = objectOf(`${word}G1`, 7);
    const leaders = new Set<number>();
    for (const gone of choices(count)) {
      const placement = new Placement(withStates(poolMap([count], 1), gone, "DOWN"));
      for (const dkey of DKEYS) {
        const { leader, readable, shards } = redundancyGroup(placement, oid, dkey);
        const { alive, targets, numberOf } = shards!;
        expect(alive.length).toBe(count - gone.length);
        expect(readable.map((target) => numberOf.get(target)!)).toEqual([...alive]);
        const isEnough = alive.length >= scheme.leastShardsToWrite;
        expect(leader).toBe(isEnough ? targets[scheme.leader(alive)]! : NO_TARGET);
        if (gone.length === 0) leaders.add(leader);
      }
    }
    // Dkeys begin with different shards, so that leading is spread.
    expect(leaders.size).toBe(count);
  });
}

test("dkeys of one set have the same leader and members, and one dkey is found for each set, also while the object moves", () => {
  const settled = poolMap([8], 4);
  const maps = [
    settled,
    withStates(settled, [3, 9], "DOWN"),
    withStates(settled, [5], "DRAIN"),
    // The pool has four times the targets that it had.
    withStates(
      settled,
      Array.from({ length: 24 }, (_, index) => index + 8),
      "NEW",
    ),
  ];
  const names = Array.from({ length: 4_000 }, (_, index) => byteStringOfText(`any ${index}`));
  let moving = 0;
  for (const map of maps) {
    const placement = new Placement(map);
    for (const name of ["S1", "S4", "SX", "RP_2G1", "RP_2G4", "RP_3GX", "EC_2P1G1", "EC_2P1GX"]) {
      const oid = objectOf(name, 11);
      const isSingle = name.startsWith("S");
      // Without redundancy a dkey is in the set of a target now, and of one that it moves to.
      const leads = (dkey: (typeof names)[number]): readonly string[] => {
        const { leader, members } = redundancyGroup(placement, oid, dkey);
        if (!isSingle) return [`${leader} of ${members.join(" ")}`];
        const { next } = placement.layout(oid);
        const other = members.find((member) => member !== leader) ?? leader;
        return next === undefined ? [`now ${leader}`] : [`now ${leader}`, `then ${other}`];
      };
      const dkeys = dkeyOfEachLeader(placement, oid, new Set([byteStringOfText("punch 0")]));
      const setsOf = (dkey: (typeof names)[number]): [number, string][] =>
        placement.dkeySetsOf(oid, dkey).map((set, index) => [set, leads(dkey)[index]!]);
      const bySet = new Map(dkeys.flatMap(setsOf));
      expect(dkeys).not.toContain(byteStringOfText("punch 0"));
      expect(bySet.size).toBe(placement.dkeySetCount(oid));
      expect(bySet.size).toBeLessThanOrEqual(MAX_SETS_PER_TARGET * map.targets.length);
      for (const [set, lead] of names.flatMap(setsOf)) expect(lead).toBe(bySet.get(set)!);
      if (placement.layout(oid).next !== undefined) moving += 1;
    }
  }
  expect(moving).toBeGreaterThan(4);
});
