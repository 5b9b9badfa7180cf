/** Explanations: what they say an object survives is what it survives, and classes that do not fit are refused. */
import { expect, test } from "bun:test";
import { objectClassByName } from "../../src/base/object-class.ts";
import { checkClassFits, domainCount, explainLayout } from "../../src/placement/explanation.ts";
import { Layouts } from "../../src/placement/layout.ts";
import { expectCode } from "../store/expect-code.ts";
import { objectOf, poolMap, withStates } from "./pool-maps.ts";

test("any failure of that many ranks leaves the data, and some failure of one more does not", () => {
  const map = poolMap([2, 2, 1], 2);
  const layouts = new Layouts(map);
  for (const className of ["RP_2G2", "RP_3GX", "EC_2P1G1", "EC_2P2GX"]) {
    const { groups, tolerates, dataShards } = explainLayout(layouts, objectOf(className, 3));
    const { failures } = tolerates.find(({ level }) => level === "rank")!;
    const survives = (ranks: readonly number[]) =>
      groups.every((group) => group.filter(({ rank }) => !ranks.includes(rank!)).length >= dataShards);
    const choices = (count: number) =>
      Array.from({ length: 32 }, (_, bits) => [0, 1, 2, 3, 4].filter((rank) => ((bits >> rank) & 1) === 1)).filter(
        (ranks) => ranks.length === count,
      );
    expect(choices(failures).every(survives)).toBe(true);
    expect(choices(failures + 1).every(survives)).toBe(false);
  }
});

test("a shard that is rebuilding counts as lost", () => {
  const map = poolMap([4], 1);
  const toleratedOf = (states: typeof map) =>
    explainLayout(new Layouts(states), objectOf("RP_3GX", 1)).tolerates.map(({ failures }) => failures);
  expect(toleratedOf(map)).toEqual([2, 2]);
  expect(toleratedOf(withStates(map, [0], "DOWN", 2))).toEqual([1, 1]);
  expect(toleratedOf(withStates(map, [0], "DOWNOUT", 2))).toEqual([2, 2]);
});

test("classes that the pool has too few engines for are refused, with the numbers", () => {
  const { tree } = new Layouts(withStates(poolMap([3], 2), [4, 5], "NEW", 2));
  expect(domainCount(tree)).toBe(2);
  checkClassFits(objectClassByName("RP_2GX"), tree);
  expect(expectCode("INVALID_ARGUMENT", () => checkClassFits(objectClassByName("RP_3G1"), tree)).message).toBe(
    'Cannot use object class "RP_3G1": RP_3 needs 3 fault domains, the pool has 2 (its engines). Add engines, or use RP_2.',
  );
  expect(expectCode("INVALID_ARGUMENT", () => checkClassFits(objectClassByName("EC_2P1GX"), tree)).message).toEndWith(
    "the pool has 2 (its engines). Add engines.",
  );
});
