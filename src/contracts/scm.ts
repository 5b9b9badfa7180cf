/**
 * Extension point `scm`: byte-addressable durable memory that holds one target's log.
 */
import type { World } from "./world.ts";

export interface ScmRegion {
  /** The region. Reads see every write at once; a write is durable only after `persist`. */
  readonly bytes: Uint8Array;
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
