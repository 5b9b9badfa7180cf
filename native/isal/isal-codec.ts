/**
 * The codec on ISA-L, which uses the widest vector instructions the processor has. Where the addon is absent the portable
 * twin gives the same bytes, only slower: bestCodec() never fails, and says which of the two it gave and why.
 */
import { loadIsalAddon, TABLE_BYTES_OF_COEFFICIENT, type IsalAddon } from "./addon.ts";
import type { Codec } from "./codec.ts";
import { portableCrc32c } from "./portable-checksum.ts";
import { portableCodec } from "./portable-codec.ts";
import { TableCode, type Arithmetic } from "./table-code.ts";

class IsalArithmetic implements Arithmetic<Uint8Array> {
  readonly #addon: IsalAddon;

  constructor(addon: IsalAddon) {
    this.#addon = addon;
  }

  encodeTables(dataCells: number, parityCells: number): Uint8Array {
    const tables = new Uint8Array(TABLE_BYTES_OF_COEFFICIENT * dataCells * parityCells);
    this.#addon.makeEncodeTables(dataCells, parityCells, tables);
    return tables;
  }

  decodeTables(
    dataCells: number,
    parityCells: number,
    survivors: Uint8Array,
    lost: Uint8Array,
  ): Uint8Array | undefined {
    const tables = new Uint8Array(TABLE_BYTES_OF_COEFFICIENT * dataCells * lost.length);
    return this.#addon.makeDecodeTables(dataCells, parityCells, survivors, lost, tables) ? tables : undefined;
  }

  apply(tables: Uint8Array, inputs: readonly Uint8Array[], outputs: readonly Uint8Array[]): void {
    this.#addon.applyTables(tables, inputs, outputs);
  }
}

/** Below this many bytes the call into native code costs more than the look-ups it saves (about 150 ns). */
const LEAST_NATIVE_BYTES = 192;

/** The codec on this addon. */
export function isalCodec(addon: IsalAddon): Codec {
  const arithmetic = new IsalArithmetic(addon);
  return {
    name: "isal",
    crc32c: (bytes, seed = 0) =>
      bytes.length < LEAST_NATIVE_BYTES ? portableCrc32c(bytes, seed) : addon.crc32c(bytes, seed),
    erasureCode: (dataCells, parityCells) => new TableCode(dataCells, parityCells, arithmetic),
  };
}

export interface CodecChoice {
  readonly codec: Codec;
  /** Why it is not ISA-L; undefined when it is. */
  readonly reason?: string;
}

/** ISA-L where its addon loads, else the portable twin. */
export function bestCodec(): CodecChoice {
  const result = loadIsalAddon();
  return "addon" in result ? { codec: isalCodec(result.addon) } : { codec: portableCodec, reason: result.reason };
}
