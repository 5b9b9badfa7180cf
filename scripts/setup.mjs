#!/usr/bin/env node
/**
 * Makes a checkout ready to run: packages, the Bun binary, native addons. Plain Node, because nothing is installed yet.
 *
 * Idempotent and quick when there is nothing to do (`npm start` runs it each time). Needs no network address but the
 * registry that npm is configured with, and as root that of apt-get for what addons are compiled with: no package's
 * install script runs; the binaries of Bun, lmdb and oxlint come inside platform packages. Starting anything is left to the script that npm runs next.
 */
import { spawnSync } from "node:child_process";
import { existsSync, linkSync, copyFileSync, readFileSync, rmSync, statSync, chmodSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { canInstall, installPackages as installDebianPackages, missingPackages } from "./debian-packages.mjs";
import { buildAddons, SYSTEM } from "./native-addons.mjs";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const LEAST_NODE_MAJOR = 20;
/** Argument: make ready for `npm test` too. */
const FOR_TESTS = "--tests";
/** qemu-storage-daemon is the back-end that block-device spdk is tested against, etcd the service of meta-store etcd. */
const TEST_PACKAGES = ["qemu-system-common", "etcd-server"];
/** Smaller files are the placeholder scripts that the npm package `bun` ships instead of the binary. */
const LEAST_BINARY_BYTES = 1024 * 1024;

main();

function main() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < LEAST_NODE_MAJOR) {
    fail(
      `Cannot set up "${ROOT}": Node ${process.versions.node} is too old. Install Node ${LEAST_NODE_MAJOR} or later.`,
    );
  }
  const reason = staleReason();
  if (reason !== undefined) installPackages(reason);
  linkBun();
  buildAddons(ROOT, say);
  if (process.argv.includes(FOR_TESTS)) installTestPackages();
}

/** What only tests need. Without it, where we may not install, those tests are skipped and say so. */
function installTestPackages() {
  const missing = missingPackages(TEST_PACKAGES, SYSTEM);
  if (missing.length === 0 || !canInstall(SYSTEM)) return;
  say(`installing Debian packages for tests: ${missing.join(" ")} ...`);
  const complaint = installDebianPackages([missing], SYSTEM);
  if (complaint !== undefined) say(`not installed, their tests are skipped: ${complaint}`);
}

/** Why node_modules does not match package-lock.json; undefined when it does. */
function staleReason() {
  const installedPath = join(ROOT, "node_modules", ".package-lock.json");
  if (!existsSync(installedPath)) return "packages are not installed";
  const installed = readPackages(installedPath);
  for (const [path, entry] of Object.entries(readPackages(join(ROOT, "package-lock.json")))) {
    if (path === "") continue;
    const found = installed[path];
    if (found === undefined && !entry.optional) return `${path} is missing`;
    if (found !== undefined && found.version !== entry.version)
      return `${path} is ${found.version}, not ${entry.version}`;
    if (found !== undefined && !existsSync(join(ROOT, path, "package.json"))) return `${path} is damaged`;
  }
  return undefined;
}

function readPackages(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8")).packages ?? {};
  } catch (error) {
    if (path.includes("node_modules")) return {};
    fail(`Cannot read "${path}": ${error.message}. Restore it from git.`);
  }
}

function installPackages(reason) {
  say(`installing packages (${reason}) ...`);
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const exact = npm(["ci", ...flags]);
  if (exact.status === 0) return;
  // A registry that mirrors only some platforms' optional packages can make `ci` refuse a lock that is otherwise right.
  // `install --no-save` takes the same versions, checks the same hashes and leaves the lock alone.
  say("npm ci refused; trying npm install with the same lock ...");
  const lenient = npm(["install", "--no-save", ...flags]);
  if (lenient.status === 0) return;
  process.stderr.write(exact.output + lenient.output);
  fail(
    `Cannot install packages into "${ROOT}": npm failed, see above. Check the network and npm's registry, then repeat.`,
  );
}

function npm(args) {
  const result = spawnSync("npm", args, { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  if (result.error) fail(`Cannot run "npm": ${result.error.message}. Install npm.`);
  return { status: result.status, output: `${result.stdout}${result.stderr}` };
}

/** Puts the platform's Bun binary where node_modules/.bin/bun points, as the package's install script would. */
function linkBun() {
  const folder = join(ROOT, "node_modules", "bun", "bin");
  if (isBinary(join(folder, "bun.exe"))) return;
  const platform = `${process.platform}-${process.arch === "arm64" ? "aarch64" : process.arch}`;
  const candidates = [platform, `${platform}-musl`].map((name) =>
    join(ROOT, "node_modules", "@oven", `bun-${name}`, "bin", "bun"),
  );
  const binary = candidates.find(isBinary);
  if (binary === undefined) {
    fail(`Cannot find the Bun binary for "${platform}": its package is not installed. Remove node_modules and repeat.`);
  }
  for (const name of ["bun.exe", "bunx.exe"]) {
    const place = join(folder, name);
    rmSync(place, { force: true });
    try {
      linkSync(binary, place);
    } catch {
      copyFileSync(binary, place);
    }
    chmodSync(place, 0o755);
  }
}

function isBinary(path) {
  return existsSync(path) && statSync(path).size >= LEAST_BINARY_BYTES;
}

function say(line) {
  process.stderr.write(`setup: ${line}\n`);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
