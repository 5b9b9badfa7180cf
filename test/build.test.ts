/**
 * dist/daos as a user has it: alone in an empty folder, it tells its version, serves, stores, and finds everything again
 * after a kill -9.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { untilReady } from "./scripts/ready-line.ts";

const ROOT = join(import.meta.dir, "..");
const SMALL = ["--targets", "1", "--scm-size", "64MiB", "--nvme-size", "256MiB"];

let folder = "";
let home = "";
let executable = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "daos-build-"));
  home = join(folder, "empty");
  mkdirSync(home);
  executable = join(folder, "bin", "daos");
  const build = Bun.spawnSync([process.execPath, join(ROOT, "scripts", "build.ts"), executable], { cwd: ROOT });
  if (!build.success) throw new Error(`build failed:\n${build.stdout.toString()}${build.stderr.toString()}`);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the executable to its end, in the empty folder, with nothing of this checkout in its environment. */
async function daos(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const env = { PATH: "/usr/bin:/bin", HOME: home, TMPDIR: tmpdir() };
  const child = Bun.spawn([executable, ...args], { cwd: home, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { status, stdout, stderr };
}

function startEngine() {
  const args = ["server", "start", "--storage", join(folder, "storage"), "--listen", "127.0.0.1:0", ...SMALL];
  return Bun.spawn([executable, ...args], { cwd: home, stdin: "ignore", stdout: "pipe", stderr: "inherit" });
}

test("the executable tells its version", async () => {
  const { version } = (await Bun.file(join(ROOT, "package.json")).json()) as { version: string };
  const { status, stdout } = await daos("--version");
  expect({ status, hasVersion: stdout.includes(version) }).toEqual({ status: 0, hasVersion: true });
});

test("the executable serves, stores, and finds it again after a kill -9", async () => {
  const first = startEngine();
  try {
    const address = await untilReady(first);
    const commands = [
      ["pool", "create", "tank", "--size", "64MiB"],
      ["container", "create", "tank", "demo", "--type", "kv"],
      ["kv", "put", "tank", "demo", "greeting", "hello"],
    ];
    for (const command of commands) {
      const { status, stderr } = await daos(...command, "--system", address);
      expect({ command, status, stderr }).toMatchObject({ command, status: 0 });
    }
  } finally {
    first.kill("SIGKILL");
    await first.exited;
  }
  const second = startEngine();
  try {
    const address = await untilReady(second);
    const { status, stdout } = await daos("kv", "get", "tank", "demo", "greeting", "--system", address);
    expect({ status, value: stdout.trimEnd() }).toEqual({ status: 0, value: "hello" });
  } finally {
    second.kill("SIGTERM");
    expect(await second.exited).toBe(0);
  }
}, 60_000);
