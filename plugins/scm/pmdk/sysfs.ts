/**
 * Attributes of the kernel's sysfs and proc, read through the disk of the world. What is not there, or not readable for
 * this user, is undefined or empty: these trees differ between kernels.
 */
import { KIB } from "../../../src/base/limits.ts";
import type { Disk } from "../../../src/contracts/world.ts";

/** Longer files are cut: only /proc/self/mountinfo comes near. */
const MAX_FILE_BYTES = 1024 * KIB;

export class Sysfs {
  readonly #disk: Disk;
  readonly #root: string;
  readonly #buffer = Buffer.alloc(MAX_FILE_BYTES);

  /** Paths begin at `root`, a folder. */
  constructor(disk: Disk, root: string) {
    this.#disk = disk;
    this.#root = root.replace(/\/$/, "");
  }

  exists(path: string): boolean {
    return this.#disk.exists(`${this.#root}/${path}`);
  }

  /** Names in a folder, in natural order; empty when there is none. */
  list(path: string): string[] {
    if (!this.exists(path)) return [];
    try {
      const names = this.#disk.list(`${this.#root}/${path}`);
      return names.sort((left, right) => left.localeCompare(right, "en", { numeric: true }));
    } catch {
      return [];
    }
  }

  /** The file's text without the end of its last line. */
  text(path: string): string | undefined {
    try {
      if (!this.exists(path)) return undefined;
      const file = this.#disk.openFile(`${this.#root}/${path}`, { readOnly: true });
      try {
        // The size that the kernel gives for these files means nothing.
        return this.#buffer.toString("utf8", 0, file.readSync(this.#buffer, 0)).trimEnd();
      } finally {
        file.close();
      }
    } catch {
      return undefined;
    }
  }

  /** A decimal or 0x number. */
  number(path: string): number | undefined {
    const text = this.text(path);
    const value = text === undefined || text === "" ? Number.NaN : Number(text);
    return Number.isSafeInteger(value) ? value : undefined;
  }
}
