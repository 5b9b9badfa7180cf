/**
 * Builds the addons in native/<name>/ (each a folder with a binding.gyp) with the node-gyp that npm carries.
 *
 * Never fails a set-up: without a compiler, headers or libraries the portable plugins serve, and one line says so. An
 * addon whose sources and toolchain have not changed is not built again. Headers come from the Node that is installed;
 * nothing is downloaded. Plain Node, called by setup.mjs; loading what was built is left to the plugins.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const PORTABLE = "the portable plugins serve";
/** Ends the stamp of an addon that did not compile. */
const FAILED = " failed";

/**
 * Builds what can be built under `root`. Returns lines to show: empty when every addon is up to date.
 * `find(name)` tells whether a program is on the PATH; tests replace it.
 */
export function buildAddons(root, find = isOnPath) {
  const names = addonNames(root);
  if (names.length === 0) return [`no native addons in this version: ${PORTABLE}`];
  const stale = names.filter((name) => !isCurrent(root, name));
  const failed = names.filter(
    (name) => !stale.includes(name) && readFileSync(stampPath(root, name), "utf8").endsWith(FAILED),
  );
  if (stale.length === 0) return failed.map(failureLine);
  const missing = missingTools(find);
  if (missing.length > 0) return [`native addons not built (no ${missing.join(", no ")}): ${PORTABLE}`];
  return stale.map((name) => buildAddon(root, name));
}

/** Shown for an addon that did not compile; it is not tried at every start, only when its sources change or on demand. */
function failureLine(name) {
  return `native addon ${name} not built (see native/${name}/build/build.log, remove that folder to retry): ${PORTABLE}`;
}

/** Folders under native/ that hold an addon, sorted. */
function addonNames(root) {
  const folder = join(root, "native");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, "binding.gyp")))
    .sort();
}

function missingTools(find) {
  const missing = ["c++", "make", "python3"].filter((name) => !find(name));
  if (!existsSync(join(nodePrefix(), "include", "node", "node_api.h"))) missing.push("Node headers");
  if (nodeGyp() === undefined) missing.push("node-gyp");
  return missing;
}

function buildAddon(root, name) {
  const folder = join(root, "native", name);
  const args = [nodeGyp(), "rebuild", `--directory=${folder}`, `--nodedir=${nodePrefix()}`];
  const result = spawnSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  mkdirSync(join(folder, "build"), { recursive: true });
  writeFileSync(join(folder, "build", "build.log"), `${result.stdout}${result.stderr}`);
  const built = result.status === 0;
  writeFileSync(stampPath(root, name), `${fingerprint(folder)}${built ? "" : FAILED}`);
  return built ? `native addon ${name} built` : failureLine(name);
}

function isCurrent(root, name) {
  const path = stampPath(root, name);
  return existsSync(path) && readFileSync(path, "utf8").startsWith(fingerprint(join(root, "native", name)));
}

function stampPath(root, name) {
  return join(root, "native", name, "build", "fingerprint");
}

/** Hash of the addon's sources and of what builds them. */
function fingerprint(folder) {
  const hash = createHash("sha256").update(`${process.version} ${process.arch}\n`);
  for (const file of readdirSync(folder, { recursive: true }).sort()) {
    if (file === "build" || file.startsWith("build/") || !/\.(cc|c|h|hpp|gyp|gypi)$/.test(file)) continue;
    hash.update(`${file}\n`).update(readFileSync(join(folder, file)));
  }
  return hash.digest("hex");
}

function nodePrefix() {
  return dirname(dirname(realpathSync(process.execPath)));
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

function isOnPath(name) {
  return (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, name)));
}
