/**
 * The limit of recovery on one disk: as many bytes as it moves are read from files and written to others, past the page cache,
 * with as much under way as the disk takes.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIB } from "../src/base/limits.ts";
import type { Contender } from "./benchmark.ts";
import type { Figures } from "./table.ts";

const COPIES = 4;
const COPY_MIB = 256;

export class CopyContender implements Contender {
  readonly name = "copy of files";
  #folder = "";

  async start(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), "daos-copy-"));
    await this.#all((copy) => [`if=/dev/zero`, `of=${this.#path(copy)}`, "oflag=direct"]);
  }

  async measure(): Promise<Figures> {
    const startedMs = performance.now();
    await this.#all((copy) => [
      `if=${this.#path(copy)}`,
      "iflag=direct",
      `of=${this.#path(copy)}.copy`,
      "oflag=direct",
    ]);
    const seconds = (performance.now() - startedMs) / 1000;
    return { "recovery MB/s": (COPIES * COPY_MIB * MIB) / seconds / 1e6 };
  }

  #path(copy: number): string {
    return join(this.#folder, `file-${copy}`);
  }

  async #all(args: (copy: number) => readonly string[]): Promise<void> {
    const common = ["dd", "bs=4M", `count=${COPY_MIB / 4}`, "conv=fsync,notrunc", "status=none"];
    const statuses = Array.from({ length: COPIES }, (_, copy) => Bun.spawn([...common, ...args(copy)]).exited);
    const failed = (await Promise.all(statuses)).find((status) => status !== 0);
    if (failed !== undefined) throw new Error(`dd: status ${failed}`);
  }

  stop(): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
    return Promise.resolve();
  }
}
