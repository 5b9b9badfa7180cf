/**
 * What the addons need of Debian: which packages are missing, and their installation where we may (root, apt-get).
 *
 * Asks dpkg, touches the system only as root and says so first. Where there is no dpkg nothing counts as missing: the
 * compiler then tells. Plain Node, called by native-addons.mjs; `system` is what tests replace.
 */

/** An install or an update of the lists that takes longer is ended, milliseconds: mirrors can hang. */
const APT_TIMEOUT_MS = 300_000;
const APT_OPTIONS = [
  "-q",
  "-o",
  "Acquire::Retries=1",
  "-o",
  "Acquire::http::Timeout=20",
  "-o",
  "DPkg::Lock::Timeout=60",
];

/** Programs of the toolchain and the packages that bring them. */
const TOOL_PACKAGES = { "c++": "build-essential", make: "build-essential", python3: "python3" };
export const TOOLS = Object.keys(TOOL_PACKAGES);

/** Packages that bring these programs. */
export function toolPackages(tools) {
  return [...new Set(tools.map((tool) => TOOL_PACKAGES[tool]))];
}

/** Those of `names` that dpkg does not have installed; none where there is no dpkg. */
export function missingPackages(names, system) {
  if (names.length === 0 || !system.find("dpkg-query")) return [];
  const { output } = system.run("dpkg-query", ["--show", "--showformat=${db:Status-Status} ${Package}\n", ...names]);
  const installed = new Set(
    output
      .split("\n")
      .filter((line) => line.startsWith("installed "))
      .map((line) => line.slice("installed ".length)),
  );
  return [...new Set(names)].filter((name) => !installed.has(name));
}

export function canInstall(system) {
  return system.isRoot && system.find("apt-get");
}

/**
 * Installs the packages in one call. If that is refused, brings the lists of packages up to date and tries each wish (what
 * one addon needs) in a call of its own, so that a package this release does not have costs only the addon that wants it.
 * Returns the last complaint when something is still missing, else undefined.
 */
export function installPackages(wishes, system) {
  const install = (names) =>
    system.run("apt-get", ["install", "-y", "--no-install-recommends", ...APT_OPTIONS, ...names], APT_TIMEOUT_MS);
  const first = install([...new Set(wishes.flat())]);
  if (first.status === 0) return undefined;
  system.run("apt-get", ["update", ...APT_OPTIONS], APT_TIMEOUT_MS);
  const failures = wishes.map(install).filter(({ status }) => status !== 0);
  return failures.length === 0 ? undefined : lastComplaint(failures.at(-1).output);
}

function lastComplaint(output) {
  const lines = output.split("\n").map((line) => line.trim());
  return lines.findLast((line) => line.startsWith("E: ")) ?? lines.findLast((line) => line !== "") ?? "no output";
}
