/** A shard's share of transactions on an erasure-coded dkey, from its scheme and number: planned without I/O. */
import { MAX_ARRAY_IO_BYTES, MAX_TRANSACTION_PUNCH_BYTES } from "../base/limits.ts";
import type { RedundancyScheme, ShardPart } from "../contracts/redundancy.ts";
import { type ArrayShare, NO_PARTS, shardParts } from "../dtx/shard-parts.ts";
import type { PartBytes, PreparedPart } from "../format/prepare-request.ts";
import { byteRange } from "../vos/array-read.ts";
import type { ByteRun } from "../vos/cell-meta.ts";
import type { OrderedShard } from "../vos/write-order.ts";
import type { SharedWrite, TransactionShard } from "../vos/transaction-shard.ts";
import { arrayParts } from "./array-parts.ts";

export class TransactionParts implements TransactionShard {
  readonly #scheme: RedundancyScheme;
  readonly #shard: OrderedShard;
  readonly #shares: ArrayShare[];

  /** `shares`: gets what is planned of arrays. */
  constructor(scheme: RedundancyScheme, shard: OrderedShard, shares: ArrayShare[] = []) {
    this.#scheme = scheme;
    this.#shard = shard;
    this.#shares = shares;
  }

  partsOf(write: SharedWrite): readonly PartBytes[] {
    const parts = this.#own(planOf(this.#scheme, this.#shard.leader, write, write.value));
    if (write.kind !== "update") this.#shares.push({ akey: write.akey, parts: parts.map(withoutBytes) });
    return parts;
  }

  shapeOf(write: SharedWrite): readonly PartBytes[] {
    return this.#own(planOf(this.#scheme, this.#shard.leader, write, undefined));
  }

  footprint({ start, end }: ByteRun): readonly ByteRun[] {
    return this.#scheme.footprint(this.#shard.own, start, end - start);
  }

  #own(plan: readonly ShardPart[]): readonly PartBytes[] {
    const number = this.#shard.own;
    const own = plan.filter(({ shard }) => shard === number);
    return shardParts(own).get(number) ?? NO_PARTS;
  }
}

function withoutBytes({ kind, address, length }: PartBytes): PreparedPart {
  return { kind, address, length };
}

/** `bytes` undefined: their shape alone. Throws TOO_LARGE. */
function planOf(
  scheme: RedundancyScheme,
  leader: number,
  write: SharedWrite,
  bytes: Uint8Array | undefined,
): readonly ShardPart[] {
  switch (write.kind) {
    case "update":
      return scheme.planValue(write.value.length, bytes);
    case "write": {
      const { start, end } = byteRange(write, write.recordBytes, MAX_ARRAY_IO_BYTES);
      return arrayParts(scheme, leader, start, end - start, bytes);
    }
    case "punchRecords": {
      const { start, end } = byteRange(write, write.recordBytes, MAX_TRANSACTION_PUNCH_BYTES);
      return scheme.punchParts(start, end - start, write.rest ?? []);
    }
    default:
      return write satisfies never;
  }
}
