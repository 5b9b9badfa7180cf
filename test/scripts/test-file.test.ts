/**
 * The test runner's reading of `bun test`: it must never report better than the process did.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countsOf, runTestFile } from "../../scripts/test-file.ts";

const SUMMARY =
  "(pass) a\n(fail) b\n\n 12 pass\n 1 skip\n 2 fail\n 14 expect() calls\nRan 15 tests across 1 file. [1.00ms]\n";

test("countsOf reads the summary", () => {
  expect(countsOf(SUMMARY, 1)).toEqual({ passed: 12, failed: 2, skipped: 1 });
});

test("countsOf does not take what a test printed for the summary", () => {
  const output = `\n\n 99 pass\n 0 fail\n\n 1 pass\n 0 fail\nRan 1 test across 1 file. [1.00ms]\n`;
  expect(countsOf(output, 0)).toEqual({ passed: 1, failed: 0, skipped: 0 });
});

test("countsOf adds a failure when the exit status is not explained, and when nothing ran", () => {
  expect(countsOf("\n\n 3 pass\n 0 fail\n", 139)).toEqual({ passed: 3, failed: 1, skipped: 0 });
  expect(countsOf("", 3)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  expect(countsOf("\n\n 0 pass\n 0 fail\n", 0)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  expect(countsOf("\n\n 0 pass\n 3 skip\n 0 fail\n", 0)).toEqual({ passed: 0, failed: 0, skipped: 3 });
});

test.each([
  ["passes", `test("a", () => {}); test("b", () => {});`, { passed: 2, failed: 0 }],
  ["fails", `test("a", () => {}); test("b", () => { throw new Error("no"); });`, { passed: 1, failed: 1 }],
  ["does not load", `import "./absent.ts"; test("a", () => {});`, { passed: 0, failed: 1 }],
  ["kills its process", `test("a", () => { process.kill(process.pid, "SIGKILL"); });`, { passed: 0, failed: 1 }],
  ["exits early with 0", `test("a", () => process.exit(0));`, { passed: 0, failed: 1 }],
  ["has no test", `export {};`, { passed: 0, failed: 1 }],
])("runTestFile counts a file that %s", async (_name, body, expected) => {
  const folder = mkdtempSync(join(tmpdir(), "daos-runner-"));
  try {
    writeFileSync(join(folder, "x.test.ts"), `import { test } from "bun:test";\n${body}\n`);
    const result = await runTestFile(folder, "x.test.ts");
    expect({ passed: result.passed, failed: result.failed }).toEqual(expected);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
