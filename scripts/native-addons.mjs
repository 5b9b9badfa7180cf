/**
 * Builds the addons in native/<name>/ (each a folder with a binding.gyp) with the node-gyp that npm carries, and brings
 * the Debian packages that their packages.json names where it may: as root, with apt-get.
 *
 * Never fails a set-up: what is not built costs one line, and the portable plugins serve. An addon whose sources have not
 * changed is not built again, one that could not be built is not tried again until it can be or someone asks. Headers
 * come from the Node that is installed. Plain Node, called by setup.mjs; loading what was built is the plugins' part.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { canInstall, installPackages, missingPackages, toolPackages, TOOLS } from "./debian-packages.mjs";
import { withLock } from "./folder-lock.mjs";

const PORTABLE = "the portable plugins serve";
const REPEAT = 'then run "npm run setup"';

/**
 * The machine as this module uses it; tests pass another. `run` gives status and output, standard error included;
 * `retry`: someone asked for it (`npm run setup`), so what failed before is tried again.
 */
export const SYSTEM = {
  find: (name) => (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, name))),
  run: runProgram,
  isRoot: process.getuid?.() === 0,
  retry: process.env["npm_lifecycle_event"] === "setup",
};

/**
 * Builds what can be built under `root`. `say` hears each line to show as it comes: none when every addon is up to date,
 * one for all that lack something, one for each that did not compile.
 */
export function buildAddons(root, say, system = SYSTEM) {
  const names = addonNames(root);
  if (names.length === 0) {
    say(`no native addons in this version: ${PORTABLE}`);
    return;
  }
  if (staleNames(root, names, system).length > 0) {
    try {
      // Another set-up of this checkout may be building them: look again once it is our turn.
      withLock(join(root, "native"), () => buildStale(root, staleNames(root, names, system), say, system));
    } catch (error) {
      // A checkout that is only to be read, a full disk: what was built before still serves.
      say(`native addons not brought up to date: ${error.message}; ${PORTABLE} where none was built`);
    }
  }
  for (const line of failureLines(root, names)) say(line);
}

function buildStale(root, names, say, system) {
  const packagesOf = new Map(names.map((name) => [name, readPackages(root, name)]));
  const complaint = installMissing([...packagesOf.values()], say, system);
  for (const [name, packages] of packagesOf) {
    const failure = obstacle(packages, system);
    if (failure === undefined) buildAddon(root, name, say, system);
    else writeStamp(root, name, complaint === undefined ? failure : { ...failure, complaint });
  }
}

/** Installs what lacks, where we may. Returns what apt-get complained about if something is still missing. */
function installMissing(wishes, say, system) {
  if (!canInstall(system)) return undefined;
  const missing = missingPackages(wishes.flat(), system);
  const needed = [
    toolPackages(missingTools(system)),
    ...wishes.map((packages) => packages.filter((name) => missing.includes(name))),
  ].filter((packages) => packages.length > 0);
  if (needed.length === 0) return undefined;
  say(`installing Debian packages ${[...new Set(needed.flat())].join(" ")} ...`);
  return installPackages(needed, system);
}

/**
 * What keeps an addon that needs these packages from being built: packages to install and programs that lack, or a state
 * of Node. Undefined when it can be tried.
 */
function obstacle(packages, system) {
  const tools = missingTools(system);
  const missing = [...toolPackages(tools), ...missingPackages(packages, system)];
  if (missing.length > 0) return { packages: missing, tools };
  if (nodeHeaders() === undefined) return { state: `no headers of Node ${process.versions.node} in ${nodePrefix()}` };
  if (nodeGyp() === undefined) return { state: "no node-gyp in npm" };
  return undefined;
}

function missingTools(system) {
  return TOOLS.filter((tool) => !system.find(tool));
}

/** What to show of the addons that are not built. */
function failureLines(root, names) {
  const failures = names
    .map((name) => ({ name, ...readStamp(root, name)?.failure }))
    .filter(({ packages, state }) => packages !== undefined || state !== undefined);
  const lacking = failures.filter(({ packages }) => packages !== undefined);
  const lines = failures
    .filter(({ state }) => state !== undefined)
    .map(({ name, state }) => `native addon ${name} not built: ${state}; mend that, ${REPEAT}; ${PORTABLE}`);
  if (lacking.length === 0) return lines;
  const all = (key) => [...new Set(lacking.flatMap((failure) => failure[key]))];
  const addons = all("name").join(", ");
  const tools = all("tools").map((tool) => `no ${tool}`);
  const because = tools.length === 0 ? "" : ` (${tools.join(", ")})`;
  const complaint = lacking.find((failure) => failure.complaint !== undefined)?.complaint;
  const tried = complaint === undefined ? "" : ` (apt-get could not: ${complaint})`;
  const install = `install ${all("packages").join(" ")}${tried}, ${REPEAT}`;
  return [...lines, `native addons ${addons} not built${because}: ${install}; ${PORTABLE}`];
}

/** Folders under native/ that hold an addon, sorted. */
function addonNames(root) {
  const folder = join(root, "native");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, "binding.gyp")))
    .sort();
}

/** Debian packages the addon is compiled with; none when it names none. */
function readPackages(root, name) {
  const path = join(root, "native", name, "packages.json");
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")).debianPackages ?? []) : [];
}

function buildAddon(root, name, say, system) {
  const folder = join(root, "native", name);
  // Without a folder of its own node-gyp refuses to run where HOME is empty, though it puts nothing there with --nodedir.
  const folders = [
    `--directory=${folder}`,
    `--nodedir=${nodePrefix()}`,
    `--devdir=${join(folder, "build", "headers")}`,
  ];
  const args = [nodeGyp(), "rebuild", "--jobs=max", ...folders];
  const { status, output } = system.run(process.execPath, args);
  mkdirSync(join(folder, "build"), { recursive: true });
  writeFileSync(join(folder, "build", "build.log"), output);
  if (status === 0) say(`native addon ${name} built`);
  writeStamp(
    root,
    name,
    status === 0 ? undefined : { state: `it did not compile, see native/${name}/build/build.log` },
  );
}

/** Addons to build: changed, or gone, or not built before and there is reason to think that they can be now. */
function staleNames(root, names, system) {
  return names.filter((name) => {
    const stamp = readStamp(root, name);
    if (stamp?.fingerprint !== fingerprint(root, name)) return true;
    if (stamp.failure === undefined) return !existsSync(join(root, "native", name, "build", "Release", `${name}.node`));
    if (system.retry) return true;
    return stamp.failure.packages !== undefined && obstacle(readPackages(root, name), system) === undefined;
  });
}

/** How the last attempt ended: `fingerprint` of what it was made from, `failure` unless it was built. */
function readStamp(root, name) {
  try {
    return JSON.parse(readFileSync(stampPath(root, name), "utf8"));
  } catch {
    return undefined;
  }
}

function writeStamp(root, name, failure) {
  mkdirSync(dirname(stampPath(root, name)), { recursive: true });
  writeFileSync(stampPath(root, name), JSON.stringify({ fingerprint: fingerprint(root, name), failure }));
}

function stampPath(root, name) {
  return join(root, "native", name, "build", "stamp.json");
}

/** Hash of what the addon is built from, and with. */
function fingerprint(root, name) {
  const folder = join(root, "native", name);
  const hash = createHash("sha256").update(`${process.version} ${process.arch}\n`);
  for (const file of readdirSync(folder).sort()) {
    if (file !== "packages.json" && !/\.(cc|c|h|hpp|gyp|gypi)$/.test(file)) continue;
    hash.update(`${file}\n`).update(readFileSync(join(folder, file)));
  }
  return hash.digest("hex");
}

function nodePrefix() {
  return dirname(dirname(realpathSync(process.execPath)));
}

function nodeHeaders() {
  const path = join(nodePrefix(), "include", "node", "node_api.h");
  return existsSync(path) ? path : undefined;
}

/** The node-gyp inside npm; undefined when npm has none or is not found. */
function nodeGyp() {
  const npmCli = process.env["npm_execpath"];
  const folders = [
    npmCli === undefined ? undefined : dirname(dirname(npmCli)),
    join(nodePrefix(), "lib", "node_modules", "npm"),
    "/usr/share/nodejs/npm",
  ];
  const paths = folders.filter((folder) => folder !== undefined);
  return paths
    .map((folder) => join(folder, "node_modules", "node-gyp", "bin", "node-gyp.js"))
    .find((path) => existsSync(path));
}

function runProgram(command, args, timeoutMs) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" };
  const result = spawnSync(command, args, {
    encoding: "utf8",
    env,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: timeoutMs,
    maxBuffer: 64 * 1024 * 1024,
  });
  const trouble = result.error === undefined ? "" : `${result.error.message}\n`;
  return { status: result.status, output: `${result.stdout ?? ""}${result.stderr ?? ""}${trouble}` };
}
