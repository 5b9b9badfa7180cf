/**
 * Layouts of redundant classes: golden vectors, fault domains kept apart, little movement when targets come and go, and
 * that what a layout calls `next` is what the map that follows calls its layout.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { objectClassOf } from "../../src/base/object-id.ts";
import type { MapTarget, PoolMap, TargetState } from "../../src/format/pool-map.ts";
import { type Layout, Layouts, NO_TARGET } from "../../src/placement/layout.ts";
import { Placement } from "../../src/placement/placement.ts";
import { firstTargets, objectOf, poolMap, withStates } from "./pool-maps.ts";

const SIGN = { serving: "", rebuilding: "*", missing: "!" };

/** `3 17* -1!`: targets of a group, `*` being rebuilt, `!` missing. */
function shown({ groups }: Layout): string {
  return groups.map((group) => group.map(({ target, state }) => `${target}${SIGN[state]}`).join(" ")).join(" | ");
}

function targetsIn({ groups }: Layout): number[][] {
  return groups.map((group) => group.map(({ target }) => target));
}

const REDUNDANT = ["RP_2G1", "RP_3G1", "RP_3G4", "RP_6G2", "EC_2P1G1", "EC_4P2G2", "EC_8P2G1", "RP_2GX", "EC_4P1GX"];

const arbitraryMap = fc
  .record({
    racks: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 8 }),
    targetsPerRank: fc.integer({ min: 1, max: 5 }),
  })
  .map(({ racks, targetsPerRank }) => poolMap(racks, targetsPerRank));

/** Shards in the fullest of the topmost domains. */
function mostInOneDomain(map: PoolMap, targets: readonly number[]): number {
  const counts = new Map<string, number>();
  for (const index of targets) {
    const { domain, rank } = map.targets[index]!;
    const top = domain === "/" ? `rank ${rank}` : domain.split("/")[1]!;
    counts.set(top, (counts.get(top) ?? 0) + 1);
  }
  return Math.max(...counts.values());
}

/** Least number of shards that some topmost domain must take, by filling the domains evenly. */
function leastPossible(map: PoolMap, shardCount: number): number {
  const sizes = new Map<string, number>();
  for (const { domain, rank } of map.targets) {
    const top = domain === "/" ? `rank ${rank}` : domain.split("/")[1]!;
    sizes.set(top, (sizes.get(top) ?? 0) + 1);
  }
  let height = 0;
  const room = (limit: number) => [...sizes.values()].reduce((sum, size) => sum + Math.min(size, limit), 0);
  while (room(height) < Math.min(shardCount, map.targets.length)) height += 1;
  return height;
}

describe("golden vectors", () => {
  const oneRack = poolMap([5], 4);
  const racks = poolMap([2, 3, 1, 4, 2, 2], 3);
  const failed = withStates(withStates(racks, [4], "DOWN", 2), [20, 21], "DOWNOUT", 3);
  const moving = withStates(withStates(racks, [4], "DRAIN", 2), [20], "UP", 3);
  const maps = { oneRack, racks, failed, moving, three: poolMap([3], 1) };
  test.each([
    ["oneRack", "RP_2G1", 1],
    ["oneRack", "RP_3G1", 1],
    ["oneRack", "RP_3G2", 7],
    ["oneRack", "EC_4P1G1", 1],
    ["oneRack", "EC_4P2G1", 2],
    ["oneRack", "RP_2G4", 3],
    ["racks", "RP_2G1", 1],
    ["racks", "RP_3G1", 2],
    ["racks", "RP_5G1", 3],
    ["racks", "EC_2P2G2", 4],
    ["racks", "EC_4P2G1", 5],
    ["racks", "EC_8P2G1", 6],
    ["racks", "RP_3G6", 7],
    ["failed", "S4", 1],
    ["failed", "RP_2G6", 2],
    ["failed", "RP_3G8", 3],
    ["failed", "EC_4P2G4", 4],
    ["failed", "EC_16P3G1", 5],
    ["moving", "RP_2G6", 2],
    ["moving", "EC_4P2G4", 4],
    ["three", "RP_2GX", 1],
    ["three", "RP_3GX", 2],
    ["three", "EC_4P1G1", 3],
  ] as const)("%s %s %d", (name, className, user) => {
    const layout = new Layouts(maps[name]).layoutOf(objectOf(className, user));
    const next = layout.next === undefined ? "" : ` -> ${shown(layout.next)}`;
    expect(`${shown(layout)}${next}`).toMatchSnapshot();
  });

  test("dkeys keep their groups", () => {
    const placement = new Placement(poolMap([5], 4));
    const groupsOf = (className: string) =>
      ["", "a", "greeting", "x".repeat(500)].map(
        (dkey) => placement.groupOf(objectOf(className, 9), byteStringOfText(dkey)).index,
      );
    expect(["RP_3G1", "RP_3G4", "RP_3GX", "EC_4P1GX"].map(groupsOf)).toMatchSnapshot();
  });
});

describe("fault domains", () => {
  test("shards of a group share a topmost domain only where they must, and never a target", () => {
    const property = fc.property(arbitraryMap, fc.constantFrom(...REDUNDANT), fc.nat(1000), (map, className, user) => {
      const oid = objectOf(className, user);
      const { shardCount } = objectClassOf(oid).redundancy;
      for (const group of targetsIn(new Layouts(map).layoutOf(oid))) {
        const there = group.filter((target) => target !== NO_TARGET);
        expect(there.length).toBe(Math.min(shardCount, map.targets.length));
        expect(new Set(there).size).toBe(there.length);
        expect(mostInOneDomain(map, there)).toBe(leastPossible(map, shardCount));
      }
    });
    fc.assert(property, { numRuns: 300 });
  });

  test("in one rack of a group that spans fewer racks than shards, they are on engines of their own", () => {
    for (let user = 0; user < 200; user += 1) {
      const [group] = targetsIn(new Layouts(poolMap([3, 3], 4)).layoutOf(objectOf("EC_4P2G1", user)));
      expect(new Set(group!.map((target) => Math.floor(target / 4))).size).toBe(6);
    }
  });

  test("spares stay apart from the live shards while there is a domain", () => {
    const property = fc.property(fc.uniqueArray(fc.nat(31), { maxLength: 6 }), fc.nat(1000), (gone, user) => {
      // 8 racks of one engine with 4 targets; whatever 6 targets fail, there are racks for 2 more shards.
      let map = poolMap([1, 1, 1, 1, 1, 1, 1, 1], 4);
      for (const [order, target] of gone.entries()) map = withStates(map, [target], "DOWN", 2 + order);
      for (const group of targetsIn(new Layouts(map).layoutOf(objectOf("RP_3G2", user)))) {
        expect(group.some((target) => gone.includes(target))).toBe(false);
        expect(mostInOneDomain(map, group)).toBe(1);
      }
    });
    fc.assert(property, { numRuns: 300 });
  });
});

describe("movement", () => {
  test("a failure moves the shards of the failed target only, and its return brings them back", () => {
    const property = fc.property(
      arbitraryMap,
      fc.array(fc.nat(), { minLength: 1, maxLength: 5 }),
      fc.constantFrom(...REDUNDANT, "S4"),
      fc.nat(1000),
      (map, picks, className, user) => {
        const oid = objectOf(className, user);
        const order = [...new Set(picks.map((pick) => pick % map.targets.length))];
        let before = map;
        for (const [position, target] of order.entries()) {
          const after = withStates(before, [target], "DOWNOUT", 2 + position);
          const [old, now] = [before, after].map((each) => targetsIn(new Layouts(each).layoutOf(oid)));
          for (const [group, shards] of now!.entries()) {
            for (const [shard, at] of shards.entries()) {
              if (old![group]![shard] !== target) expect(at).toBe(old![group]![shard]!);
              else expect(at).not.toBe(target);
            }
          }
          before = after;
        }
        const whole = withStates(before, order, "UPIN", 1);
        expect(targetsIn(new Layouts(whole).layoutOf(oid))).toEqual(targetsIn(new Layouts(map).layoutOf(oid)));
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  test("new targets take shards of one-group and GX objects, and no old target does", () => {
    const property = fc.property(
      arbitraryMap,
      fc.integer({ min: 1, max: 20 }),
      fc.constantFrom("RP_2G1", "RP_3G1", "EC_4P2G1", "RP_2GX", "EC_2P1GX"),
      fc.nat(1000),
      (map, kept, className, user) => {
        const count = Math.min(kept, map.targets.length);
        const old = targetsIn(new Layouts(firstTargets(map, count)).layoutOf(objectOf(className, user)));
        const now = targetsIn(new Layouts(map).layoutOf(objectOf(className, user)));
        for (const [group, shards] of now.entries()) {
          for (const [shard, target] of shards.entries()) {
            if (target < count) expect(target).toBe(old[group % old.length]![shard]!);
          }
        }
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  test("what moves when a rank is added is what the rank is due", () => {
    const layouts = [poolMap([8], 4), poolMap([9], 4)].map((map) => new Layouts(map));
    let moved = 0;
    let shards = 0;
    for (let user = 0; user < 4000; user += 1) {
      const [old, now] = layouts.map((each) => targetsIn(each.layoutOf(objectOf("RP_3G1", user))).flat());
      moved += now!.filter((target, shard) => target !== old![shard]).length;
      shards += 3;
    }
    expect(moved / shards).toBeLessThan((1 / 9) * 1.05);
    expect(moved / shards).toBeGreaterThan((1 / 9) * 0.8);
  });
});

describe("states", () => {
  const map = poolMap([6], 2);

  test("a spare of a DOWN target is rebuilding, of a DOWNOUT one it serves", () => {
    const oid = objectOf("RP_3GX", 1);
    for (const [state, expected] of [
      ["DOWN", "rebuilding"],
      ["DOWNOUT", "serving"],
    ] as const) {
      const { groups, next } = new Layouts(withStates(map, [5], state, 2)).layoutOf(oid);
      const spares = groups.flat().filter(({ home }) => home === 5);
      expect(spares.length).toBeGreaterThan(0);
      for (const spare of spares) expect([spare.target !== 5, spare.state]).toEqual([true, expected]);
      expect(next).toBeUndefined();
    }
  });

  test("without redundancy nothing stands in for a target that is gone: no other has its data", () => {
    for (const state of ["DOWN", "DOWNOUT"] as const) {
      const placement = new Placement(withStates(map, [5], state, 2));
      const { groups, firstTargets: first } = placement.layout(objectOf("SX", 1));
      expect(groups[5]).toEqual([{ target: NO_TARGET, state: "missing", home: 5, alsoWrite: [] }]);
      expect(first[5]).toBe(5);
      expect(placement.targetsOf(objectOf("SX", 1))).toContain(5);
    }
  });

  test("what drains, comes back or is new is written in both places, and read in one", () => {
    const dkeys = Array.from({ length: 200 }, (_, index) => byteStringOfText(`dkey ${index}`));
    const larger = poolMap([7], 2);
    const redundant = ["RP_3GX", "EC_4P1G4", "RP_2G1"];
    for (const [during, after, classNames] of [
      [withStates(map, [3], "DRAIN", 2), withStates(map, [3], "DOWNOUT", 2), redundant],
      [withStates(map, [3], "UP", 2), map, redundant],
      [withStates(larger, [12, 13], "NEW", 2), larger, [...redundant, "S4", "SX"]],
    ] as const) {
      let moving = 0;
      for (const className of classNames) {
        const oid = objectOf(className, 3);
        const [now, then] = [new Placement(during), new Placement(after)];
        for (const dkey of dkeys) {
          const { shards } = now.groupOf(oid, dkey);
          for (const [shard, { target }] of then.groupOf(oid, dkey).shards.entries()) {
            const { target: reading, alsoWrite, state } = shards[shard]!;
            expect(state).toBe("serving");
            if (target !== reading) moving += 1;
            expect(alsoWrite).toEqual(target === reading ? [] : [target]);
          }
        }
      }
      expect(moving).toBeGreaterThan(0);
    }
  });

  test("without redundancy the target that has it is asked, also when it stood in for a drained one, and is gone", () => {
    const map = poolMap([6], 1);
    const oid = objectOf("S1", 1);
    const home = new Placement(map).targetOf(oid, byteStringOfText("dkey"));
    const drained = map.targets.map((target) =>
      target.index === home ? { ...target, state: "DOWNOUT" as const, since: 2, drained: 3 } : target,
    );
    const spare = new Placement({ version: 3, targets: drained }).targetOf(oid, byteStringOfText("dkey"));
    expect(spare).not.toBe(home);
    const back = drained.map((target) => (target.index === home ? { ...target, state: "UP" as const } : target));
    const gone = withStates({ version: 3, targets: back }, [spare], "DOWN", 4);
    expect(new Placement(gone).targetOf(oid, byteStringOfText("dkey"))).toBe(spare);
    expect(new Placement(gone).groupOf(oid, byteStringOfText("dkey")).shards[0]!.state).toBe("missing");
  });

  test("without redundancy a target that comes back has what it had", () => {
    for (const className of ["S1", "SX"]) {
      const layout = new Layouts(withStates(map, [5], "UP", 2)).layoutOf(objectOf(className, 1));
      expect(layout).toEqual(new Layouts(map).layoutOf(objectOf(className, 1)));
    }
  });

  test("what is drained has its place elsewhere, also without redundancy, until it was filled with it again", () => {
    const during = withStates(map, [5], "DRAIN", 2);
    const targets = during.targets.map((target) => (target.index === 5 ? { ...target, drained: 3 } : target));
    for (const className of ["RP_2G2", "S1", "SX"]) {
      for (let user = 0; user < 20; user += 1) {
        const oid = objectOf(className, user);
        const { groups, next = { groups } } = new Layouts(during).layoutOf(oid);
        for (const state of ["DOWNOUT", "UP"] as const) {
          const left = new Layouts(withStates({ version: 3, targets }, [5], state)).layoutOf(oid);
          expect(targetsIn(left)).toEqual(targetsIn(next as typeof left));
          if (state === "UP")
            expect(targetsIn(left.next ?? left)).toEqual(groups.map((each) => each.map(({ target }) => target)));
        }
      }
    }
  });

  test("what is added changes nothing of what is read, whatever is gone, and stands in for nothing that went before", () => {
    const larger = poolMap([8], 2);
    const property = fc.property(
      fc.array(fc.tuple(fc.nat(11), fc.constantFrom("DOWN", "DOWNOUT", "UP", "DRAIN")), { maxLength: 4 }),
      fc.nat(500),
      (states, user) => {
        let before = map;
        for (const [target, state] of states)
          before = withStates(before, [target], state as TargetState, before.version + 1);
        const added = larger.targets.slice(12).map((target): MapTarget => {
          return { ...target, state: "NEW", since: before.version + 1 };
        });
        const during = { version: before.version + 1, targets: [...before.targets, ...added] };
        for (const className of ["RP_3G1", "EC_4P1G1", "RP_2G2", "RP_3GX", "S2", "SX"]) {
          const oid = objectOf(className, user);
          expect(new Layouts(during).layoutOf(oid).groups).toEqual(new Layouts(before).layoutOf(oid).groups);
        }
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  test("a target that comes back is not read until it is UPIN", () => {
    const { groups } = new Layouts(withStates(map, [3], "UP", 2)).layoutOf(objectOf("RP_3GX", 1));
    expect(groups.flat().some(({ target }) => target === 3)).toBe(false);
  });

  test("a failure beside a drain or a return: whichever ends first, only what was filled is read", () => {
    const pairs = [
      ["DOWN", "DRAIN"],
      ["DOWN", "UP"],
    ] as const;
    const end = { DOWN: "DOWNOUT", DRAIN: "DOWNOUT", UP: "UPIN" } as const;
    const property = fc.property(
      fc.constantFrom(...pairs),
      fc.tuple(fc.nat(11), fc.nat(11)).filter(([one, other]) => one !== other),
      fc.boolean(),
      fc.nat(500),
      ([one, other], [first, second], firstEnds, user) => {
        const during = withStates(withStates(map, [first], one, 2), [second], other, 3);
        const ended = firstEnds ? first : second;
        const after = withStates(during, [ended], end[firstEnds ? one : other]);
        for (const className of ["RP_3G1", "EC_4P1G1", "RP_2G2"]) {
          const layout = new Layouts(during).layoutOf(objectOf(className, user));
          const later = new Layouts(after).layoutOf(objectOf(className, user));
          for (const [group, shards] of later.groups.entries()) {
            for (const [shard, { target, state }] of shards.entries()) {
              if (state !== "serving") continue;
              expect([layout.groups[group]![shard]!.target, layout.next?.groups[group]![shard]!.target]).toContain(
                target,
              );
            }
          }
        }
      },
    );
    fc.assert(property, { numRuns: 500 });
  });
});
