/**
 * Loads a module by path or package name at run time: how foreign plugins come in. Also in the compiled executable,
 * which holds its own modules but loads others from the disk like any.
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * A function that loads a module and gives its namespace. Relative paths and package names (`node_modules`) are looked
 * up from `baseFolder`. Rejects with what the runtime or the module threw.
 */
export function moduleImporter(baseFolder: string): (reference: string) => Promise<unknown> {
  const from = resolve(baseFolder);
  return async (reference) => {
    const path = Bun.resolveSync(reference, from);
    return await import(pathToFileURL(path).href);
  };
}
