/** docs/scenarios.md cannot rot: each scenario is there once, and each test that it names exists under that name. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");
const TEXT = readFileSync(join(ROOT, "docs/scenarios.md"), "utf8");
/** Scenarios of each suite in DAOS: the first number, the last one, and how many there are (A has two with number 16). */
const SUITES: Readonly<Record<string, readonly [first: number, last: number, count: number]>> = {
  i: [1, 57, 57],
  A: [0, 22, 24],
  D: [0, 13, 14],
  K: [1, 5, 5],
  I: [0, 29, 30],
  Z: [0, 1, 2],
  e: [1, 5, 5],
  t: [1, 25, 25],
  T: [0, 42, 43],
  F: [1, 32, 32],
  m: [1, 10, 10],
  p: [1, 20, 20],
  c: [1, 38, 38],
  C: [1, 7, 7],
  o: [1, 2, 2],
  R: [1, 2, 2],
  S: [0, 48, 49],
  r: [0, 37, 38],
  v: [1, 28, 28],
  j: [1, 9, 9],
  b: [0, 18, 19],
  B: [1, 16, 16],
  N: [1, 6, 6],
  P: [1, 4, 4],
  G: [0, 2, 3],
};

interface Row {
  readonly suite: string;
  readonly number: number;
  readonly name: string;
  readonly demanded: string;
  readonly answer: string;
}

function rowsOf(text: string): Row[] {
  return text.split(/^## /m).flatMap((section) => {
    const suite = /^([A-Za-z]): /.exec(section)?.[1];
    if (suite === undefined) return [];
    return [...section.matchAll(/^\| (\d+) \| ([^|]+) \| ([^|]*) \| ([^|]+) \|$/gm)].map((match) => {
      const [, number, name, demanded, answer] = match as unknown as [string, string, string, string, string];
      return { suite, number: Number(number), name, demanded: demanded.trim(), answer };
    });
  });
}

/** Titles of the tests of a file as patterns: what a template fills in may be anything. */
function titlesOf(path: string): RegExp[] {
  const text = readFileSync(path, "utf8");
  const literals = text.matchAll(/(?:\btest(?:\.each\([^]*?\))?|\]\))\(\s*(["'`])((?:\\.|(?!\1)[^\\])*)\1/g);
  return [...literals].map(([, , title]) => {
    const pieces = title!.split(/\$\{[^}]*\}|%[a-z]/);
    return new RegExp(`^${pieces.map((piece) => RegExp.escape(piece)).join(".+")}$`);
  });
}

/** What is wrong with the tests that a row names. */
function problemsOf({ suite, number, answer }: Row, titles = titlesOf): string[] {
  const row = `${suite} ${number}`;
  const named = [...answer.matchAll(/`([a-z0-9/-]+)`: \*([^*]+)\*/g)];
  if (named.length === 0) {
    return /^(does not apply|not covered): \S/.test(answer) ? [] : [`${row}: neither a test nor a reason`];
  }
  return named.flatMap(([, file, name]) => {
    const path = [".test.ts", ".ts"].map((end) => join(ROOT, "test", `${file}${end}`)).find(existsSync);
    if (path === undefined) return [`${row}: there is no test/${file}`];
    return titles(path).some((title) => title.test(name!)) ? [] : [`${row}: test/${file} has no test "${name}"`];
  });
}

test("each scenario of the suites is there, in order", () => {
  const rows = rowsOf(TEXT);
  for (const [suite, [first, last, count]] of Object.entries(SUITES)) {
    const numbers = rows.filter((row) => row.suite === suite).map(({ number }) => number);
    expect([suite, numbers.length, numbers[0], numbers.at(-1)]).toEqual([suite, count, first, last]);
    expect(numbers).toEqual(numbers.toSorted((left, right) => left - right));
    expect(new Set(numbers).size).toBe(last - first + 1);
  }
  expect(rows.length).toBe(Object.values(SUITES).reduce((sum, [, , count]) => sum + count, 0));
});

test("each row names tests that there are and what they demand, or says why there is none", () => {
  const rows = rowsOf(TEXT);
  expect(rows.flatMap((row) => problemsOf(row))).toEqual([]);
  const isTested = (row: Row): boolean => row.answer.startsWith("`");
  expect(rows.filter((row) => isTested(row) === (row.demanded === "")).map(({ name }) => name)).toEqual([]);
});

test("a test that is renamed, or a file that goes, is found", () => {
  const row = { suite: "i", number: 1, name: "x", demanded: "y" };
  const titles = (): RegExp[] => [/^kept$/];
  expect(problemsOf({ ...row, answer: "`docs/scenarios`: *kept*" }, titles)).toEqual([]);
  expect(problemsOf({ ...row, answer: "`docs/scenarios`: *renamed*" }, titles)).toHaveLength(1);
  expect(problemsOf({ ...row, answer: "`docs/none`: *kept*" }, titles)).toHaveLength(1);
  expect(problemsOf({ ...row, answer: "surely somewhere" }, titles)).toHaveLength(1);
  expect(problemsOf({ ...row, answer: "does not apply: no ranks" }, titles)).toEqual([]);
});
