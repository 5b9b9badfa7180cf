/**
 * What a shard of an erasure-coded object stores as a single value: this header, then the whole value or one cell of it.
 * Little-endian. The store's checksums cover it.
 *
 *      0  u16 magic "EV"     2  u8 version    3  u8 form: 1 whole, 2 cell    4  u32 length of the whole value
 *
 * A value in cells is cut into as many equal cells as there are data shards, the last padded with zeros.
 */
import { assert } from "../base/assert.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_SINGLE_VALUE_BYTES } from "../base/limits.ts";

export const ERASURE_VALUE_HEADER_BYTES = 8;
const MAGIC = 0x5645;
const VERSION = 1;
const FORMS = { 1: "whole", 2: "cell" } as const;

export type ErasureValueForm = (typeof FORMS)[keyof typeof FORMS];

export interface ErasureValueHeader {
  readonly form: ErasureValueForm;
  /** Of the whole value. */
  readonly length: number;
}

/** Bytes of each cell of a value of `length` bytes. */
export function erasureValueCellBytes(length: number, dataShards: number): number {
  return Math.ceil(length / dataShards);
}

export function encodeErasureValueHeader(header: ErasureValueHeader): Uint8Array {
  assert(header.length <= MAX_SINGLE_VALUE_BYTES, "a single value is within its limit");
  const bytes = new Uint8Array(ERASURE_VALUE_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, MAGIC, true);
  view.setUint8(2, VERSION);
  view.setUint8(3, header.form === "whole" ? 1 : 2);
  view.setUint32(4, header.length, true);
  return bytes;
}

/** The header of what a shard stored, and its body. Throws CORRUPT (no such value, or sizes that cannot be) or VERSION. */
export function decodeErasureValue(
  bytes: Uint8Array,
  dataShards: number,
): ErasureValueHeader & { readonly body: Uint8Array } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < ERASURE_VALUE_HEADER_BYTES || view.getUint16(0, true) !== MAGIC) throw corrupt("it is none");
  const version = view.getUint8(2);
  if (version !== VERSION) {
    const state = `version ${version}, this program knows ${VERSION}`;
    throw new DaosError("VERSION", `Cannot read an erasure-coded value: ${state}. Use a newer program.`);
  }
  const form = (FORMS as Readonly<Record<number, ErasureValueForm>>)[view.getUint8(3)];
  if (form === undefined) throw corrupt("its form is unknown");
  const length = view.getUint32(4, true);
  const body = bytes.subarray(ERASURE_VALUE_HEADER_BYTES);
  const expected = form === "whole" ? length : erasureValueCellBytes(length, dataShards);
  if (length > MAX_SINGLE_VALUE_BYTES || body.length !== expected) throw corrupt("its sizes cannot be");
  return { form, length, body };
}

function corrupt(state: string): DaosError {
  return new DaosError("CORRUPT", `Cannot read an erasure-coded value: ${state}. Something else wrote this akey.`);
}
