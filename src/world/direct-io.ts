/**
 * Whether files of a folder can be read and written past the page cache. Asks with a file that has no name and is gone
 * when it is closed, so that nothing is left behind.
 */
import { closeSync, constants, existsSync, openSync } from "node:fs";
import { dirname } from "node:path";

/** Of Linux; the runtime does not name it. Includes O_DIRECTORY. */
const O_TMPFILE = 0o20200000;

/** The folder need not be there yet: then its nearest parent is asked. False also where nobody can tell. */
export function hasDirectIo(folder: string): boolean {
  const { O_DIRECT, O_RDWR } = constants;
  if (O_DIRECT === undefined) return false;
  let asked = folder;
  while (!existsSync(asked) && dirname(asked) !== asked) asked = dirname(asked);
  try {
    closeSync(openSync(asked, O_RDWR | O_DIRECT | O_TMPFILE, 0o600));
    return true;
  } catch {
    return false;
  }
}
