/** What a transaction has kept for a dkey, done at its epoch: every operation says what it would append, for one record of all. */
import type { DkeyPlace } from "../base/key-place.ts";
import type { Epoch } from "../base/epoch.ts";
import { isRedundant } from "../base/object-id.ts";
import type { PartWrite } from "../format/transaction-part.ts";
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
    writes: readonly PartWrite[],
    into: Gathered,
  ): Promise<void> {
    const gathering = gatheringOrder(order!, epoch, into);
    for (const write of writes) {
      const at = { oid, dkey, order: gathering };
      await (shard === undefined ? this.#perform(container, at, write) : this.#share(container, at, write, shard));
    }
  }

  /**
   * Adds the punch of all that the target has of an object; nothing with redundancy, where dkeys are punched one by one.
   */
  async gatherObject(container: number, { oid, epoch, order }: EndedPart, into: Gathered): Promise<void> {
    if (isRedundant(oid)) return;
    const gathering = gatheringOrder(order!, epoch, into);
    await this.#operations.punches.punchObject(container, { oid, order: gathering });
  }

  #perform(container: number, at: GatheringPlace, write: PartWrite): WriteOutcome | Promise<WriteOutcome> {
    const { values, arrays, punches } = this.#operations;
    switch (write.kind) {
      case "update":
        return values.update(container, { ...at, akey: write.akey }, write.value);
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
    write: PartWrite,
    shard: TransactionShard,
  ): WriteOutcome | Promise<WriteOutcome> {
    if (write.kind === "punchAkey" || write.kind === "punchDkey") return this.#perform(container, at, write);
    const { values, shards, punches } = this.#operations;
    const { akey } = write;
    const parts = shard.partsOf(write);
    if (write.kind !== "update") return shards.write(container, { ...at, akey, recordBytes: write.recordBytes }, parts);
    // A shard that has no part of the value has nothing there any more.
    const part = parts[0];
    if (part === undefined) return punches.punchAkey(container, { ...at, akey });
    return values.update(container, { ...at, akey }, part.bytes);
  }
}

function gatheringOrder({ origin }: WriteOrder, epoch: Epoch, into: Gathered): WriteOrder {
  const gather = (cells: readonly CellWrite[], reclaims: readonly ReclaimRange[]): void => {
    into.writes.push(...cells);
    into.reclaims.push(...reclaims);
  };
  return { origin, isPrepared: false, epoch, gather };
}
