/**
 * The real disk on node:fs. What is made, renamed or removed here is durable on return: the folder that holds the name
 * is synced too. Errors are DaosError with the path and advice (disk-error.ts).
 */
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { DaosError } from "../base/errors.ts";
import type { Disk, DiskFile, OpenFileOptions } from "../contracts/world.ts";
import { diskError, errnoOf } from "./disk-error.ts";
import { RealFile } from "./disk-file.ts";
import { libc } from "./libc.ts";

/** Name of the lock file in a locked folder. It holds the pid and is never removed. */
export const LOCK_FILE_NAME = "lock";

export class RealDisk implements Disk {
  openFile(path: string, options: OpenFileOptions = {}): DiskFile {
    const isNew = options.create === true && !fs.existsSync(path);
    const file = RealFile.open(path, options);
    if (isNew) syncFolder(dirname(path));
    return file;
  }

  exists(path: string): boolean {
    return fs.existsSync(path);
  }

  makeFolder(path: string): void {
    try {
      const first = fs.mkdirSync(path, { recursive: true, mode: 0o700 });
      if (first === undefined) return;
      for (let folder = path; folder.length >= first.length && folder !== dirname(folder); folder = dirname(folder)) {
        syncFolder(dirname(folder));
      }
    } catch (error) {
      if (errnoOf(error) === "EEXIST") {
        throw new DaosError("IO", `Cannot make folder "${path}": a file has this name. Choose another folder.`);
      }
      throw diskError("make folder", path, error);
    }
  }

  list(path: string): string[] {
    try {
      return fs.readdirSync(path).toSorted();
    } catch (error) {
      throw diskError("list", path, error);
    }
  }

  remove(path: string): void {
    try {
      if (fs.lstatSync(path, { throwIfNoEntry: false }) === undefined) return;
      fs.rmSync(path, { recursive: true, force: true });
      syncFolder(dirname(path));
    } catch (error) {
      throw diskError("remove", path, error);
    }
  }

  rename(from: string, to: string): void {
    try {
      syncPath(from);
      fs.renameSync(from, to);
      syncFolder(dirname(to));
      if (dirname(from) !== dirname(to)) syncFolder(dirname(from));
    } catch (error) {
      throw diskError("rename", from, error);
    }
  }

  freeBytes(path: string): number {
    try {
      const status = fs.statfsSync(path);
      return status.bavail * status.bsize;
    } catch (error) {
      throw diskError("measure the free space of", path, error);
    }
  }

  /** The lock is the kernel's (flock), tied to the open file: it ends with the process, however that ends. */
  lockFolder(path: string): { release(): void } {
    const lockPath = join(path, LOCK_FILE_NAME);
    if (libc === undefined) {
      throw new DaosError(
        "UNSUPPORTED",
        `Cannot lock "${path}": the C library was not found. Run on glibc or musl Linux.`,
      );
    }
    let descriptor: number;
    try {
      descriptor = fs.openSync(lockPath, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    } catch (error) {
      throw diskError("lock", path, error);
    }
    if (!libc.lockExclusive(descriptor)) {
      const holder = fs.readFileSync(descriptor, "latin1").trim();
      fs.closeSync(descriptor);
      const who = /^\d+$/.test(holder) ? `process ${holder} holds it` : "another process holds it";
      throw new DaosError("BUSY", `Cannot lock "${path}": ${who}. Stop that one or choose another storage folder.`);
    }
    try {
      fs.ftruncateSync(descriptor, 0);
      fs.writeSync(descriptor, `${process.pid}\n`, 0);
    } catch (error) {
      fs.closeSync(descriptor);
      throw diskError("lock", path, error);
    }
    let held = true;
    return {
      release: () => {
        if (held) fs.closeSync(descriptor);
        held = false;
      },
    };
  }
}

function syncFolder(path: string): void {
  try {
    syncPath(path);
  } catch (error) {
    // Some file systems have no sync for folders; what they promise for names they keep without it.
    if (errnoOf(error) !== "EINVAL" && errnoOf(error) !== "EACCES") throw diskError("sync", path, error);
  }
}

function syncPath(path: string): void {
  const descriptor = fs.openSync(path, "r");
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}
