/**
 * The native code of each addon under AddressSanitizer and UndefinedBehaviorSanitizer, for a second each
 * (`npm run test:asan` takes longer), and that a planted overrun is caught. Skipped where there is no compiler.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runHarness, sanitizeHarnesses, sanitizerProblem } from "../../scripts/sanitize-harness.ts";

const ROOT = join(import.meta.dir, "..", "..");
const SECONDS = 1;
const problem = sanitizerProblem();

/** An addon that set-up could build has its headers here; another's harness cannot be compiled. */
function isBuilt(addon: string): boolean {
  const stamp = join(ROOT, "native", addon, "build", "stamp.json");
  return existsSync(stamp) && !("failure" in (JSON.parse(readFileSync(stamp, "utf8")) as object));
}

test("sanitizeHarnesses finds a harness with its sources and libraries", () => {
  const isal = sanitizeHarnesses(ROOT).find(({ name }) => name === "native/isal/sanitize/fuzz.cc");
  expect(isal?.libraries).toEqual(["isal"]);
  expect(isal?.sources.map((path) => path.slice(join(ROOT, "native", "isal").length))).toEqual([
    "/sanitize/fuzz.cc",
    "/checksum.cc",
    "/erasure.cc",
  ]);
});

describe.skipIf(problem !== undefined)(`sanitizers${problem === undefined ? "" : ` (skipped: ${problem})`}`, () => {
  for (const harness of sanitizeHarnesses(ROOT)) {
    const skipped = isBuilt(harness.addon) ? "" : ` (skipped: native addon ${harness.addon} is not built)`;
    test.skipIf(skipped !== "")(
      `${harness.name} runs without a report${skipped}`,
      () => expect(runHarness(harness, SECONDS)).toMatchObject({ passed: true }),
      90_000,
    );
  }

  let root = "";
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), "daos-sanitize-test-"));
    mkdirSync(join(root, "native", "sample", "sanitize"), { recursive: true });
    writeFileSync(join(root, "native", "sample", "binding.cc"), "#error not part of a harness\n");
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  test.each([
    [
      "an overrun",
      "#include <cstring>\nint main() { char* n = new char[8]; memset(n, 0, fill(9)); return n[0]; }",
      "heap-buffer-overflow",
    ],
    ["a leak", "int main() { return *new int(fill(0)); }", "detected memory leaks"],
    ["undefined behaviour", "int main() { return fill(2147483647) + fill(1) == 0; }", "signed integer overflow"],
    ["a status", "int main() { return fill(3); }", "ended with status 3"],
  ])("%s is a failure", (_, main, report) => {
    writeFileSync(join(root, "native", "sample", "fill.cc"), "int fill(volatile int n) { return n; }\n");
    writeFileSync(join(root, "native", "sample", "sanitize", "planted.cc"), `int fill(volatile int n);\n${main}\n`);
    const [harness] = sanitizeHarnesses(root);
    const { passed, output } = runHarness(harness!, SECONDS);
    expect(output).toContain(report);
    expect(passed).toBe(false);
  });
});
