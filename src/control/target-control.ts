/**
 * What the control plane asks of the targets of a pool, all of them together: each call goes to every engine that the
 * pool's map names, and the answers are joined. The control plane records its intent in the meta store first, so each
 * call may be repeated after a crash and must then do no harm. Rejections are the targets' DaosErrors.
 *
 * An engine that is away holds nobody up: it is given what it missed when it joins again. Only a snapshot needs all that
 * serve: it rejects with UNAVAILABLE.
 */
import type { RebuildPolicy, ServedContainer } from "../format/engine-operations.ts";
import type { ScrubSettings } from "../format/scrub.ts";
import type { Epoch } from "../base/epoch.ts";
import type { StoreSpace } from "../store/cell.ts";
import type { Notes } from "./notes.ts";

/** Bytes of each tier, over all targets. */
export interface TierUsage {
  readonly scmBytes: number;
  readonly nvmeBytes: number;
}

export interface TargetControl {
  /** Sums over all engines of the system; of one that is away, what it said last. */
  space(): Promise<StoreSpace>;
  /** What each of a pool's containers takes, summed over the targets that answer; one that is not there takes nothing. */
  usage(containers: readonly number[], pool: string): Promise<ReadonlyMap<number, TierUsage>>;
  /** Makes the container ready for requests, with its snapshots. Opening an open one changes nothing. */
  openContainer(container: ServedContainer, pool: string): Promise<void>;
  /** Handles that connections have attached to the container. */
  countHandles(container: number, pool: string): Promise<number>;
  /** Keeps the present state: an epoch later than all before it. Durable when resolved. */
  createSnapshot(container: number, pool: string): Promise<Epoch>;
  /** Epochs of the container's snapshots that any target keeps, ascending. */
  listSnapshots(container: number, pool: string): Promise<readonly Epoch[]>;
  /** No error when there is none at this epoch. Durable when resolved. */
  destroySnapshot(container: number, pool: string, epoch: Epoch): Promise<void>;
  /**
   * Ends the container's handles and removes its data, snapshots included; its space comes back in the background.
   * Durable when resolved. No error when it is not there, or not open. Resolves with the ranks that were away.
   */
  destroyContainer(container: number, pool: string): Promise<readonly number[]>;
  /** Copies of records, to be kept beside what they are of. Engines and targets that cannot take them are passed over. */
  keepNotes(pool: string, notes: Notes): Promise<void>;
  /** The pool is gone. Resolves with the ranks that were away. */
  forgetPool(pool: string): Promise<readonly number[]>;
  /**
   * The containers of the pool may together take this much, write values up to the threshold to SCM, and are scrubbed so. Replaces
   * what was set.
   */
  setQuota(
    pool: string,
    sizeBytes: number,
    containers: readonly number[],
    thresholdBytes: number | "auto",
    rebuild: RebuildPolicy,
    scrub: ScrubSettings,
  ): Promise<void>;
}
