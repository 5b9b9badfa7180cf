/** Layouts: golden vectors, distinct targets, spread, and how little moves when targets are added. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { byteString, byteStringOfText } from "../../src/base/bytes.ts";
import { hasCode } from "../../src/base/errors.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId, objectIdFromBytes } from "../../src/base/object-id.ts";
import { type PoolMap, servingTarget } from "../../src/format/pool-map.ts";
import { groupOfDkey, LAYOUT_VERSION, Layouts } from "../../src/placement/layout.ts";
import { MAX_CACHED_LAYOUTS, Placement } from "../../src/placement/placement.ts";

function poolMap(count: number, version = 1): PoolMap {
  const targets = Array.from({ length: count }, (_unused, index) =>
    servingTarget({ index, host: "127.0.0.1", port: 20_000 + index }),
  );
  return { version, targets };
}

const oidOf = (className: string, user: number) =>
  objectId("MULTI_HASHED", objectClassByName(className), 0, BigInt(user));

/** Targets of an object without redundancy, by group. */
const singles = (layouts: Layouts, className: string, user: number) =>
  layouts.layoutOf(oidOf(className, user)).groups.map((group) => group[0]!.target);

describe("Layouts without redundancy", () => {
  test("keeps its golden vectors", () => {
    const layouts = new Layouts(poolMap(10));
    const vectors = ["S1", "S2", "S4", "S8", "S16", "SX"].map((name) => {
      const { seed } = layouts.layoutOf(oidOf(name, 1234));
      return [seed, singles(layouts, name, 1234).join(" ")];
    });
    expect(vectors).toMatchInlineSnapshot(`
      [
        [
          2221359044,
          "3",
        ],
        [
          967660298,
          "5 6",
        ],
        [
          2571668695,
          "7 9 2 8",
        ],
        [
          66204972,
          "6 5 9 7 2 1 4 0",
        ],
        [
          3992338587,
          "0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5",
        ],
        [
          1536656054,
          "0 1 2 3 4 5 6 7 8 9",
        ],
      ]
    `);
  });

  test("gives each group a target of its own while there are enough", () => {
    const property = fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(), (targets, user) => {
      const layouts = new Layouts(poolMap(targets));
      for (const name of ["S1", "S2", "S6", "S12", "S32", "SX"]) {
        const groups = singles(layouts, name, user);
        const { targets: distinct } = layouts.layoutOf(oidOf(name, user));
        expect(distinct.length).toBe(Math.min(groups.length, targets));
        const counts = new Map<number, number>();
        for (const target of groups) counts.set(target, (counts.get(target) ?? 0) + 1);
        expect(Math.max(...counts.values()) - Math.min(...counts.values())).toBeLessThanOrEqual(1);
      }
    });
    fc.assert(property, { numRuns: 100 });
  });

  test("spreads objects evenly and moves few when a target is added", () => {
    const before = new Layouts(poolMap(8));
    const after = new Layouts(poolMap(9));
    const counts = Array.from({ length: 8 }, () => 0);
    let moved = 0;
    for (let user = 0; user < 9000; user += 1) {
      const [target] = singles(before, "S1", user);
      counts[target!]! += 1;
      if (singles(after, "S1", user)[0] !== target) moved += 1;
    }
    for (const count of counts) expect(Math.abs(count - 1125)).toBeLessThan(170);
    expect(moved).toBeLessThan(1000 * 1.15);
  });

  test("does not depend on domains and ranks", () => {
    const plain = poolMap(12);
    const targets = plain.targets.map((target) => ({
      ...target,
      rank: target.index % 3,
      domain: `/rack${target.index % 3}`,
    }));
    for (const name of ["S1", "S4", "SX"]) {
      expect(singles(new Layouts({ version: 1, targets }), name, 5)).toEqual(singles(new Layouts(plain), name, 5));
    }
  });

  test("refuses an id without class", () => {
    const oid = objectIdFromBytes(new Uint8Array(16));
    expect(() => new Layouts(poolMap(2)).layoutOf(oid)).toThrow("object class");
  });
});

test("Layouts refuses a layout version that it does not know", () => {
  expect(() => new Layouts(poolMap(2), LAYOUT_VERSION + 1)).toThrow("Cannot use layout version 2");
});

test("Layouts refuses maps that place nothing", () => {
  for (const targets of [
    [],
    [servingTarget({ index: 1, host: "a", port: 1 }), servingTarget({ index: 1, host: "b", port: 1 })],
  ]) {
    try {
      new Layouts({ version: 3, targets });
      expect.unreachable();
    } catch (error) {
      expect(hasCode(error, "PROTOCOL")).toBe(true);
    }
  }
});

describe("Placement", () => {
  test("answers like the layout it caches, however many objects pass", () => {
    const placement = new Placement(poolMap(7, 5));
    const layouts = new Layouts(poolMap(7));
    expect(placement.mapVersion).toBe(5);
    for (let user = 0; user < MAX_CACHED_LAYOUTS + 100; user += 1) placement.targetsOf(oidOf("S4", user));
    for (const user of [0, 1, MAX_CACHED_LAYOUTS, MAX_CACHED_LAYOUTS + 99]) {
      expect(placement.layout(oidOf("S4", user))).toEqual(layouts.layoutOf(oidOf("S4", user)));
    }
  });

  test("sends each dkey to one group and uses them all", () => {
    const placement = new Placement(poolMap(6));
    const oid = oidOf("S4", 99);
    const counts = new Map<number, number>();
    for (let index = 0; index < 4000; index += 1) {
      const target = placement.targetOf(oid, byteStringOfText(`dkey ${index}`));
      counts.set(target, (counts.get(target) ?? 0) + 1);
    }
    expect([...counts.keys()].toSorted()).toEqual([...placement.targetsOf(oid)]);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  test("keeps the golden targets of some dkeys", () => {
    const placement = new Placement(poolMap(16));
    const dkeys = ["", "a", "greeting", "x".repeat(512)].map(byteStringOfText);
    dkeys.push(byteString(new Uint8Array([0, 255, 0, 1])));
    expect(dkeys.map((dkey) => placement.targetOf(oidOf("SX", 7), dkey))).toMatchInlineSnapshot(`
      [
        5,
        13,
        4,
        4,
        4,
      ]
    `);
    expect(dkeys.map((dkey) => placement.targetOf(oidOf("S4", 7), dkey))).toMatchInlineSnapshot(`
      [
        9,
        15,
        9,
        15,
        15,
      ]
    `);
  });

  test("has one answer where there is one target", () => {
    const placement = new Placement({ version: 1, targets: [servingTarget({ index: 3, host: "h", port: 1 })] });
    expect(placement.targetOf(oidOf("SX", 1), byteStringOfText("k"))).toBe(3);
    expect(placement.targetsOf(oidOf("S8", 1))).toEqual([3]);
  });
});

test("groupOfDkey moves only a proportional share when a group is added", () => {
  const [four, five] = [4, 5].map((count) => new Layouts(poolMap(count)).layoutOf(oidOf("SX", 1)));
  let moved = 0;
  for (let checksum = 0; checksum < 10_000; checksum += 1) {
    if (groupOfDkey(four!, checksum) !== groupOfDkey(five!, checksum)) moved += 1;
  }
  expect(Math.abs(moved / 10_000 - 1 / 5)).toBeLessThan(0.02);
});
