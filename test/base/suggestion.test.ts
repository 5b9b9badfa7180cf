import { expect, test } from "bun:test";
import { didYouMean, editDistance, suggest } from "../../src/base/suggestion.ts";

test("editDistance counts insertions, deletions, substitutions and swaps of neighbours", () => {
  const cases: readonly (readonly [string, string, number])[] = [
    ["", "", 0],
    ["", "abc", 3],
    ["abc", "", 3],
    ["pool", "pool", 0],
    ["pool", "poll", 1],
    ["pool", "polo", 1],
    ["ca", "abc", 3],
    ["kitten", "sitting", 3],
    ["targets", "tragets", 1],
  ];
  for (const [left, right, distance] of cases) {
    expect(editDistance(left, right)).toBe(distance);
    expect(editDistance(right, left)).toBe(distance);
  }
});

test("suggest gives the nearest candidate, the first of equals, whatever the case", () => {
  expect(suggest("tragets", ["storage", "targets"])).toBe("targets");
  expect(suggest("LISTEN", ["listen"])).toBe("listen");
  expect(suggest("pol", ["pool", "poll"])).toBe("pool");
  expect(suggest("containr", ["container", "contain"])).toBe("container");
});

test("suggest gives nothing when nothing is near", () => {
  expect(suggest("xyz", ["pool", "container"])).toBeUndefined();
  expect(suggest("", ["pool"])).toBeUndefined();
  expect(suggest("ab", ["z"])).toBeUndefined();
  expect(suggest("pool", [])).toBeUndefined();
  expect(suggest("x".repeat(1000), ["x".repeat(999)])).toBeUndefined();
});

test("didYouMean is a sentence or nothing", () => {
  expect(didYouMean("tragets", ["targets"])).toBe(' Did you mean "targets"?');
  expect(didYouMean("xyz", ["targets"])).toBe("");
});
