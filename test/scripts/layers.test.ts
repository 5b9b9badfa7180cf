/**
 * The layer check, by planted violations: each must be caught, and the allowed neighbours must not.
 */
import { expect, test } from "bun:test";
import { importsOf, layerViolations } from "../../scripts/layers.ts";

const problems = (path: string, text: string) => layerViolations([{ path, text }]).map(({ message }) => message);

test.each([
  ["src/base/x.ts", "../format/frame.ts"],
  ["src/format/x.ts", "../contracts/scm.ts"],
  ["src/contracts/x.ts", "../store/cell.ts"],
  ["src/store/x.ts", "../vos/tree.ts"],
  ["src/engine/x.ts", "../client/index.ts"],
  ["src/engine/x.ts", "../world/disk.ts"],
  ["src/client/x.ts", "../../plugins/interface/kv/index.ts"],
  ["src/world/x.ts", "../store/cell.ts"],
  ["src/newcomer/x.ts", "../base/bytes.ts"],
  ["plugins/scm/file/index.ts", "../../../src/store/cell.ts"],
  ["plugins/scm/file/index.ts", "../../../src/world/index.ts"],
  ["src/vos/x.ts", "node:fs"],
  ["src/vos/x.ts", "bun"],
  ["src/vos/x.ts", "lmdb"],
])("%s may not import %s", (path, specifier) => {
  expect(problems(path, `import { y } from "${specifier}";`)).toHaveLength(1);
  expect(problems(path, `import type { y } from "${specifier}";`)).toHaveLength(1);
  expect(problems(path, `export {\n  y,\n} from "${specifier}";`)).toHaveLength(1);
  expect(problems(path, `const y = await import("${specifier}");`)).toHaveLength(1);
});

test.each([
  ["src/format/x.ts", "../base/errors.ts"],
  ["src/vos/x.ts", "../store/cell.ts"],
  ["src/vos/x.ts", "./tree.ts"],
  ["src/cli/x.ts", "../client/index.ts"],
  ["src/world/x.ts", "node:fs"],
  ["src/world/x.ts", "../contracts/world.ts"],
  ["src/main.ts", "../plugins/registry.ts"],
  ["src/target-thread.ts", "./world/index.ts"],
  ["plugins/scm/file/index.ts", "../../../src/contracts/scm.ts"],
  ["plugins/meta-store/sqlite/index.ts", "bun:sqlite"],
  ["src/store/lmdb-index.ts", "lmdb"],
  ["src/format/cbor.ts", "cbor-x"],
])("%s may import %s", (path, specifier) => {
  expect(problems(path, `import { y } from "${specifier}";`)).toEqual([]);
});

test("new Date() outside the world is caught, new Date(ms) and comments are not", () => {
  expect(problems("src/vos/x.ts", "const now = new Date();")).toHaveLength(1);
  expect(problems("src/vos/x.ts", "const then = new Date(12);")).toEqual([]);
  expect(problems("src/vos/x.ts", "// new Date()\n/* new Date() */")).toEqual([]);
  expect(problems("src/world/x.ts", "const now = new Date();")).toEqual([]);
});

test("importsOf ignores comments, respects strings that look like them, and gives lines", () => {
  const text = `const url = "http://x"; // import "a"\n/* import "b" */\nimport "./c.ts";\nimport {\n  d,\n} from "./d.ts";\n`;
  expect(importsOf(text)).toEqual([
    { specifier: "./c.ts", line: 3 },
    { specifier: "./d.ts", line: 6 },
  ]);
});
