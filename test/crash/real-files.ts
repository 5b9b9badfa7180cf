/**
 * Real files as test input: found under folders, in an order that does not change, and read again to compare with. A file
 * that changed since it was found is an error of its own, so that it is not taken for lost data.
 */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface RealFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/** Regular files under the folders, by path; of more than `limit` every so-and-so-many-th, so that all parts are there. */
export function findFiles(folders: readonly string[], limit = Number.MAX_SAFE_INTEGER): RealFile[] {
  const files: RealFile[] = [];
  for (const folder of folders) addFiles(folder, files);
  files.sort((left, right) => (left.path < right.path ? -1 : 1));
  const step = Math.max(1, Math.ceil(files.length / limit));
  return files.filter((_, place) => place % step === 0);
}

function addFiles(folder: string, files: RealFile[]): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) addFiles(path, files);
    if (!entry.isFile()) continue;
    const { size, mtimeMs } = lstatSync(path);
    files.push({ path, sizeBytes: size, modifiedMs: mtimeMs });
  }
}

/** The file's bytes. Throws when it is not what was found. */
export function readRealFile(file: RealFile): Uint8Array {
  const bytes = readFileSync(file.path);
  if (bytes.length === file.sizeBytes && lstatSync(file.path).mtimeMs === file.modifiedMs) return bytes;
  throw new Error(`${file.path} changed while the test ran: use a folder that nobody writes to`);
}
