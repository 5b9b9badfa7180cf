/**
 * What the kernel tells in /sys and /proc, read through the world's disk. What is missing or may not be read is undefined
 * or empty: these trees differ between kernels and users.
 */
import { KIB } from "../base/limits.ts";
import type { Disk } from "../contracts/world.ts";

/** Longer files are cut. */
const MAX_FILE_BYTES = 256 * KIB;

export class KernelFiles {
  readonly #disk: Disk;
  readonly #root: string;

  /** `root`: what the paths begin at, `/` on a real machine. */
  constructor(disk: Disk, root: string) {
    this.#disk = disk;
    this.#root = root.replace(/\/$/, "");
  }

  list(path: string): string[] {
    try {
      const names = this.#disk.list(`${this.#root}/${path}`);
      return names.toSorted((left, right) => left.localeCompare(right, "en", { numeric: true }));
    } catch {
      return [];
    }
  }

  /** The text without white space around it. */
  text(path: string): string | undefined {
    const bytes = this.bytes(path, 0, MAX_FILE_BYTES);
    return "error" in bytes ? undefined : Buffer.from(bytes).toString("utf8").trim();
  }

  number(path: string): number | undefined {
    const text = this.text(path);
    const value = text === undefined || text === "" ? Number.NaN : Number(text);
    return Number.isSafeInteger(value) ? value : undefined;
  }

  /** Bytes from `offset` on, fewer at the end; or why they cannot be read. */
  bytes(path: string, offset: number, maxBytes: number): Uint8Array | { readonly error: string } {
    try {
      const file = this.#disk.openFile(`${this.#root}/${path}`, { readOnly: true });
      try {
        const buffer = new Uint8Array(maxBytes);
        return buffer.subarray(0, file.readSync(buffer, offset));
      } finally {
        file.close();
      }
    } catch (error) {
      return { error: error instanceof Error ? error.message : String(error) };
    }
  }
}
