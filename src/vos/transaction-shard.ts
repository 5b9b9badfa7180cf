/**
 * What a shard of an erasure-coded dkey needs to know for transactions there: its share of what is to be written, and where
 * it keeps what it knows of an array. Given with each step, by who knows the class and the number of the shard.
 */
import type { PartBytes, PreparedPart } from "../format/prepare-request.ts";
import type { PartWrite } from "../format/transaction-part.ts";
import type { ByteRun } from "./cell-meta.ts";

/** What each shard does another part of. */
export type SharedWrite = PartWrite & { readonly kind: "update" | "write" | "punchRecords" };

export interface TransactionShard {
  /** The shard's share: one part of kind `value`, parts of an array, or nothing. Throws TOO_LARGE. */
  partsOf(write: SharedWrite): readonly PartBytes[];
  /** The same without bytes. */
  shapeOf(write: SharedWrite): readonly PreparedPart[];
  /** Local addresses; see RedundancyScheme.footprint. */
  footprint(range: ByteRun): readonly ByteRun[];
}
