/**
 * The disk of a host: a file system in a file, so that it can be full, slow, and rot by itself. Mounted through a loop
 * device that goes with the mount.
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { groupFolder } from "./sandbox.ts";
import { run } from "./shell.ts";

const BLOCK = 4096;
const NOTHING = Buffer.alloc(BLOCK);
const FILLER = "filler";
/** Room that is taken block by block: the file system needs some of it to know of the rest. */
const LAST_BYTES = 8 << 20;
const MOST_PROBES = 20_000;
const THROTTLES = ["read_iops_device", "write_iops_device"] as const;

export class HostDisk {
  readonly folder: string;
  readonly #group: string | undefined;
  readonly #device: string;

  constructor(host: number, folder: string, sizeBytes: number) {
    this.folder = join(folder, `h${host}`);
    const image = join(folder, `h${host}.img`);
    writeFileSync(image, "");
    truncateSync(image, sizeBytes);
    run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", image);
    mkdirSync(this.folder);
    run("mount", "-o", "loop", image, this.folder);
    const { dev } = statSync(this.folder);
    this.#device = `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
    this.#group = groupFolder(host);
    if (this.#group !== undefined) mkdirSync(this.#group);
  }

  get canBeSlow(): boolean {
    return this.#group !== undefined;
  }

  /** The I/O of this process, and of those that it starts, is the host's. */
  adopt(pid: number): void {
    if (this.#group !== undefined) writeFileSync(join(this.#group, "cgroup.procs"), String(pid));
  }

  /** From now on so many reads and as many writes a second; 0: as fast as it is. */
  slow(iops: number): void {
    for (const name of THROTTLES) {
      writeFileSync(join(this.#group!, `blkio.throttle.${name}`), `${this.#device} ${iops}`);
    }
  }

  /** Takes all room that is left. */
  fill(): void {
    const { bavail, bsize } = statfsSync(this.folder);
    const filler = join(this.folder, FILLER);
    run("fallocate", "-l", String(Math.max(BLOCK, bavail * bsize - LAST_BYTES)), filler);
    const file = openSync(filler, "a");
    try {
      const bytes = Buffer.alloc(BLOCK);
      while (writeSync(file, bytes) > 0);
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOSPC") throw error;
    } finally {
      closeSync(file);
    }
  }

  empty(): void {
    rmSync(join(this.folder, FILLER), { force: true });
  }
}

/**
 * Flips one bit in each of up to `count` blocks of a file that hold something; how many it were. The file system is told
 * nothing: this is what rot looks like.
 */
export function flipBits(path: string, count: number, draw: (below: number) => number): number {
  const file = openSync(path, "r+");
  try {
    const blocks = Math.floor(fstatSync(file).size / BLOCK);
    const bytes = Buffer.alloc(BLOCK);
    let flipped = 0;
    for (let probe = 0; probe < MOST_PROBES && flipped < count; probe += 1) {
      const position = draw(blocks) * BLOCK;
      readSync(file, bytes, 0, BLOCK, position);
      if (bytes.equals(NOTHING)) continue;
      let used = BLOCK;
      while (bytes[used - 1] === 0) used -= 1;
      const at = draw(used);
      writeSync(file, Buffer.from([bytes[at]! ^ (1 << draw(8))]), 0, 1, position + at);
      flipped += 1;
    }
    return flipped;
  } finally {
    closeSync(file);
  }
}
