/**
 * Matrices of the Reed-Solomon code: the generator has one row a cell and one column a data cell, the identity on top and
 * Cauchy rows, row r column c being 1 / (r xor c), below (as ISA-L's gf_gen_cauchy1_matrix). Every square choice of rows
 * can be inverted. Matrices are bytes, row after row.
 */
import { inverse, multiply } from "./galois-field.ts";

/** The rows of the parity cells. */
export function parityRows(dataCells: number, parityCells: number): Uint8Array {
  const rows = new Uint8Array(parityCells * dataCells);
  for (let row = 0; row < parityCells; row += 1) {
    for (let column = 0; column < dataCells; column += 1) {
      rows[row * dataCells + column] = inverse((dataCells + row) ^ column);
    }
  }
  return rows;
}

/**
 * The rows that make the lost cells out of the survivors, of which there are `dataCells`: one row a lost cell, one column
 * a survivor. Undefined when the survivors do not determine the rest (they do when their indices differ).
 */
export function decodeRows(
  dataCells: number,
  parityCells: number,
  survivors: Uint8Array,
  lost: Uint8Array,
): Uint8Array | undefined {
  const parity = parityRows(dataCells, parityCells);
  const inverted = invertedMatrix(generatorRows(dataCells, parity, survivors), dataCells);
  if (inverted === undefined) return undefined;
  const wanted = generatorRows(dataCells, parity, lost);
  const rows = new Uint8Array(wanted.length);
  for (let row = 0; row < lost.length; row += 1) {
    for (let index = 0; index < dataCells; index += 1) {
      addMultiple(rows, row, inverted, index, wanted[row * dataCells + index]!, dataCells);
    }
  }
  return rows;
}

/** The generator's rows of these cells. */
function generatorRows(dataCells: number, parity: Uint8Array, cells: Uint8Array): Uint8Array {
  const rows = new Uint8Array(cells.length * dataCells);
  cells.forEach((cell, row) => {
    const first = (cell - dataCells) * dataCells;
    if (cell < dataCells) rows[row * dataCells + cell] = 1;
    else rows.set(parity.subarray(first, first + dataCells), row * dataCells);
  });
  return rows;
}

/** By Gauss and Jordan; `matrix` is used up. Undefined when it is singular. */
function invertedMatrix(matrix: Uint8Array, order: number): Uint8Array | undefined {
  const inverted = new Uint8Array(order * order);
  for (let row = 0; row < order; row += 1) inverted[row * order + row] = 1;
  for (let column = 0; column < order; column += 1) {
    let pivot = column;
    while (pivot < order && matrix[pivot * order + column] === 0) pivot += 1;
    if (pivot === order) return undefined;
    // Adding the pivot's row makes the diagonal's element differ from 0, as exchanging rows would.
    if (pivot !== column) {
      addMultiple(matrix, column, matrix, pivot, 1, order);
      addMultiple(inverted, column, inverted, pivot, 1, order);
    }
    const factor = inverse(matrix[column * order + column]!);
    scaleRow(matrix, column, factor, order);
    scaleRow(inverted, column, factor, order);
    for (let row = 0; row < order; row += 1) {
      const multiple = matrix[row * order + column]!;
      if (row === column || multiple === 0) continue;
      addMultiple(matrix, row, matrix, column, multiple, order);
      addMultiple(inverted, row, inverted, column, multiple, order);
    }
  }
  return inverted;
}

/** Adds `factor` times row `from` of `source` to row `to` of `target`. */
function addMultiple(
  target: Uint8Array,
  to: number,
  source: Uint8Array,
  from: number,
  factor: number,
  columns: number,
): void {
  for (let column = 0; column < columns; column += 1) {
    target[to * columns + column]! ^= multiply(factor, source[from * columns + column]!);
  }
}

function scaleRow(matrix: Uint8Array, row: number, factor: number, columns: number): void {
  for (let index = row * columns; index < (row + 1) * columns; index += 1) {
    matrix[index] = multiply(factor, matrix[index]!);
  }
}
