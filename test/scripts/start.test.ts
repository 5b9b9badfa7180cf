/**
 * `npm start` as a newcomer meets it: an engine with a pool and a container, the three commands, which work as printed; a
 * second start that finds the engine running; data that is there the next time.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { untilReady } from "./ready-line.ts";

const ROOT = join(import.meta.dir, "..", "..");
const SMALL = ["--targets", "1", "--scm-size", "64MiB", "--nvme-size", "256MiB"];

let storage = "";
beforeEach(() => (storage = mkdtempSync(join(tmpdir(), "daos-start-"))));
afterEach(() => rmSync(storage, { recursive: true, force: true }));

function start(listen: string) {
  return Bun.spawn([process.execPath, join(ROOT, "scripts", "start.ts"), ...SMALL], {
    cwd: ROOT,
    env: { ...process.env, DAOS_STORAGE: storage, DAOS_LISTEN: listen },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
}

/** The three commands of the announcement, as printed. */
function commandsIn(text: string): string[] {
  return [...text.matchAll(/^ {2}(.*npx daos .+)$/gm)].map((match) => match[1] ?? "");
}

test("npm start serves a pool and a container, and its commands work as printed", async () => {
  const first = start("127.0.0.1:0");
  let commands: string[];
  try {
    const address = await untilReady(first);
    const again = start(address);
    const text = await new Response(again.stdout).text();
    expect(await again.exited).toBe(0);
    expect(text).toContain(`is already running on ${address}`);
    commands = commandsIn(text);
    expect(commands).toHaveLength(3);
    for (const command of commands) {
      const result = Bun.spawnSync(["sh", "-c", command], { cwd: ROOT, stdin: "ignore", stderr: "pipe" });
      expect({ command, status: result.exitCode, stderr: result.stderr.toString() }).toMatchObject({
        command,
        status: 0,
      });
    }
  } finally {
    first.kill("SIGTERM");
    expect(await first.exited).toBe(0);
  }

  const second = start("127.0.0.1:0");
  try {
    const address = await untilReady(second);
    const get = ["kv", "get", "tank", "demo", "greeting", "--system", address];
    const result = Bun.spawnSync([process.execPath, join(ROOT, "src", "main.ts"), ...get], { stdin: "ignore" });
    expect(result.stdout.toString().trimEnd()).toBe("hello");
  } finally {
    second.kill("SIGTERM");
    expect(await second.exited).toBe(0);
  }
}, 60_000);
