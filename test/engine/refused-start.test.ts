/**
 * Starts that must be refused, by the command itself: a folder in use, a folder that cannot be written, and each way to
 * get the configuration wrong. One clear line, and status 1, or 2 where the configuration or the call is at fault.
 */
import { afterEach, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EngineRig, refusedStart, runDaos, temporaryFolder } from "./engine-rig.ts";

const MOUNT = "mount";
const UNMOUNT = "umount";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const made = temporaryFolder();
  folders.push(made);
  return made;
}

function expectLine(output: string, pattern: RegExp): void {
  expect(output).toMatch(pattern);
  expect(output.trim().split("\n").length).toBe(1);
}

test("a second engine on the same folder: status 1, who has it, and the first one goes on", async () => {
  const rig = await EngineRig.start();
  try {
    await rig.container.kv().put("key", Buffer.from("value"));
    const { status, output } = await refusedStart(rig.storage);
    expectLine(output, new RegExp(`^daos: Cannot lock .*process ${rig.engine.pid} holds it\\. Stop that one`));
    expect(status).toBe(1);
    expect((await rig.container.kv().get("key"))!.value.length).toBe(5);
  } finally {
    await rig.remove();
  }
}, 20_000);

test("a listen address in use: status 1", async () => {
  const rig = await EngineRig.start();
  try {
    const { status, output } = await runDaos([
      "server",
      "start",
      "--storage",
      join(folder(), "own"),
      "--listen",
      rig.engine.address,
      "--scm-size",
      "64MiB",
      "--nvme-size",
      "64MiB",
      "--targets",
      "1",
    ]);
    expectLine(output, /^daos: Cannot listen on .*the address is in use\. Stop/);
    expect(status).toBe(1);
  } finally {
    await rig.remove();
  }
}, 20_000);

/** Runs `test` while `path` is mounted read-only over itself; false when this may not be done here. */
async function whileReadOnly(path: string, check: () => Promise<void>): Promise<boolean> {
  if (spawnSync(MOUNT, ["--bind", path, path]).status !== 0) return false;
  try {
    if (spawnSync(MOUNT, ["-o", "remount,ro,bind", path]).status !== 0) return false;
    await check();
    return true;
  } finally {
    spawnSync(UNMOUNT, ["-l", path]);
  }
}

test("a read-only folder, new or with data: READ_ONLY in words, status 1", async () => {
  const rig = await EngineRig.start();
  try {
    await rig.kill();
    const empty = folder();
    for (const storage of [rig.storage, empty, join(empty, "inside")]) {
      const mounted = await whileReadOnly(storage === rig.storage ? storage : empty, async () => {
        const { status, output } = await refusedStart(storage);
        expectLine(output, /^daos: Cannot .*read-only/i);
        expect(status).toBe(1);
      });
      // Mounting takes rights that not every machine gives; there this is not tested.
      if (!mounted) console.warn("read-only folder: not tested, for nothing can be mounted here");
    }
    await rig.startAgain();
  } finally {
    await rig.remove();
  }
}, 30_000);

test("folders that are none of ours, files in their place: nothing is touched", async () => {
  const foreign = folder();
  writeFileSync(join(foreign, "thesis.txt"), "mine");
  const { status, output } = await refusedStart(foreign);
  expectLine(output, /^daos: Cannot use storage folder .*thesis\.txt.*Name an empty folder/);
  expect(status).toBe(2);
  expect(existsSync(join(foreign, "thesis.txt"))).toBe(true);
  const file = join(foreign, "thesis.txt");
  const refused = await refusedStart(file);
  expectLine(refused.output, /^daos: Cannot make folder/);
  expect(refused.status).toBe(1);
}, 20_000);

const WRONG: readonly [what: string, yaml: string, message: RegExp][] = [
  ["an unknown key", "nme: daos", /nme.*Did you mean "name"\?/],
  [
    "an unknown key of a section",
    "scm:\n  plugn: file",
    /scm\.plugn.*Did you mean "scm\.plugin"|plugn.*Did you mean "plugin"/,
  ],
  ["a wrong type", "targets: many", /targets/],
  ["a number below its range", "targets: 0", /targets/],
  ["a number over its range", "targets: 1000", /targets/],
  ["a size that is none", "scm:\n  size: big", /scm\.size.*4GiB/],
  ["a size too small", "scm:\n  size: 1MiB\ntargets: 1", /scm\.size/],
  ["a list for a map", "nvme: [1, 2]", /nvme/],
  ["a port that is no number", "listen: localhost:http", /listen/],
  ["a port out of range", "listen: 127.0.0.1:99999", /listen/],
  ["an address for everyone, without certificates", "listen: 0.0.0.0:0", /loopback|certificate/i],
  ["an unknown plugin", "scm:\n  plugin: pmem", /pmem/],
  ["an unknown key of a plugin", "nvme:\n  plugin: file\n  config: { preallocat: true }", /preallocat/],
  ["settings and no plugin", "scm:\n  config: { mode: sync }", /Name the plugin in scm\.plugin/],
  ["a foreign plugin that is not there", "plugins: [./nowhere.ts]\nscm:\n  plugin: nowhere", /nowhere/],
  ["no YAML", "a: [unclosed", /line|YAML/i],
  ["a document that is no map", "- one\n- two", /map|keys/i],
];

test("wrong configurations: each is status 2 and names what is wrong", async () => {
  const place = folder();
  const path = join(place, "daos.yml");
  const outcomes = await Promise.all(
    WRONG.map(async ([what, yaml, message], index) => {
      const own = join(place, String(index));
      mkdirSync(own);
      writeFileSync(join(own, "daos.yml"), yaml);
      const storage = join(own, "storage");
      const { status, output } = await runDaos([
        "server",
        "start",
        "--config",
        join(own, "daos.yml"),
        "--storage",
        storage,
      ]);
      return { what, status, named: message.test(output), output, made: existsSync(storage) };
    }),
  );
  for (const { output, ...outcome } of outcomes) {
    expect({ ...outcome, output: outcome.named ? "" : output }).toEqual({
      what: outcome.what,
      status: 2,
      named: true,
      made: false,
      output: "",
    });
  }
  const { status, output } = await runDaos(["server", "start", "--config", path]);
  expectLine(output, /^daos: Cannot read .*daos\.yml/);
  expect(status).toBe(1);
}, 60_000);

test("a storage formatted otherwise than configured: status 2, and what it was formatted with", async () => {
  const rig = await EngineRig.start();
  try {
    await rig.kill();
    const { status, output } = await refusedStart(rig.storage, "--scm-size", "1GiB");
    expectLine(output, /formatted with scm\.size 64 MiB .* cannot be changed/);
    expect(status).toBe(2);
    expect((await refusedStart(rig.storage, "--targets", "3")).status).toBe(2);
    expect((await refusedStart(rig.storage, "--targts", "3")).output).toMatch(/did you mean --targets\?/);
  } finally {
    await rig.remove();
  }
}, 20_000);
