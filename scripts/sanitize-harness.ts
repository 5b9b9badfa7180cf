/**
 * Builds and runs the programs that exercise addons under sanitizers: native/<name>/sanitize/*.cc. Which and how long is
 * left to sanitize.ts and to test/native/sanitize.test.ts.
 */
import { Glob } from "bun";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

export interface Harness {
  /** Name of the addon's folder. */
  readonly addon: string;
  /** Path from the checkout. */
  readonly name: string;
  readonly sources: readonly string[];
  /** Linked with, such as `isal`. */
  readonly libraries: readonly string[];
}

export interface HarnessResult {
  readonly passed: boolean;
  readonly output: string;
}

const COMPILER = "c++";
const FLAGS = [
  "-std=c++17",
  "-g",
  "-O1",
  "-fno-omit-frame-pointer",
  "-fsanitize=address,undefined",
  "-fno-sanitize-recover=all",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-pthread",
];
const RUN_ENVIRONMENT = {
  ASAN_OPTIONS: "detect_leaks=1:abort_on_error=0:halt_on_error=1",
  UBSAN_OPTIONS: "print_stacktrace=1:halt_on_error=1",
};
/** Beyond the seconds asked for, a harness may take this long to end, milliseconds. */
const GRACE_MS = 60_000;
const REPORT = /ERROR: (Address|Leak|Thread)Sanitizer|runtime error:/;

/** Every harness of the checkout, sorted. */
export function sanitizeHarnesses(root: string): readonly Harness[] {
  return [...new Glob("native/*/sanitize/*.cc").scanSync(root)].sort().map((name) => {
    const addon = name.split("/")[1]!;
    const folder = join(root, "native", addon);
    const own = [...new Glob("*.cc").scanSync(folder)].filter((file) => file !== "binding.cc").sort();
    return {
      addon,
      name,
      sources: [join(root, name), ...own.map((file) => join(folder, file))],
      libraries: librariesOf(folder),
    };
  });
}

function librariesOf(folder: string): readonly string[] {
  const path = join(folder, "packages.json");
  if (!existsSync(path)) return [];
  return (JSON.parse(readFileSync(path, "utf8")) as { libraries?: readonly string[] }).libraries ?? [];
}

/** Why no harness can be built here; undefined when they can. */
export function sanitizerProblem(): string | undefined {
  return Bun.which(COMPILER) === null ? "no C++ compiler: install build-essential" : undefined;
}

/** Compiles the harness in a temporary folder and runs it for so long. Output is the compiler's if that fails. */
export function runHarness(harness: Harness, seconds: number): HarnessResult {
  const problem = sanitizerProblem();
  if (problem !== undefined) return { passed: false, output: problem };
  const folder = mkdtempSync(join(tmpdir(), "daos-sanitize-"));
  try {
    const program = join(folder, basename(harness.name, ".cc"));
    const libraries = harness.libraries.map((library) => `-l${library}`);
    const build = run([COMPILER, ...FLAGS, "-o", program, ...harness.sources, ...libraries], {});
    if (!build.passed) return build;
    const result = run([program, String(seconds)], RUN_ENVIRONMENT, seconds * 1000 + GRACE_MS);
    return { passed: result.passed && !REPORT.test(result.output), output: result.output };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function run(
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
  timeoutMs?: number,
): HarnessResult {
  const result = Bun.spawnSync([...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...environment },
    ...(timeoutMs === undefined ? {} : { timeout: timeoutMs, killSignal: "SIGKILL" as const }),
  });
  const ending = result.success ? "" : `ended with ${result.signalCode ?? `status ${result.exitCode}`}\n`;
  return { passed: result.success, output: `${result.stdout.toString()}${result.stderr.toString()}${ending}` };
}
