/**
 * An erasure code as multiplication tables, made once and applied to many cells: what both twins have in common. Checks
 * arguments, keeps the tables of the encoding, and those of recent reconstructions within a bound. How tables are made
 * and applied is left to an Arithmetic.
 */
import { DaosError } from "../../src/base/errors.ts";
import { checkApart, checkCells, checkCodeShape, checkEqualLength, checkIndices } from "./cell-check.ts";
import type { ErasureCode } from "./codec.ts";

/** Arithmetic over GF(2^8) on whole cells. Arguments were checked before. */
export interface Arithmetic<Tables extends { readonly byteLength: number }> {
  /** Tables that make every parity cell out of every data cell. */
  encodeTables(dataCells: number, parityCells: number): Tables;
  /** Tables that make the lost cells out of `dataCells` survivors; undefined if those do not determine them. */
  decodeTables(dataCells: number, parityCells: number, survivors: Uint8Array, lost: Uint8Array): Tables | undefined;
  /** Fills the outputs; all cells have the same length. */
  apply(tables: Tables, inputs: readonly Uint8Array[], outputs: readonly Uint8Array[]): void;
}

/** Tables of past reconstructions that one code keeps. A group that lost a cell asks for the same again and again. */
const MAX_KEPT_TABLE_BYTES = 1024 * 1024;

export class TableCode<Tables extends { readonly byteLength: number }> implements ErasureCode {
  readonly dataCells: number;
  readonly parityCells: number;
  readonly #arithmetic: Arithmetic<Tables>;
  readonly #encodeTables: Tables;
  /** By survivors and lost cells; oldest first. */
  readonly #decodeTables = new Map<string, Tables>();
  #keptBytes = 0;

  constructor(dataCells: number, parityCells: number, arithmetic: Arithmetic<Tables>) {
    checkCodeShape(dataCells, parityCells);
    this.dataCells = dataCells;
    this.parityCells = parityCells;
    this.#arithmetic = arithmetic;
    this.#encodeTables = arithmetic.encodeTables(dataCells, parityCells);
  }

  encode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): void {
    const dataBytes = checkCells("encode", "data", data, this.dataCells);
    checkEqualLength("encode", dataBytes, checkCells("encode", "parity", parity, this.parityCells));
    checkApart("encode", data, parity);
    if (dataBytes > 0) this.#arithmetic.apply(this.#encodeTables, data, parity);
  }

  reconstruct(
    survivors: readonly number[],
    cells: readonly Uint8Array[],
    lost: readonly number[],
    outputs: readonly Uint8Array[],
  ): void {
    checkIndices(this.dataCells, this.parityCells, survivors, lost);
    const cellBytes = checkCells("reconstruct", "survivors", cells, survivors.length);
    const outputBytes = checkCells("reconstruct", "lost cells", outputs, lost.length);
    if (lost.length === 0) return;
    checkEqualLength("reconstruct", cellBytes, outputBytes);
    checkApart("reconstruct", cells, outputs);
    if (cellBytes === 0) return;
    const tables = this.#tablesFor(survivors.slice(0, this.dataCells), lost);
    this.#arithmetic.apply(tables, cells.slice(0, this.dataCells), outputs);
  }

  #tablesFor(survivors: readonly number[], lost: readonly number[]): Tables {
    const key = `${survivors.join()} ${lost.join()}`;
    const kept = this.#decodeTables.get(key);
    if (kept !== undefined) return kept;
    const { dataCells, parityCells } = this;
    const made = this.#arithmetic.decodeTables(
      dataCells,
      parityCells,
      Uint8Array.from(survivors),
      Uint8Array.from(lost),
    );
    if (made === undefined) {
      const state = `survivors ${survivors.join()} do not determine cells ${lost.join()}`;
      throw new DaosError("INVALID_ARGUMENT", `Cannot reconstruct "cells": ${state}. Pass other survivors.`);
    }
    this.#keep(key, made);
    return made;
  }

  #keep(key: string, tables: Tables): void {
    for (const [oldKey, old] of this.#decodeTables) {
      if (this.#keptBytes + tables.byteLength <= MAX_KEPT_TABLE_BYTES) break;
      this.#decodeTables.delete(oldKey);
      this.#keptBytes -= old.byteLength;
    }
    this.#decodeTables.set(key, tables);
    this.#keptBytes += tables.byteLength;
  }
}
