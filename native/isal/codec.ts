/**
 * Checksums and erasure code, as ISA-L (isal-codec.ts) and portable TypeScript (portable-codec.ts) both give them, byte
 * for byte the same: CRC32C, and Reed-Solomon over GF(2^8) with polynomial 0x11d and the Cauchy matrix of ISA-L's
 * gf_gen_cauchy1_matrix, the one that DAOS uses.
 *
 * Everything is synchronous and copies no cell; buffers stay the caller's and are not kept. Views may lie in shared
 * memory: nobody else may write them during a call. Splitting data into cells and placing them is left to the callers.
 */
export interface Codec {
  readonly name: "isal" | "portable";
  /**
   * CRC32C (Castagnoli, RFC 3720) with the standard's inversions: crc32c of "123456789" is 0xe3069283. `seed` is the CRC
   * of the bytes before these; 0, the default, when there are none. Returns an unsigned 32-bit number.
   */
  crc32c(bytes: Uint8Array, seed?: number): number;
  /**
   * The code of `dataCells` and `parityCells` (each at least 1, together at most MAX_CELLS); keep it, it holds tables.
   * INVALID_ARGUMENT otherwise.
   */
  erasureCode(dataCells: number, parityCells: number): ErasureCode;
}

/** Cells of one code at most, data and parity together. */
export const MAX_CELLS = 255;

/** One code with its tables. Cells count from 0, data first, then parity. Not to be shared between threads. */
export interface ErasureCode {
  readonly dataCells: number;
  readonly parityCells: number;
  /**
   * Fills all parity cells from all data cells, each list in order and complete. Cells are of equal length, any length;
   * parity lies apart from data. INVALID_ARGUMENT, before anything is written, when that does not hold.
   */
  encode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): void;
  /**
   * Fills `outputs`, the cells whose indices are `lost`, from `cells`, those whose indices are `survivors`: at least
   * `dataCells` of them, of which the first are used. No index comes twice, in one list or in both; cells are of equal
   * length; outputs lie apart from the rest. INVALID_ARGUMENT, before anything is written, when that does not hold.
   */
  reconstruct(
    survivors: readonly number[],
    cells: readonly Uint8Array[],
    lost: readonly number[],
    outputs: readonly Uint8Array[],
  ): void;
}
