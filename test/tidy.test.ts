/**
 * House rules that no linter knows, read off the files of this checkout. What it refuses it names, with what to do.
 */
import { Glob } from "bun";
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { eventsPage } from "../scripts/events-page.ts";
import { limitsPage } from "../scripts/limits-page.ts";
import { ERROR_CODES } from "../src/base/errors.ts";
import { EVENTS } from "../src/base/events.ts";
import * as limits from "../src/base/limits.ts";

const ROOT = join(import.meta.dir, "..");
const MOST_LINES = 400;
/** Written in halves, so that this file does not hold what it looks for. */
const LEFT_OVERS = [
  "TO" + "DO",
  "FIX" + "ME",
  "XX" + "X:",
  "not imple" + "mented",
  ".only" + "(",
  "test.sk" + "ip(",
  "/wo" + "rk/",
];

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const files = (pattern: string) =>
  [...new Glob(pattern).scanSync(ROOT)].filter((path) => !/(^|\/)(node_modules|build)\//.test(path)).sort();

test("each plugin's test calls the conformance suite of its kind", () => {
  const wrong = files("plugins/*/*/index.ts").flatMap((path) => {
    const [, kind = "", name = ""] = path.split("/");
    const testPath = `test/plugins/${kind}/${name}.test.ts`;
    const suite = `${kind.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())}Conformance`;
    const calls = existsSync(join(ROOT, testPath)) && new RegExp(`^\\s*${suite}\\(`, "m").test(read(testPath));
    return calls ? [] : [`${testPath} does not call ${suite}`];
  });
  expect(wrong).toEqual([]);
  expect(files("plugins/*/*/index.ts")).not.toBeEmpty();
});

test("docs/errors.md has a section for each error code, and for no other", () => {
  const sections = [...read("docs/errors.md").matchAll(/^## ([A-Z_]+)$/gm)].map((match) => match[1]);
  expect(sections.toSorted()).toEqual(Object.keys(ERROR_CODES).toSorted());
});

test("each section of docs/errors.md names its number, what happened and what to do", () => {
  const text = read("docs/errors.md");
  const wrong = Object.entries(ERROR_CODES).filter(([name, number]) => {
    const section = text.split(`## ${name}\n`)[1]?.split("\n## ")[0] ?? "";
    return (
      !new RegExp(`^Number ${number}[.,]`, "m").test(section) ||
      !section.includes("**Cause.**") ||
      !section.includes("**What to do.**")
    );
  });
  expect(wrong.map(([name]) => name)).toEqual([]);
});

test("each format that encodes bytes of its own has golden bytes", () => {
  // cbor.ts holds the CBOR library's settings: its bytes are the standard's.
  const formats = files("src/format/*.ts").filter(
    (path) => path !== "src/format/cbor.ts" && /^export (async )?function encode/m.test(read(path)),
  );
  const wrong = formats.filter((path) => {
    const testPath = path.replace(/^src\//, "test/").replace(/\.ts$/, ".test.ts");
    return !existsSync(join(ROOT, testPath)) || !/golden/i.test(read(testPath));
  });
  expect(wrong).toEqual([]);
  expect(formats).not.toBeEmpty();
});

test("each source file opens with a comment", () => {
  const sources = [
    ...files("{src,plugins,native,scripts,bench}/**/*.{ts,mjs}"),
    ...files("{native,bench}/**/*.{cc,h}"),
  ];
  const wrong = sources.filter((path) => !/^(#![^\n]*\n)?(\/\*\*?\n? ?\*? ?\S|\/\/ \S)/.test(read(path)));
  expect(wrong).toEqual([]);
});

test(`no source file has over ${MOST_LINES} lines`, () => {
  const sources = [
    ...files("{src,plugins,native,scripts,bench}/**/*.{ts,mjs}"),
    ...files("{native,bench}/**/*.{cc,h}"),
  ];
  const wrong = sources
    .map((path) => ({ path, lines: read(path).trimEnd().split("\n").length }))
    .filter(({ lines }) => lines > MOST_LINES);
  expect(wrong).toEqual([]);
});

test("file names are kebab-case", () => {
  const wrong = files("{src,plugins,native,scripts,bench,test}/**/*.{ts,mjs}").filter(
    (path) => !/^([a-z0-9]+(-[a-z0-9]+)*\/)+[a-z0-9]+(-[a-z0-9]+)*(\.(test|bench))?\.(ts|mjs)$/.test(path),
  );
  expect(wrong).toEqual([]);
});

test("nothing is left over: notes to oneself, tests switched off, paths of one machine", () => {
  const texts = [
    ...files("{src,plugins,scripts,bench,test,docs,config,native}/**/*.{ts,mjs,md,cc,h,yml,json,gyp}"),
    "README.md",
    "package.json",
    ".ci/run",
  ];
  const wrong = texts.flatMap((path) => {
    const text = read(path);
    return LEFT_OVERS.filter((words) => text.includes(words)).map((words) => `${path}: ${words}`);
  });
  expect(wrong).toEqual([]);
});

test("docs/limits.md is what `npm run document` makes of src/base/limits.ts", () => {
  expect(read("docs/limits.md")).toBe(limitsPage(read("src/base/limits.ts"), limits));
});

test("docs/events.md is what `npm run document` makes of src/base/events.ts", () => {
  expect(read("docs/events.md")).toBe(eventsPage(EVENTS));
});

test("docs/dependencies.md has a line for each dependency, and each is pinned", () => {
  const manifest = JSON.parse(read("package.json")) as Record<string, Record<string, string>>;
  const dependencies = { ...manifest["dependencies"], ...manifest["devDependencies"] };
  const text = read("docs/dependencies.md");
  expect(Object.keys(dependencies).filter((name) => !text.includes(`| \`${name}\` |`))).toEqual([]);
  expect(Object.values(dependencies).filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
});

test("links between documents lead somewhere", () => {
  const wrong = ["README.md", ...files("docs/*.md"), ...files("native/*.md")].flatMap((path) =>
    [...read(path).matchAll(/\]\((?!https?:)([^)#\s]+)[^)]*\)/g)]
      .map((match) => match[1] ?? "")
      .filter((target) => !existsSync(join(ROOT, dirname(path), target)))
      .map((target) => `${path}: ${target}`),
  );
  expect(wrong).toEqual([]);
});
