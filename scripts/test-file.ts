/**
 * Runs one test file in a `bun test` process of its own and reads the numbers off its summary. A file cannot disturb
 * another's globals, native addons or crash another's run; a process that dies, hangs or runs no test is a failure.
 * Which files, in what order, is left to test.ts.
 */
export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface TestFileResult extends TestCounts {
  readonly path: string;
  readonly durationMs: number;
  readonly output: string;
}

/** One test may take this long, unless it names a limit of its own. */
const TEST_TIMEOUT_MS = 30_000;
/** A whole file may take this long: then it is killed and counts as failed. */
const FILE_TIMEOUT_MS = 8 * 60_000;

/** Runs the file (a path from `root`). Never rejects because of what the tests do. */
export async function runTestFile(root: string, path: string): Promise<TestFileResult> {
  const startedNs = Bun.nanoseconds();
  const child = Bun.spawn([process.execPath, "test", `--timeout=${TEST_TIMEOUT_MS}`, `./${path}`], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" },
    timeout: FILE_TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const durationMs = Math.round((Bun.nanoseconds() - startedNs) / 1e6);
  const killed = child.signalCode === null ? "" : `\n${path}: ended by ${child.signalCode} after ${durationMs} ms\n`;
  const output = `${stdout}${stderr}${killed}`;
  return { path, durationMs, output, ...countsOf(output, status) };
}

/**
 * The numbers of a `bun test` run. The summary is looked for from the end, so that what tests print is not taken for it.
 * An exit status that the numbers do not explain, or no test at all, not even a skipped one, adds a failure: the result is
 * never better than the process's own verdict.
 */
export function countsOf(output: string, status: number): TestCounts {
  const summary = output.slice(Math.max(0, output.lastIndexOf("\n\n")));
  const passed = lastNumber(summary, "pass");
  const reported = lastNumber(summary, "fail");
  const skipped = lastNumber(summary, "skip") + lastNumber(summary, "todo");
  const unexplained = reported === 0 && (status !== 0 || passed + skipped === 0);
  return { passed, failed: reported + (unexplained ? 1 : 0), skipped };
}

function lastNumber(summary: string, word: string): number {
  return Number(new RegExp(`^ +(\\d+) ${word}$`, "m").exec(summary)?.[1] ?? 0);
}
