/**
 * Checks of what callers of an erasure code pass, the same for both twins. Each throws DaosError INVALID_ARGUMENT that
 * says what is wrong; none writes anything.
 */
import { DaosError } from "../../src/base/errors.ts";
import { MAX_CELLS } from "./codec.ts";

type Action = "encode" | "reconstruct";

function refuse(action: string, what: string, state: string, remedy: string): never {
  throw new DaosError("INVALID_ARGUMENT", `Cannot ${action} "${what}": ${state}. ${remedy}.`);
}

export function checkCodeShape(dataCells: number, parityCells: number): void {
  const counts = Number.isInteger(dataCells) && Number.isInteger(parityCells) && dataCells >= 1 && parityCells >= 1;
  if (counts && dataCells + parityCells <= MAX_CELLS) return;
  const state = "cells are not whole numbers of at least 1, or too many";
  refuse("make erasure code", `${dataCells}+${parityCells}`, state, `Use at most ${MAX_CELLS} cells in all`);
}

/** As many cells as `count`, all of one length. Returns that length, bytes. */
export function checkCells(action: Action, what: string, cells: readonly Uint8Array[], count: number): number {
  if (cells.length !== count) refuse(action, what, `${cells.length} cells came`, `Pass ${count}`);
  const sizeBytes = cells[0]?.length ?? 0;
  for (const cell of cells) {
    if (!(cell instanceof Uint8Array)) refuse(action, what, "a cell is not a Uint8Array", "Pass bytes");
    if (cell.length !== sizeBytes) {
      refuse(action, what, `cells have ${sizeBytes} and ${cell.length} bytes`, "Pass cells of equal length");
    }
  }
  return sizeBytes;
}

export function checkEqualLength(action: Action, inputBytes: number, outputBytes: number): void {
  if (inputBytes === outputBytes) return;
  refuse(action, "cells", `inputs have ${inputBytes} bytes, outputs ${outputBytes}`, "Pass cells of equal length");
}

/** Outputs lie apart from inputs and from one another: what is written must not be what is still to be read. */
export function checkApart(action: Action, inputs: readonly Uint8Array[], outputs: readonly Uint8Array[]): void {
  for (let index = 0; index < outputs.length; index += 1) {
    const output = outputs[index]!;
    for (const input of inputs) {
      if (overlap(output, input)) refuse(action, `output ${index}`, "it overlaps an input", "Pass separate memory");
    }
    for (let other = 0; other < index; other += 1) {
      if (overlap(output, outputs[other]!)) {
        refuse(action, `output ${index}`, `it overlaps output ${other}`, "Pass separate memory");
      }
    }
  }
}

function overlap(left: Uint8Array, right: Uint8Array): boolean {
  return (
    left.buffer === right.buffer &&
    left.byteOffset < right.byteOffset + right.length &&
    right.byteOffset < left.byteOffset + left.length
  );
}

/** Enough survivors to start from, every index below `dataCells + parityCells`, none twice. */
export function checkIndices(
  dataCells: number,
  parityCells: number,
  survivors: readonly number[],
  lost: readonly number[],
): void {
  if (survivors.length < dataCells) {
    refuse("reconstruct", "cells", `${survivors.length} survive`, `At least ${dataCells} are needed`);
  }
  const cells = dataCells + parityCells;
  const seen = new Uint8Array(cells);
  for (const indices of [survivors, lost]) {
    for (const index of indices) {
      if (!Number.isInteger(index) || index < 0 || index >= cells) {
        refuse("reconstruct", `cell ${index}`, "there is no such cell", `Indices go from 0 to ${cells - 1}`);
      }
      if (seen[index] === 1) refuse("reconstruct", `cell ${index}`, "its index comes twice", "Name each cell once");
      seen[index] = 1;
    }
  }
}
