/**
 * Reads of one shard of an erasure-coded akey, for clients that put the object together, and for the leader of its group:
 * what the shard shows, once nothing can undo it.
 */
import { crc32 } from "../base/checksum.ts";
import { damagedAfterStore } from "../base/damage.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import type { Replication } from "../dtx/replication.ts";
import type { ObjectRequest } from "../format/object-request.ts";
import type { ShardReadReply } from "../format/shard-read.ts";
import type { PayloadBuffers } from "../rpc/payload-buffers.ts";
import type { CellStore } from "../store/cell.ts";
import { isUndecided } from "../store/stability.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";

/** What a shard shows. `bytes` is from the payload buffers, to be given back there. `error`: see ShardReadOutcome; plans do not mind it. */
export interface ShardAnswer extends ShardReadReply {
  readonly error: DaosError | undefined;
  readonly bytes: Uint8Array;
  /** The CRC-32 that they must have. */
  readonly checksum: number;
}

export interface ShardReadParts {
  readonly store: CellStore;
  readonly objects: VersionedObjects;
  readonly payloadBuffers: PayloadBuffers;
  readonly replication: () => Replication;
}

export class ShardReadService {
  readonly #parts: ShardReadParts;

  constructor(parts: ShardReadParts) {
    this.#parts = parts;
  }

  /**
   * An array's bytes from `recordIndex` on, `recordCount` of them, or a single value. Rejects with EPOCH_AGGREGATED,
   * TOO_LARGE, CORRUPT, IO, NOT_FOUND, and UNAVAILABLE when something that it rests on was undone.
   */
  async read(container: number, object: ObjectRequest, kind: "array" | "value"): Promise<ShardAnswer> {
    const { objects, replication } = this.#parts;
    // What comes from now on is not complete when this read is made.
    const completeTo = replication().completeTo(container, object);
    const { recordIndex: address, recordCount: length } = object;
    const outcome =
      kind === "array"
        ? await objects.readShardArray(container, object, { address, length })
        : await objects.readShardValue(container, object);
    try {
      await this.#stable(outcome.sequence);
      if (!objects.reads.isDurable) await objects.reads.durable();
    } catch (error) {
      this.#release(outcome.bytes);
      throw error;
    }
    return { ...outcome, completeTo };
  }

  /** The same with the bytes in ordinary memory: for the leader, who keeps them until what it plans is done. */
  async readForLeader(container: number, object: ObjectRequest, kind: "array" | "value"): Promise<ShardAnswer> {
    const answer = await this.read(container, object, kind);
    const bytes = new Uint8Array(answer.bytes);
    this.#release(answer.bytes);
    if (crc32(bytes) !== answer.checksum) throw damagedAfterStore("when its leader read the shard");
    return { ...answer, bytes };
  }

  #release(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#parts.payloadBuffers.release(bytes);
  }

  #stable(sequence: number): Promise<void> {
    const { store, replication } = this.#parts;
    return new Promise((resolve, reject) => {
      let isSettled = false;
      store.whenStable(sequence, (error) => {
        isSettled = true;
        if (error === undefined) resolve();
        else reject(hasCode(error, "CONFLICT") ? undone(error as DaosError) : error);
      });
      if (!isSettled && isUndecided(sequence)) replication().ask();
    });
  }
}

function undone(cause: DaosError): DaosError {
  const state = "an update that it rests on was undone when a target was lost";
  return new DaosError("UNAVAILABLE", `Cannot read the shard: ${state}. Read it again.`, { cause });
}
