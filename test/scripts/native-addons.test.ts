/**
 * The build of native addons: on a machine of which the test says what it has (compiler, packages, root, apt-get), and
 * once for real on a small addon, where this machine has a compiler.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const CHECKOUT = join(import.meta.dir, "..", "..");
const PORTABLE = "the portable plugins serve";
const SOURCE = `#include <node_api.h>
NAPI_MODULE_INIT() {
  napi_value answer;
  napi_create_int32(env, 42, &answer);
  napi_set_named_property(env, exports, "answer", answer);
  return exports;
}
`;
const GYP = `{ "targets": [{ "target_name": "sample", "sources": ["binding.cc"] }] }`;

/** A machine in words; what it does is in MACHINE. */
interface Machine {
  /** Programs on the PATH. */
  readonly programs: readonly string[];
  readonly installedPackages?: readonly string[];
  readonly isRoot?: boolean;
  readonly retry?: boolean;
  /** Packages that apt-get can bring; it refuses a call that names another. */
  readonly availablePackages?: readonly string[];
  /** Exit status of node-gyp. */
  readonly compilerStatus?: number;
}
interface Outcome {
  readonly lines: readonly string[];
  /** Programs run, with the arguments that matter. */
  readonly ran: readonly string[];
}

const COMPILER = ["c++", "make", "python3"];
const DEBIAN = ["dpkg-query", "apt-get"];

/** Runs in Node: makes the machine, calls buildAddons, prints the outcome. */
const MACHINE = `
import { mkdirSync, writeFileSync } from "node:fs";
const [module, root, text] = process.argv.slice(1);
const { buildAddons, SYSTEM } = await import(module);
const machine = JSON.parse(text);
const lines = [], ran = [];
const programs = new Set(machine?.programs), installed = new Set(machine?.installedPackages);
function answer(command, args) {
  if (command === "dpkg-query") {
    return { status: 0, output: args.slice(2).map((name) => (installed.has(name) ? "installed " : "unknown ") + name + "\\n").join("") };
  }
  const names = args.filter((argument, index) => index > 0 && !argument.startsWith("-") && args[index - 1] !== "-o");
  ran.push(command === "apt-get" ? ["apt-get", args[0], ...names].join(" ") : "node-gyp " + args.find((word) => word.startsWith("--directory=")).split("/").at(-1));
  if (command !== "apt-get") {
    const folder = args.find((word) => word.startsWith("--directory=")).slice("--directory=".length);
    const built = (machine.compilerStatus ?? 0) === 0;
    if (built) mkdirSync(folder + "/build/Release", { recursive: true });
    if (built) writeFileSync(folder + "/build/Release/" + folder.split("/").at(-1) + ".node", "");
    return { status: machine.compilerStatus ?? 0, output: "" };
  }
  if (args[0] === "update") return { status: 0, output: "" };
  const unknown = names.find((name) => !machine.availablePackages?.includes(name));
  if (unknown !== undefined) return { status: 100, output: "Reading package lists...\\nE: Unable to locate package " + unknown + "\\n" };
  for (const name of names) installed.add(name);
  if (names.includes("build-essential")) programs.add("c++").add("make");
  if (names.includes("python3")) programs.add("python3");
  return { status: 0, output: "" };
}
const system = machine === null ? SYSTEM : {
  find: (name) => programs.has(name), run: answer, isRoot: machine.isRoot ?? false, retry: machine.retry ?? false,
};
buildAddons(root, (line) => lines.push(line), system);
console.log(JSON.stringify({ lines, ran }));
`;

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "daos-addons-"));
  symlinkSync(join(CHECKOUT, "node_modules"), join(root, "node_modules"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** `machine` undefined: this one. */
function buildAddons(machine?: Machine): Outcome {
  const module = join(CHECKOUT, "scripts", "native-addons.mjs");
  const args = ["--input-type=module", "-e", MACHINE, module, root, JSON.stringify(machine ?? null)];
  // As continuous integration may have it: without a home folder.
  const result = Bun.spawnSync(["node", ...args], { cwd: root, env: { ...process.env, HOME: "" } });
  expect(result.stderr.toString()).toBe("");
  return JSON.parse(result.stdout.toString()) as Outcome;
}

function writeAddon(name: string, debianPackages: readonly string[], source = SOURCE): void {
  const folder = join(root, "native", name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "binding.cc"), source);
  writeFileSync(join(folder, "binding.gyp"), GYP);
  writeFileSync(join(folder, "packages.json"), JSON.stringify({ debianPackages }));
}

test("buildAddons without addons says that the portable plugins serve", () => {
  expect(buildAddons()).toEqual({ lines: [`no native addons in this version: ${PORTABLE}`], ran: [] });
});

describe("without root", () => {
  test("no compiler and no package: one line names what to install, and nothing is run", () => {
    writeAddon("first", ["libone-dev"]);
    writeAddon("second", ["libtwo-dev", "libone-dev"]);
    const machine: Machine = { programs: DEBIAN };
    const line = `native addons first, second not built (no c++, no make, no python3): install build-essential python3 libone-dev libtwo-dev, then run "npm run setup"; ${PORTABLE}`;
    expect(buildAddons(machine)).toEqual({ lines: [line], ran: [] });
    expect(buildAddons(machine)).toEqual({ lines: [line], ran: [] });
  });

  test("a package that lacks costs only the addon that needs it", () => {
    writeAddon("first", ["libone-dev"]);
    writeAddon("second", ["libtwo-dev"]);
    const machine: Machine = { programs: [...COMPILER, ...DEBIAN], installedPackages: ["libtwo-dev"] };
    const line = `native addons first not built: install libone-dev, then run "npm run setup"; ${PORTABLE}`;
    expect(buildAddons(machine)).toEqual({ lines: ["native addon second built", line], ran: ["node-gyp second"] });
    expect(buildAddons(machine)).toEqual({ lines: [line], ran: [] });
  });

  test("an addon is built at the next start once its package is there", () => {
    writeAddon("first", ["libone-dev"]);
    const programs = [...COMPILER, ...DEBIAN];
    expect(buildAddons({ programs }).ran).toEqual([]);
    expect(buildAddons({ programs, installedPackages: ["libone-dev"] })).toEqual({
      lines: ["native addon first built"],
      ran: ["node-gyp first"],
    });
    expect(buildAddons({ programs, installedPackages: ["libone-dev"] })).toEqual({ lines: [], ran: [] });
  });

  test("without dpkg the compiler decides", () => {
    writeAddon("first", ["libone-dev"]);
    expect(buildAddons({ programs: COMPILER }).lines).toEqual(["native addon first built"]);
  });
});

describe("as root with apt-get", () => {
  const debianRoot: Machine = { programs: [...COMPILER, ...DEBIAN], isRoot: true };

  test("only what is missing is installed, in one call for all addons", () => {
    writeAddon("first", ["libone-dev", "libhere-dev"]);
    writeAddon("second", ["libtwo-dev", "libone-dev"]);
    const machine = {
      ...debianRoot,
      installedPackages: ["libhere-dev"],
      availablePackages: ["libone-dev", "libtwo-dev"],
    };
    expect(buildAddons(machine)).toEqual({
      lines: [
        "installing Debian packages libone-dev libtwo-dev ...",
        "native addon first built",
        "native addon second built",
      ],
      ran: ["apt-get install libone-dev libtwo-dev", "node-gyp first", "node-gyp second"],
    });
  });

  test("nothing missing: apt-get is not called", () => {
    writeAddon("first", ["libone-dev"]);
    expect(buildAddons({ ...debianRoot, installedPackages: ["libone-dev"] }).ran).toEqual(["node-gyp first"]);
  });

  test("no compiler: it is installed too", () => {
    writeAddon("first", []);
    const availablePackages = ["build-essential", "python3"];
    expect(buildAddons({ programs: DEBIAN, isRoot: true, availablePackages })).toEqual({
      lines: ["installing Debian packages build-essential python3 ...", "native addon first built"],
      ran: ["apt-get install build-essential python3", "node-gyp first"],
    });
  });

  test("a package that this release lacks: one line, the other addon is built, and the next start does not try again", () => {
    writeAddon("first", ["libgone-dev"]);
    writeAddon("second", ["libtwo-dev"]);
    const machine = { ...debianRoot, availablePackages: ["libtwo-dev"] };
    const line = `native addons first not built: install libgone-dev (apt-get could not: E: Unable to locate package libgone-dev), then run "npm run setup"; ${PORTABLE}`;
    expect(buildAddons(machine)).toEqual({
      lines: ["installing Debian packages libgone-dev libtwo-dev ...", "native addon second built", line],
      ran: [
        "apt-get install libgone-dev libtwo-dev",
        "apt-get update",
        "apt-get install libgone-dev",
        "apt-get install libtwo-dev",
        "node-gyp second",
      ],
    });
    expect(buildAddons({ ...machine, installedPackages: ["libtwo-dev"] })).toEqual({ lines: [line], ran: [] });
    expect(buildAddons({ ...machine, retry: true }).ran).toContain("apt-get install libgone-dev");
  });
});

test("an addon that does not compile is tried again when a source changes or someone asks, not at every start", () => {
  writeAddon("first", []);
  const machine: Machine = { programs: COMPILER, compilerStatus: 1 };
  const line = `native addon first not built: it did not compile, see native/first/build/build.log; mend that, then run "npm run setup"; ${PORTABLE}`;
  expect(buildAddons(machine)).toEqual({ lines: [line], ran: ["node-gyp first"] });
  expect(buildAddons(machine)).toEqual({ lines: [line], ran: [] });
  expect(buildAddons({ ...machine, retry: true })).toEqual({ lines: [line], ran: ["node-gyp first"] });
  writeAddon("first", [], `${SOURCE}// changed\n`);
  expect(buildAddons({ programs: COMPILER }).lines).toEqual(["native addon first built"]);
});

test("a folder that cannot be written costs one line, not the set-up", () => {
  writeAddon("first", []);
  writeFileSync(join(root, "native", "first", "build"), "in the way");
  const { lines } = buildAddons({ programs: DEBIAN });
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(
    /^native addons not brought up to date: E.*; the portable plugins serve where none was built$/,
  );
  expect(existsSync(join(root, "native", ".lock"))).toBe(false);
});

test("a lock left behind by a process that died is taken over, and none is left", () => {
  writeAddon("first", []);
  const gone = Bun.spawnSync(["true"]).pid;
  const lock = join(root, "native", ".lock");
  writeFileSync(lock, String(gone));
  expect(buildAddons({ programs: COMPILER }).lines).toEqual(["native addon first built"]);
  expect(existsSync(lock)).toBe(false);
});

test.skipIf(COMPILER.some((name) => Bun.which(name) === null))(
  "a real addon: built once, again when a source changes, and a source that does not compile leaves its log",
  () => {
    writeAddon("sample", []);
    expect(buildAddons().lines).toEqual(["native addon sample built"]);
    const built = join(root, "native", "sample", "build", "Release", "sample.node");
    const addon = createRequire(import.meta.url)(built) as { answer: number };
    expect(addon.answer).toBe(42);
    expect(buildAddons().lines).toEqual([]);

    writeAddon("sample", [], `${SOURCE}#error broken\n`);
    expect(buildAddons().lines).toHaveLength(1);
    expect(readFileSync(join(root, "native", "sample", "build", "build.log"), "utf8")).toContain("#error broken");
  },
  60_000,
);
