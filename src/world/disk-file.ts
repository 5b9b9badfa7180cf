/**
 * One open file on node:fs. Reads and writes are never short: they go on until done, the file ends, or an error. A
 * failed sync is remembered and fails every later one, for the kernel forgets which pages it lost. Files opened `direct`
 * bounce memory that is not aligned; where the file system refuses O_DIRECT the file is open without it. A buffered
 * `read` that the page cache can serve does not leave the thread.
 */
import * as fs from "node:fs";
import type { DaosError } from "../base/errors.ts";
import { KIB, MIB } from "../base/limits.ts";
import type { DiskFile, OpenFileOptions } from "../contracts/world.ts";
import { diskError, errnoOf } from "./disk-error.ts";
import { libc } from "./libc.ts";

/** Alignment that O_DIRECT needs, of memory, offset and length. */
const DIRECT_ALIGNMENT_BYTES = 4 * KIB;
const PREALLOCATE_STEP_BYTES = 4 * MIB;
/** Reads up to this size are tried in the page cache first. */
const MAX_CACHED_READ_BYTES = 256 * KIB;
/** After this many misses in a row the cache is asked only now and then. */
const CACHE_MISSES_BEFORE_SAMPLING = 64;
const CACHE_SAMPLE_EVERY = 32;

export class RealFile implements DiskFile {
  readonly path: string;
  readonly #descriptor: number;
  readonly #direct: boolean;
  #cacheMisses = 0;
  #syncFailure: DaosError | undefined;
  #closed = false;

  private constructor(path: string, descriptor: number, direct: boolean) {
    this.path = path;
    this.#descriptor = descriptor;
    this.#direct = direct;
  }

  /** Opens `path`. Throws NOT_FOUND, READ_ONLY, NO_SPACE, IO. */
  static open(path: string, options: OpenFileOptions = {}): RealFile {
    const { O_CREAT, O_DIRECT, O_DSYNC, O_RDONLY, O_RDWR } = fs.constants;
    let flags = options.readOnly === true ? O_RDONLY : O_RDWR;
    if (options.create === true) flags |= O_CREAT;
    if (options.durable === true) flags |= O_DSYNC;
    const wantsDirect = options.direct === true && O_DIRECT !== undefined;
    try {
      if (wantsDirect) {
        try {
          return new RealFile(path, fs.openSync(path, flags | O_DIRECT, 0o600), true);
        } catch (error) {
          if (errnoOf(error) !== "EINVAL") throw error;
        }
      }
      return new RealFile(path, fs.openSync(path, flags, 0o600), false);
    } catch (error) {
      throw diskError("open", path, error);
    }
  }

  sizeBytes(): number {
    try {
      return fs.fstatSync(this.#descriptor).size;
    } catch (error) {
      throw diskError("measure", this.path, error);
    }
  }

  readSync(buffer: Uint8Array, offset: number): number {
    if (this.#mustBounce(buffer)) return this.#bounceRead(buffer, (bounce) => this.readSync(bounce, offset));
    try {
      let done = 0;
      while (done < buffer.length) {
        const count = fs.readSync(this.#descriptor, buffer, done, buffer.length - done, offset + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    } catch (error) {
      throw diskError("read", this.path, error);
    }
  }

  read(buffer: Uint8Array, offset: number): Promise<number> {
    if (this.#mustBounce(buffer)) {
      const bounce = alignedBuffer(buffer.length);
      return this.#readOn(bounce, offset, 0).then((count) => {
        buffer.set(bounce.subarray(0, count));
        return count;
      });
    }
    const cached = this.#direct ? 0 : this.#readCached(buffer, offset);
    return cached === buffer.length ? Promise.resolve(cached) : this.#readOn(buffer, offset, cached);
  }

  writeSync(buffer: Uint8Array, offset: number): void {
    const bytes = this.#mustBounce(buffer) ? alignedCopy(buffer) : buffer;
    try {
      let done = fs.writeSync(this.#descriptor, bytes, 0, bytes.length, offset);
      while (done < bytes.length)
        done += fs.writeSync(this.#descriptor, bytes, done, bytes.length - done, offset + done);
    } catch (error) {
      throw diskError("write", this.path, error);
    }
  }

  write(buffer: Uint8Array, offset: number): Promise<void> {
    const bytes = this.#mustBounce(buffer) ? alignedCopy(buffer) : buffer;
    return new Promise((resolve, reject) => {
      const step = (done: number): void => {
        fs.write(this.#descriptor, bytes, done, bytes.length - done, offset + done, (error, count) => {
          if (error) reject(diskError("write", this.path, error));
          else if (done + count >= bytes.length) resolve();
          else step(done + count);
        });
      };
      step(0);
    });
  }

  syncSync(): void {
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    try {
      fs.fdatasyncSync(this.#descriptor);
    } catch (error) {
      throw this.#rememberSyncFailure(error);
    }
  }

  sync(): Promise<void> {
    if (this.#syncFailure !== undefined) return Promise.reject(this.#syncFailure);
    return new Promise((resolve, reject) => {
      fs.fdatasync(this.#descriptor, (error) => {
        if (error) reject(this.#rememberSyncFailure(error));
        else if (this.#syncFailure !== undefined) reject(this.#syncFailure);
        else resolve();
      });
    });
  }

  truncate(sizeBytes: number): void {
    try {
      fs.ftruncateSync(this.#descriptor, sizeBytes);
    } catch (error) {
      throw diskError("resize", this.path, error);
    }
  }

  /** Writes zeros from the present end of the file up to `sizeBytes`; on failure the file has its old size. */
  preallocate(sizeBytes: number): void {
    const start = this.sizeBytes();
    if (start >= sizeBytes) return;
    try {
      libc?.reserve(this.#descriptor, start, sizeBytes - start);
      const zeros = alignedBuffer(Math.min(PREALLOCATE_STEP_BYTES, roundUp(sizeBytes - start)));
      for (let offset = start; offset < sizeBytes; offset += zeros.length) {
        this.writeSync(zeros.subarray(0, Math.min(zeros.length, sizeBytes - offset)), offset);
      }
      fs.fsyncSync(this.#descriptor);
    } catch (error) {
      fs.ftruncateSync(this.#descriptor, start);
      throw diskError("preallocate", this.path, error);
    }
  }

  punchHole(offset: number, length: number): boolean {
    return libc?.punchHole(this.#descriptor, offset, length) ?? false;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      fs.closeSync(this.#descriptor);
    } catch (error) {
      throw diskError("close", this.path, error);
    }
  }

  /** Bytes that the page cache gave. When it mostly misses, it is asked only for a sample of the reads. */
  #readCached(buffer: Uint8Array, offset: number): number {
    if (libc === undefined || buffer.length > MAX_CACHED_READ_BYTES || buffer.length === 0) return 0;
    if (this.#cacheMisses >= CACHE_MISSES_BEFORE_SAMPLING) {
      this.#cacheMisses += 1;
      if (this.#cacheMisses % CACHE_SAMPLE_EVERY !== 0) return 0;
    }
    const count = libc.readCached(this.#descriptor, buffer, offset);
    if (count === buffer.length) {
      this.#cacheMisses = 0;
      return count;
    }
    this.#cacheMisses += 1;
    return count > 0 ? count : 0;
  }

  #readOn(buffer: Uint8Array, offset: number, start: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const step = (done: number): void => {
        fs.read(this.#descriptor, buffer, done, buffer.length - done, offset + done, (error, count) => {
          if (error) reject(diskError("read", this.path, error));
          else if (count === 0 || done + count >= buffer.length) resolve(done + count);
          else step(done + count);
        });
      };
      step(start);
    });
  }

  #mustBounce(buffer: Uint8Array): boolean {
    return this.#direct && libc !== undefined && libc.addressOf(buffer) % DIRECT_ALIGNMENT_BYTES !== 0;
  }

  #bounceRead(buffer: Uint8Array, read: (bounce: Uint8Array) => number): number {
    const bounce = alignedBuffer(buffer.length);
    const count = read(bounce);
    buffer.set(bounce.subarray(0, count));
    return count;
  }

  #rememberSyncFailure(error: unknown): DaosError {
    this.#syncFailure ??= diskError("sync", this.path, error);
    return this.#syncFailure;
  }
}

function roundUp(sizeBytes: number): number {
  return Math.ceil(sizeBytes / DIRECT_ALIGNMENT_BYTES) * DIRECT_ALIGNMENT_BYTES;
}

/** Page-aligned memory of this size: the aligned part of a slightly larger buffer. */
function alignedBuffer(sizeBytes: number): Uint8Array {
  const raw = new Uint8Array(sizeBytes + DIRECT_ALIGNMENT_BYTES);
  const past = (libc?.addressOf(raw) ?? 0) % DIRECT_ALIGNMENT_BYTES;
  const start = past === 0 ? 0 : DIRECT_ALIGNMENT_BYTES - past;
  return raw.subarray(start, start + sizeBytes);
}

function alignedCopy(bytes: Uint8Array): Uint8Array {
  const copy = alignedBuffer(bytes.length);
  copy.set(bytes);
  return copy;
}
