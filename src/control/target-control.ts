/**
 * What the control plane asks of the targets, all of them together: the engine sends each call to every target and joins
 * the answers. The control plane records its intent in the meta store first, so each call may be repeated after a crash
 * and must then do no harm. Rejections are the targets' DaosErrors.
 */
import type { Epoch } from "../base/epoch.ts";
import type { StoreSpace } from "../store/cell.ts";

/** Bytes of each tier, over all targets. */
export interface TierUsage {
  readonly scmBytes: number;
  readonly nvmeBytes: number;
}

export interface TargetControl {
  /** Sums over all targets. */
  space(): Promise<StoreSpace>;
  /** What each of these containers takes, summed over the targets; one that is not there takes nothing. */
  usage(containers: readonly number[]): Promise<ReadonlyMap<number, TierUsage>>;
  /** Makes the container ready for requests, with its snapshots. Opening an open one changes nothing. */
  openContainer(container: number, pool: string): Promise<void>;
  /** Handles that connections have attached to the container. */
  countHandles(container: number): Promise<number>;
  /** Keeps the present state: an epoch later than all before it. Durable when resolved. */
  createSnapshot(container: number): Promise<Epoch>;
  /** Epochs of the container's snapshots that any target keeps, ascending. */
  listSnapshots(container: number): Promise<readonly Epoch[]>;
  /** No error when there is none at this epoch. Durable when resolved. */
  destroySnapshot(container: number, epoch: Epoch): Promise<void>;
  /**
   * Ends the container's handles and removes its data, snapshots included; its space comes back in the background.
   * Durable when resolved. No error when it is not there, or not open.
   */
  destroyContainer(container: number): Promise<void>;
  /**
   * The containers of the pool may together take this much, and write values up to the threshold to SCM. Replaces what was
   * set; no containers: forget the pool.
   */
  setQuota(
    pool: string,
    sizeBytes: number,
    containers: readonly number[],
    thresholdBytes: number | "auto",
  ): Promise<void>;
}
