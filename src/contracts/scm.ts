/**
 * Extension point `scm`: byte-addressable durable memory that holds one target's log.
 */
import type { World } from "./world.ts";

/** Where another thread finds a region's bytes: mapped shared and read-only, this range shows each write at once. */
export interface ScmFileRange {
  /** A file, or a device that can be mapped. */
  readonly path: string;
  /** Of the region's first byte. */
  readonly offset: number;
  readonly sizeBytes: number;
  /** Offset and length of a mapping must be multiples of this, bytes. */
  readonly alignmentBytes: number;
}

export interface ScmRegion {
  /**
   * The region. Reads see every write at once; a write is durable only after `persist`. It is shared memory (a view of a
   * SharedArrayBuffer), or `fileRange` says where other threads find it.
   */
  readonly bytes: Uint8Array;
  readonly fileRange?: ScmFileRange;
  /** What the admin should know about this medium, shown when the engine starts: one line each, no full stop. */
  readonly notices?: readonly string[];
  /** Smallest span that a persist writes as a whole, bytes (power of two): 64 for PMem, 4096 for files. */
  readonly granularityBytes: number;
  /**
   * Makes bytes[offset, offset + length) durable. Both are multiples of `granularityBytes`. Returns undefined when durable
   * already, else a promise; ranges of concurrent calls must not overlap. The bytes must not change until then. After a
   * failure (IO, NO_SPACE) the range is undefined on the medium and the region must not be persisted again. Never throws;
   * rejects with INVALID_ARGUMENT for a range off the granularity or the region, UNAVAILABLE after `close`.
   */
  persist(offset: number, length: number): undefined | Promise<void>;
  /** No persist may be running. Closing twice is harmless. */
  close(): void;
  /** Resolves when all that `close` set about has ended, such as a device's process; absent: it has when `close` returns. */
  closing?(): Promise<void>;
}

export interface ScmOpenOptions {
  /** The folder of the target's storage. */
  readonly folder: string;
  readonly sizeBytes: number;
  /** Format a new region (zeros) or open an existing one of exactly `sizeBytes` (NOT_FOUND, CORRUPT otherwise). */
  readonly create: boolean;
}

/** What an scm plugin makes. */
export interface ScmProvider {
  open(world: World, options: ScmOpenOptions): Promise<ScmRegion>;
}
