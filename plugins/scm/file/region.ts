/**
 * The region of scm `file`. What was persisted before a crash is in the file after it; a range whose persist had not
 * finished may be old, new or torn at sectors, which the log's checksums are for. Once a write has failed the region
 * takes no more, since nobody can say what the medium holds.
 */
import { DaosError } from "../../../src/base/errors.ts";
import { KIB, MIB } from "../../../src/base/limits.ts";
import { formatSize } from "../../../src/base/size.ts";
import type { ScmOpenOptions, ScmProvider, ScmRegion } from "../../../src/contracts/scm.ts";
import type { DiskFile, World } from "../../../src/contracts/world.ts";
import { PersistGuard } from "../../persist-guard.ts";
import { IoStrategy, type IoMode } from "../../io-strategy.ts";
import { createStorageFile, requireFile, requireFree, storageFilePath } from "../../storage-file.ts";

const GRANULARITY_BYTES = 4 * KIB;
const LOAD_STEP_BYTES = 4 * MIB;
/** Persists over this size use the thread pool: they take longer than the thread should be blocked. */
const MAX_SYNC_BYTES = 256 * KIB;

export class FileScmRegion implements ScmRegion {
  readonly bytes: Uint8Array;
  readonly granularityBytes = GRANULARITY_BYTES;
  readonly #file: DiskFile;
  readonly #strategy: IoStrategy;
  readonly #guard: PersistGuard;

  constructor(file: DiskFile, bytes: Uint8Array, strategy: IoStrategy) {
    this.#file = file;
    this.bytes = bytes;
    this.#strategy = strategy;
    this.#guard = new PersistGuard(file.path, bytes.length, GRANULARITY_BYTES);
  }

  persist(offset: number, length: number): undefined | Promise<void> {
    const refusal = this.#guard.refusal(offset, length);
    if (refusal !== undefined) return Promise.reject(refusal);
    const range = this.bytes.subarray(offset, offset + length);
    if (!this.#strategy.blocks(length)) return this.#file.write(range, offset).catch((error) => this.#fail(error));
    const startNs = this.#strategy.start();
    try {
      this.#file.writeSync(range, offset);
    } catch (error) {
      return Promise.reject(this.#guard.fail(error));
    }
    this.#strategy.finished(startNs);
    return undefined;
  }

  close(): void {
    if (this.#guard.close()) this.#file.close();
  }

  #fail(error: unknown): never {
    throw this.#guard.fail(error);
  }
}

export class FileScmProvider implements ScmProvider {
  readonly #mode: IoMode;
  readonly #configuredFolder: string | undefined;

  constructor(mode: IoMode = "auto", configuredFolder?: string) {
    this.#mode = mode;
    this.#configuredFolder = configuredFolder;
  }

  async open(world: World, options: ScmOpenOptions): Promise<ScmRegion> {
    const { sizeBytes } = options;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % GRANULARITY_BYTES !== 0) {
      throw new DaosError(
        "INVALID_ARGUMENT",
        `Cannot use SCM size ${sizeBytes}: it must be a multiple of ${formatSize(GRANULARITY_BYTES)} above zero.`,
      );
    }
    const folder = this.#configuredFolder ?? options.folder;
    const path = storageFilePath(options.folder, this.#configuredFolder, "scm");
    if (options.create) {
      world.disk.makeFolder(folder);
      requireFree(world.disk, folder, path, sizeBytes);
      createStorageFile(world.disk, path, (file) => file.preallocate(sizeBytes));
    }
    requireFile(world.disk, path, sizeBytes);
    const bytes = allocateRegion(path, sizeBytes);
    const file = world.disk.openFile(path, { durable: true, direct: true });
    try {
      if (!options.create) load(file, bytes);
    } catch (error) {
      file.close();
      throw error;
    }
    return new FileScmRegion(file, bytes, new IoStrategy(this.#mode, world.clock, MAX_SYNC_BYTES));
  }
}

/** Shared memory: page aligned, so that O_DIRECT needs no copy, and visible to a settle thread. */
function allocateRegion(path: string, sizeBytes: number): Uint8Array {
  try {
    return new Uint8Array(new SharedArrayBuffer(sizeBytes));
  } catch (error) {
    const state = `there is not enough memory for ${formatSize(sizeBytes)}`;
    throw new DaosError("INVALID_ARGUMENT", `Cannot open "${path}": ${state}. Use a smaller SCM size.`, {
      cause: error,
    });
  }
}

/** Reads the file into the region. Pages that hold only zeros are not touched: an engine starts no later for a large region. */
function load(file: DiskFile, bytes: Uint8Array): void {
  const stepBytes = Math.min(LOAD_STEP_BYTES, bytes.length);
  const step = Buffer.from(new SharedArrayBuffer(stepBytes));
  const zeros = Buffer.alloc(GRANULARITY_BYTES);
  for (let start = 0; start < bytes.length; start += stepBytes) {
    const wanted = step.subarray(0, Math.min(stepBytes, bytes.length - start));
    if (file.readSync(wanted, start) !== wanted.length) {
      throw new DaosError("CORRUPT", `Cannot read "${file.path}": it ends before byte ${start + wanted.length}.`);
    }
    for (let page = 0; page < wanted.length; page += GRANULARITY_BYTES) {
      if (step.compare(zeros, 0, GRANULARITY_BYTES, page, page + GRANULARITY_BYTES) === 0) continue;
      bytes.set(step.subarray(page, page + GRANULARITY_BYTES), start + page);
    }
  }
}
