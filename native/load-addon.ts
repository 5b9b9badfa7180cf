/**
 * Loads a native addon, or says why there is none: the one place where a missing compiler, header or library becomes a
 * sentence an admin can act on.
 *
 * Never throws. Works in a checkout, inside the single executable (where the bundler replaced the `require` by the
 * embedded file or by a module that throws) and in Workers; each thread that calls it gets an instance of its own.
 * Keeping the result, and turning a reason into a plugin's state, are left to the caller.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export type AddonResult<T> = { readonly addon: T } | { readonly reason: string };

/** What native/<name>/packages.json holds. */
interface AddonPackages {
  /** Packages with the headers and libraries that the addon is compiled with, such as `liburing-dev`. */
  readonly debianPackages: readonly string[];
}

/**
 * Calls `load`, which is `() => require("./build/Release/<name>.node")` with a literal path, so that the bundler sees it.
 * The reason is `Cannot load native addon "<name>": <state>. <what to do>.`, fit for a plugin's `probe()`.
 */
export function loadAddon<T>(name: string, load: () => unknown): AddonResult<T> {
  try {
    return { addon: load() as T };
  } catch (error) {
    const sentences = [stateOf(error), remedy(name)].filter((sentence) => sentence !== "");
    return { reason: `Cannot load native addon "${name}": ${sentences.join(". ")}.` };
  }
}

function stateOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (/^Cannot find (module|package)/.test(message)) return "it is not built";
  return (message.split("\n")[0] ?? "").replace(/\.$/, "");
}

/** Empty inside the executable, which holds no packages.json: there the error itself says what to do. */
function remedy(name: string): string {
  const packages = debianPackages(name);
  if (packages === undefined) return "";
  const install = packages.length === 0 ? "Run" : `Install ${packages.join(" ")} (Debian package names), then run`;
  return `${install} "npm run setup"`;
}

function debianPackages(name: string): readonly string[] | undefined {
  try {
    const text = readFileSync(join(import.meta.dir, name, "packages.json"), "utf8");
    return (JSON.parse(text) as AddonPackages).debianPackages;
  } catch {
    return undefined;
  }
}
