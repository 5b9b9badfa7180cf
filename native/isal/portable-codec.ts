/**
 * The codec in TypeScript alone: what serves where ISA-L is absent, and what ISA-L is compared with. Arithmetic is by
 * table: one look-up of 32 bits gives a data byte's share of up to four parity bytes at once.
 */
import type { Codec } from "./codec.ts";
import { multiply } from "./galois-field.ts";
import { decodeRows, parityRows } from "./generator-matrix.ts";
import { portableCrc32c } from "./portable-checksum.ts";
import { TableCode, type Arithmetic } from "./table-code.ts";

/** Outputs that share a word of the tables, one byte each. */
const GROUP_OUTPUTS = 4;
/** Bytes of each cell worked on at a time: their sums stay in the first cache. */
const STEP_BYTES = 2048;

/** Tables: for each group of outputs, for each input, 256 words; byte n of a word belongs to the group's output n. */
class PortableArithmetic implements Arithmetic<Uint32Array> {
  readonly #sums = new Uint32Array(STEP_BYTES);

  encodeTables(dataCells: number, parityCells: number): Uint32Array {
    return tablesOf(parityRows(dataCells, parityCells), dataCells);
  }

  decodeTables(
    dataCells: number,
    parityCells: number,
    survivors: Uint8Array,
    lost: Uint8Array,
  ): Uint32Array | undefined {
    const rows = decodeRows(dataCells, parityCells, survivors, lost);
    return rows === undefined ? undefined : tablesOf(rows, dataCells);
  }

  apply(tables: Uint32Array, inputs: readonly Uint8Array[], outputs: readonly Uint8Array[]): void {
    const sizeBytes = outputs[0]!.length;
    for (let start = 0; start < sizeBytes; start += STEP_BYTES) {
      const end = Math.min(start + STEP_BYTES, sizeBytes);
      for (let group = 0; group * GROUP_OUTPUTS < outputs.length; group += 1) {
        const first = group * inputs.length * 256;
        this.#sums.fill(0, 0, end - start);
        for (let index = 0; index < inputs.length; index += 1) {
          addProducts(
            this.#sums,
            tables.subarray(first + index * 256, first + index * 256 + 256),
            inputs[index]!,
            start,
            end,
          );
        }
        const last = Math.min(outputs.length, (group + 1) * GROUP_OUTPUTS);
        for (let index = group * GROUP_OUTPUTS; index < last; index += 1) {
          writeSums(outputs[index]!, start, end, this.#sums, 8 * (index % GROUP_OUTPUTS));
        }
      }
    }
  }
}

function addProducts(sums: Uint32Array, table: Uint32Array, input: Uint8Array, start: number, end: number): void {
  for (let offset = start; offset < end; offset += 1) sums[offset - start]! ^= table[input[offset]!]!;
}

function writeSums(output: Uint8Array, start: number, end: number, sums: Uint32Array, shift: number): void {
  for (let offset = start; offset < end; offset += 1) output[offset] = sums[offset - start]! >>> shift;
}

/** `rows` holds one row of `inputs` coefficients for each output. */
function tablesOf(rows: Uint8Array, inputs: number): Uint32Array {
  const outputs = rows.length / inputs;
  const tables = new Uint32Array(Math.ceil(outputs / GROUP_OUTPUTS) * inputs * 256);
  for (let output = 0; output < outputs; output += 1) {
    const group = Math.floor(output / GROUP_OUTPUTS);
    const shift = 8 * (output % GROUP_OUTPUTS);
    for (let input = 0; input < inputs; input += 1) {
      const first = (group * inputs + input) * 256;
      const coefficient = rows[output * inputs + input]!;
      for (let byte = 0; byte < 256; byte += 1) tables[first + byte]! |= multiply(coefficient, byte) << shift;
    }
  }
  return tables;
}

export const portableCodec: Codec = {
  name: "portable",
  crc32c: portableCrc32c,
  erasureCode: (dataCells, parityCells) => new TableCode(dataCells, parityCells, new PortableArithmetic()),
};
