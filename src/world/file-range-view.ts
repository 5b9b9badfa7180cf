/**
 * A range of a file or device as memory, for reading: another thread's SCM region. It shows each write of any mapping at
 * once. Writing to it ends the process, and so does reading what the file lost by being cut shorter: both are bugs of the
 * caller, for whom the region's owner has checked the file. Linux.
 */
import * as fs from "node:fs";
import { DaosError } from "../base/errors.ts";
import type { ScmFileRange } from "../contracts/scm.ts";
import { diskError } from "./disk-error.ts";
import { libc } from "./libc.ts";

export class FileRangeView {
  readonly bytes: Uint8Array;
  readonly #mapped: ArrayBuffer;
  #closed = false;

  /** Throws NOT_FOUND, READ_ONLY, IO; UNSUPPORTED without a C library. */
  constructor(range: ScmFileRange) {
    const { path, alignmentBytes } = range;
    const start = Math.floor(range.offset / alignmentBytes) * alignmentBytes;
    const end = Math.ceil((range.offset + range.sizeBytes) / alignmentBytes) * alignmentBytes;
    this.#mapped = map(path, start, end - start);
    this.bytes = new Uint8Array(this.#mapped, range.offset - start, range.sizeBytes);
  }

  /** `bytes` may not be used any more. Closing twice is harmless. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc?.unmap(this.#mapped);
  }
}

function map(path: string, offset: number, length: number): ArrayBuffer {
  if (libc === undefined) {
    throw new DaosError("UNSUPPORTED", `Cannot map "${path}": there is no known C library. Use scm plugin "file".`);
  }
  let descriptor: number;
  try {
    descriptor = fs.openSync(path, "r");
  } catch (error) {
    throw diskError("open", path, error);
  }
  try {
    const mapped = libc.mapShared(descriptor, offset, length);
    if (mapped !== undefined) return mapped;
    throw new DaosError(
      "IO",
      `Cannot map "${path}": the kernel refused ${length} bytes. Check "ulimit -v" and the file.`,
    );
  } finally {
    fs.closeSync(descriptor);
  }
}
