/** What a transaction has kept for a dkey, done at its epoch: every operation says what it would append, for one record of all. */
import { crc32 } from "../base/checksum.ts";
import { damagedAfterStore } from "../base/damage.ts";
import type { DkeyPlace } from "../base/key-place.ts";
import type { Epoch } from "../base/epoch.ts";
import { decodePartWrites, type PartWrite } from "../format/transaction-part.ts";
import type { CellWrite, ReclaimRange } from "../store/cell.ts";
import type { ArrayWrites } from "./array-write.ts";
import type { Punches } from "./punch.ts";
import type { ShardWrites } from "./shard-write.ts";
import type { SingleValues, WriteOutcome } from "./single-value.ts";
import type { TransactionShard } from "./transaction-shard.ts";
import type { Gathered } from "./transaction-size.ts";
import type { WriteOrder } from "./write-order.ts";

/** The operations that a transaction's writes are. */
export interface TransactionOperations {
  readonly values: SingleValues;
  readonly arrays: ArrayWrites;
  readonly punches: Punches;
  /** Of erasure code. */
  readonly shards: ShardWrites;
}

/** The dkey, and the epoch of the transaction. */
interface EndedPart extends DkeyPlace {
  readonly epoch: Epoch;
  readonly order?: WriteOrder | undefined;
  readonly shard?: TransactionShard | undefined;
}

/** What a part keeps, with the CRC-32 of its value, if it has one, from when all that is kept was verified. */
export type KeptWrite = PartWrite & { readonly checksum?: number | undefined };

/**
 * The writes that are kept as `bytes`. `checksum`: their CRC-32, as they were stored: it is looked at once the values have
 * checksums of their own. Throws CORRUPT.
 */
export function keptWrites(bytes: Uint8Array, checksum: number): KeptWrite[] {
  const writes = decodePartWrites(bytes).map((write) =>
    "value" in write ? { ...write, checksum: crc32(write.value) } : write,
  );
  if (crc32(bytes) !== checksum) throw damagedAfterStore("when its transaction was resolved");
  return writes;
}

type GatheringPlace = DkeyPlace & { readonly order: WriteOrder };

export class TransactionWrites {
  readonly #operations: TransactionOperations;

  constructor(operations: TransactionOperations) {
    this.#operations = operations;
  }

  /** Adds what is to be appended. Extents of it are written when this resolves, or, of those that were added, rejects. */
  async gather(
    container: number,
    { oid, dkey, epoch, order, shard }: EndedPart,
    writes: readonly KeptWrite[],
    into: Gathered,
  ): Promise<void> {
    const gathering = gatheringOrder(order!, epoch, into);
    for (const write of writes) {
      const at = { oid, dkey, order: gathering };
      await (shard === undefined ? this.#perform(container, at, write) : this.#share(container, at, write, shard));
    }
  }

  /** Adds the punch of all that the target has of an object without redundancy. */
  async gatherObject(container: number, { oid, epoch, order }: EndedPart, into: Gathered): Promise<void> {
    const gathering = gatheringOrder(order!, epoch, into);
    await this.#operations.punches.punchObject(container, { oid, order: gathering });
  }

  #perform(container: number, at: GatheringPlace, write: KeptWrite): WriteOutcome | Promise<WriteOutcome> {
    const { values, arrays, punches } = this.#operations;
    switch (write.kind) {
      case "update":
        return values.update(container, { ...at, akey: write.akey, checksum: write.checksum }, write.value);
      case "write":
        return arrays.write(container, { ...at, ...write }, write.value);
      case "punchRecords":
        return arrays.punch(container, { ...at, ...write });
      case "punchAkey":
        return punches.punchAkey(container, { ...at, akey: write.akey });
      case "punchDkey":
        return punches.punchDkey(container, at);
      default:
        return write satisfies never;
    }
  }

  /** A shard's share of it. */
  #share(
    container: number,
    at: GatheringPlace,
    write: KeptWrite,
    shard: TransactionShard,
  ): WriteOutcome | Promise<WriteOutcome> {
    if (write.kind === "punchAkey" || write.kind === "punchDkey") return this.#perform(container, at, write);
    const { values, shards, punches } = this.#operations;
    const { akey } = write;
    const parts = shard.partsOf(write);
    // All parts are made: if the value is good now, so was it then.
    const isDamaged = "value" in write && write.checksum !== undefined && crc32(write.value) !== write.checksum;
    if (isDamaged) throw damagedAfterStore("when it was shared out among the shards");
    if (write.kind !== "update") return shards.write(container, { ...at, akey, recordBytes: write.recordBytes }, parts);
    // A shard that has no part of the value has nothing there any more.
    const part = parts[0];
    if (part === undefined) return punches.punchAkey(container, { ...at, akey });
    return values.update(container, { ...at, akey, checksum: part.checksum }, part.bytes);
  }
}

function gatheringOrder({ origin }: WriteOrder, epoch: Epoch, into: Gathered): WriteOrder {
  const gather = (cells: readonly CellWrite[], reclaims: readonly ReclaimRange[]): void => {
    into.writes.push(...cells);
    into.reclaims.push(...reclaims);
  };
  return { origin, isPrepared: false, epoch, gather };
}
