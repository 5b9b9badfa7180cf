/**
 * The bitmap of device blocks that settled versions use, as the index keeps it: chunks that are loaded, changed and
 * written back within one transaction. A block taken twice or freed twice means that two versions share it: CORRUPT.
 */
import type { ByteString } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import {
  decodeRow,
  encodeRow,
  SPACE_CHUNK_BLOCKS,
  SPACE_CHUNK_BYTES,
  uint32Key,
  uint32OfKey,
} from "../format/settled-row.ts";
import type { IndexReader, IndexTransaction } from "./settled-index.ts";

export interface BlockRange {
  /** Device offset, bytes. */
  readonly offset: number;
  /** Bytes; what they begin of a block counts as the whole block. */
  readonly length: number;
}

export class SpaceTable {
  readonly #transaction: IndexTransaction;
  readonly #chunks = new Map<number, Buffer>();

  constructor(transaction: IndexTransaction) {
    this.#transaction = transaction;
  }

  take(range: BlockRange): void {
    this.#change(range, true);
  }

  free(range: BlockRange): void {
    this.#change(range, false);
  }

  #change(range: BlockRange, used: boolean): void {
    const first = range.offset / BLOCK_BYTES;
    const end = first + Math.ceil(range.length / BLOCK_BYTES);
    for (let block = first; block < end; block += 1) {
      const chunk = this.#chunk(Math.floor(block / SPACE_CHUNK_BLOCKS));
      const place = block % SPACE_CHUNK_BLOCKS;
      const mask = 1 << (place & 7);
      if (((chunk[place >>> 3]! & mask) !== 0) === used) throw shared(block, used);
      chunk[place >>> 3]! ^= mask;
    }
  }

  #chunk(number: number): Buffer {
    const known = this.#chunks.get(number);
    if (known !== undefined) return known;
    const chunk = Buffer.alloc(SPACE_CHUNK_BYTES);
    const row = this.#transaction.get("space", uint32Key(number));
    if (row !== undefined) chunk.set(chunkOfRow(uint32Key(number), row));
    this.#chunks.set(number, chunk);
    return chunk;
  }

  /** Writes the changed chunks. */
  flush(): void {
    for (const number of [...this.#chunks.keys()].sort((left, right) => left - right)) {
      const chunk = this.#chunks.get(number)!;
      const key = uint32Key(number);
      if (chunk.every((byte) => byte === 0)) this.#transaction.remove("space", key);
      else this.#transaction.put("space", key, encodeRow(key, chunk));
    }
  }
}

function chunkOfRow(key: ByteString, row: Uint8Array): Buffer {
  const chunk = decodeRow(key, row);
  if (chunk.length === SPACE_CHUNK_BYTES) return chunk;
  throw new DaosError("CORRUPT", `Cannot read index row "space": ${chunk.length} bytes. Restore the target.`);
}

/** Visits all chunks: the number of their first block, and their bits. Throws CORRUPT. */
export function visitSpace(index: IndexReader, visit: (firstBlock: number, bits: Buffer) => void): void {
  const cursor = index.cursor("space", "" as ByteString, "" as ByteString, false);
  for (; cursor.key !== undefined; cursor.next()) {
    visit(uint32OfKey(cursor.key) * SPACE_CHUNK_BLOCKS, chunkOfRow(cursor.key, cursor.value));
  }
}

function shared(block: number, used: boolean): DaosError {
  const state = used ? "used by another version" : "free already";
  return new DaosError(
    "CORRUPT",
    `Cannot account for block "${block}": it is ${state}. Restore the target from its redundancy or a backup.`,
  );
}
