/**
 * The ISA-L addon as TypeScript sees it. Its functions check only what keeps memory safe and throw TypeError or
 * RangeError; callers use isal-codec.ts, which checks arguments in the words of the field.
 */
import { loadAddon, type AddonResult } from "../load-addon.ts";

export interface IsalAddon {
  /** CRC32C of the bytes, going on from `seed`. */
  crc32c(bytes: Uint8Array, seed?: number): number;
  /** Fills `tables`, TABLE_BYTES_OF_COEFFICIENT for each pair of data and parity cell. */
  makeEncodeTables(dataCells: number, parityCells: number, tables: Uint8Array): void;
  /** Fills `tables`, TABLE_BYTES_OF_COEFFICIENT for each pair of survivor and lost cell; false if it cannot be done. */
  makeDecodeTables(
    dataCells: number,
    parityCells: number,
    survivors: Uint8Array,
    lost: Uint8Array,
    tables: Uint8Array,
  ): boolean;
  /** Fills the outputs up to the length of the shortest cell. */
  applyTables(tables: Uint8Array, inputs: readonly Uint8Array[], outputs: readonly Uint8Array[]): void;
}

export const TABLE_BYTES_OF_COEFFICIENT = 32;

/** This thread's instance, or why there is none. */
export function loadIsalAddon(): AddonResult<IsalAddon> {
  return loadAddon<IsalAddon>("isal", () => require("./build/Release/isal.node"));
}
