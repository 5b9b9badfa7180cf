/** Snapshots that some targets keep and others do not: one that was given up, or is being destroyed. Nobody can read at it. */
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { hasCode } from "../base/errors.ts";

/** A shard that is needed does not keep this snapshot. */
export class UnkeptSnapshot extends Error {
  override readonly name = "UnkeptSnapshot";
  readonly epoch: Epoch;

  constructor(epoch: Epoch) {
    super(`a shard does not keep snapshot ${epoch}`);
    this.epoch = epoch;
  }
}

/** Reads at a snapshot, or of the latest state (EPOCH_NONE). Throws UnkeptSnapshot instead of EPOCH_AGGREGATED. */
export async function atSnapshot<Result>(snapshot: Epoch, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    if (snapshot !== EPOCH_NONE && hasCode(error, "EPOCH_AGGREGATED")) throw new UnkeptSnapshot(snapshot);
    throw error;
  }
}
