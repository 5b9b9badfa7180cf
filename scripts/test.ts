/**
 * `npm test [-- WORD ...]`: `npm run check`, then every test file, each in a process of its own; with words, only the
 * files whose path holds one of them. The last line is `N passed, N failed`, added up over all; the status is 1 when
 * anything failed or nothing ran.
 */
import { Glob } from "bun";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { runTestFile, type TestFileResult } from "./test-file.ts";

const ROOT = join(import.meta.dir, "..");
/** Files of these folders run after the others, group by group; the rest is the group `unit`. */
const LATER_GROUPS = ["native", "simulation", "crash", "cluster"];
/** Test processes at once. */
const CONCURRENCY = Math.max(1, Math.min(4, availableParallelism()));

const total = { passed: 0, failed: 0, skipped: 0 };
const words = process.argv.slice(2);

if (words.length === 0) runCheck();
for (const { name, paths } of groups(words)) await runGroup(name, paths);
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);

function runCheck(): void {
  console.log("== check");
  const result = Bun.spawnSync([process.execPath, join(ROOT, "scripts", "check.ts")], {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  if (result.success) total.passed += 1;
  else total.failed += 1;
}

/** The test files by group, unit tests first; groups without a file are left out. */
function groups(filters: readonly string[]): { name: string; paths: string[] }[] {
  const paths = [...new Glob("test/**/*.test.ts").scanSync(ROOT)].sort();
  const wanted = paths.filter((path) => filters.length === 0 || filters.some((word) => path.includes(word)));
  const groupOf = (path: string) => LATER_GROUPS.find((name) => path.startsWith(`test/${name}/`)) ?? "unit";
  return ["unit", ...LATER_GROUPS]
    .map((name) => ({ name, paths: wanted.filter((path) => groupOf(path) === name) }))
    .filter(({ paths: some }) => some.length > 0);
}

async function runGroup(name: string, paths: readonly string[]): Promise<void> {
  console.log(`\n== ${name} (${paths.length} files)`);
  const waiting = [...paths];
  const worker = async (): Promise<void> => {
    for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) report(await runTestFile(ROOT, path));
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

function report(result: TestFileResult): void {
  total.passed += result.passed;
  total.failed += result.failed;
  total.skipped += result.skipped;
  const verdict = result.failed > 0 ? "FAILED" : "ok    ";
  console.log(`${verdict} ${result.path}: ${result.passed} passed, ${result.failed} failed (${result.durationMs} ms)`);
  if (result.failed > 0) console.log(result.output.trimEnd());
}
