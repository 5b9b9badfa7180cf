/**
 * What a settle thread is started with: where the index is, and the log. A region in shared memory is handed over as it
 * is; one that is not (mapped device memory) is read through the copies that the store sends.
 */
export interface SettleSettings {
  readonly indexPath: string;
  readonly indexBytes: number;
  /** The target's SCM region; structured-cloned, so its memory must be shared. */
  readonly regionBytes: Uint8Array;
}
