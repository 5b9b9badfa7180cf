/**
 * Where the file-backed plugins keep their file, and how it comes to be: made beside its final name and renamed when it
 * is complete, so that a crash while formatting leaves no half-made file behind.
 */
import { DaosError } from "../src/base/errors.ts";
import { formatSize } from "../src/base/size.ts";
import type { Disk, DiskFile } from "../src/contracts/world.ts";

/**
 * The path of a target's file. Normally it is `name` in the target's own folder. When the configuration names another
 * folder, which targets and engines may share, the file there is named after the target's folder as well.
 */
export function storageFilePath(targetFolder: string, configuredFolder: string | undefined, name: string): string {
  if (configuredFolder === undefined) return `${targetFolder}/${name}`;
  const unique = targetFolder.replaceAll(/[^A-Za-z0-9.-]+/g, "_").replace(/^_/, "");
  return `${configuredFolder}/${unique}.${name}`;
}

/** Makes a file by `fill`, replacing an older one of this name. Durable on return: `rename` is. */
export function createStorageFile(disk: Disk, path: string, fill: (file: DiskFile) => void): void {
  const unfinished = `${path}.new`;
  disk.remove(unfinished);
  const file = disk.openFile(unfinished, { create: true });
  try {
    fill(file);
  } catch (error) {
    file.close();
    disk.remove(unfinished);
    throw error;
  }
  file.close();
  disk.rename(unfinished, path);
}

/** Throws NO_SPACE when the file system has less than `sizeBytes` free. */
export function requireFree(disk: Disk, folder: string, path: string, sizeBytes: number): void {
  const freeBytes = disk.freeBytes(folder);
  if (freeBytes >= sizeBytes) return;
  throw new DaosError(
    "NO_SPACE",
    `Cannot create "${path}": it takes ${formatSize(sizeBytes)} and ${formatSize(freeBytes)} are free. ` +
      "Free space or configure a smaller size.",
  );
}

/** Throws NOT_FOUND when the file is absent and CORRUPT when its size is another. */
export function requireFile(disk: Disk, path: string, sizeBytes: number): void {
  if (!disk.exists(path)) {
    throw new DaosError("NOT_FOUND", `Cannot open "${path}": there is no such file. Format the storage first.`);
  }
  const file = disk.openFile(path, { readOnly: true });
  const actualBytes = file.sizeBytes();
  file.close();
  if (actualBytes === sizeBytes) return;
  throw new DaosError(
    "CORRUPT",
    `Cannot open "${path}": it has ${actualBytes} bytes instead of ${sizeBytes}. ` +
      "Restore the size the storage was formatted with, or the file.",
  );
}
