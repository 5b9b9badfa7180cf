/**
 * Memory that a mapped file takes in this process. The pages that were read through the map count as the process's own
 * until they are given back, though the page cache has them anyway. Giving back loses nothing: the next access maps the
 * page again. Only shared maps are touched. Linux; elsewhere there is nothing to measure and nothing is done.
 */
import { readFileSync, realpathSync } from "node:fs";
import { libc } from "./libc.ts";

const PAGE_BYTES = 4096;

export class MappedFile {
  readonly #path: string;

  /** A file that is there; it need not be mapped yet. */
  constructor(path: string) {
    this.#path = realpathSync(path);
  }

  /** Bytes of all mapped files that are resident in this process, this one's among them; 0 when unknown. */
  residentBytes(): number {
    try {
      return Number(readFileSync("/proc/self/statm", "latin1").split(" ")[2]) * PAGE_BYTES;
    } catch {
      return 0;
    }
  }

  /** Gives back the resident pages of all maps of the file. */
  release(): void {
    if (libc === undefined) return;
    for (const line of readFileSync("/proc/self/maps", "utf8").split("\n")) {
      if (!line.endsWith(` ${this.#path}`)) continue;
      const [range, permissions] = line.split(" ");
      if (permissions?.[3] !== "s") continue;
      const [start, end] = range!.split("-").map((address) => Number.parseInt(address, 16));
      libc.forgetPages(start!, end! - start!);
    }
  }
}
