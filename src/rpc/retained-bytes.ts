/**
 * Memory for bytes that outlive the buffer they were received in: cut from slabs, for an allocation of its own costs more than
 * a small copy. A slab is freed when nothing of it is used any more; whoever keeps one small piece keeps its slab.
 */
import { KIB } from "../base/limits.ts";

const SLAB_BYTES = 64 * KIB;
/** What is larger has memory of its own. */
const MAX_PIECE_BYTES = 8 * KIB;

let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
let used = 0;

/** A copy. */
export function retainedBytes(bytes: Buffer, start: number, length: number): Buffer {
  if (length > MAX_PIECE_BYTES) {
    const own = Buffer.allocUnsafeSlow(length);
    bytes.copy(own, 0, start, start + length);
    return own;
  }
  if (used + length > SLAB_BYTES) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    used = 0;
  }
  const from = used;
  used += length;
  bytes.copy(slab, from, start, start + length);
  return slab.subarray(from, from + length);
}
