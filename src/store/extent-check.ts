/**
 * Checks extents on the device, past the cache, and writes blocks anew whose bytes are damaged. A block is written where it lies: no
 * row changes, and whoever reads sees damage or the bytes of before. Only bytes that match the checksum in the row are written,
 * so whoever brings them cannot be wrong.
 */
import { crc32 } from "../base/checksum.ts";
import { hasCode } from "../base/errors.ts";
import { BLOCK_BYTES, MIB } from "../base/limits.ts";
import type { BlockDevice } from "../contracts/block-device.ts";
import type { ExtentRef } from "./cell.ts";
import type { Extents } from "./extents.ts";

/** Read at a time. */
const READ_BYTES = 1 * MIB;

export class ExtentCheck {
  readonly #device: BlockDevice;
  readonly #extents: Extents;

  constructor(device: BlockDevice, extents: Extents) {
    this.#device = device;
    this.#extents = extents;
  }

  /**
   * Reads the chunks, all without, and gives those whose bytes cannot be read or fail their checksum twice. Called in the
   * same turn as the read that found the extent. Rejects with IO when the device takes no reads at all.
   */
  async damaged(extent: ExtentRef, chunks?: readonly number[]): Promise<number[]> {
    const count = extent.checksums.length;
    const wanted = chunks ?? Array.from({ length: count }, (_, chunk) => chunk);
    const letGo = this.#extents.hold();
    try {
      const damaged: number[] = [];
      for (let at = 0; at < wanted.length;) {
        let end = at + 1;
        const isNext = (): boolean =>
          wanted[end] === wanted[end - 1]! + 1 && (end - at + 1) * BLOCK_BYTES <= READ_BYTES;
        while (end < wanted.length && isNext()) end += 1;
        damaged.push(...(await this.#damagedRun(extent, wanted[at]!, end - at)));
        at = end;
      }
      return damaged;
    } finally {
      letGo();
    }
  }

  async #damagedRun(extent: ExtentRef, first: number, count: number): Promise<number[]> {
    const blocks = this.#device.allocate(count * BLOCK_BYTES, "anything");
    try {
      const isRead = await this.#read(extent, first, blocks);
      const suspects = isRead ? failing(extent, first, blocks) : Array.from({ length: count }, (_, at) => first + at);
      const damaged: number[] = [];
      for (const chunk of suspects) {
        const block = blocks.subarray(0, BLOCK_BYTES);
        if ((await this.#read(extent, chunk, block)) && failing(extent, chunk, block).length === 0) continue;
        damaged.push(chunk);
        this.#device.reportDamage?.(extent.offset + chunk * BLOCK_BYTES);
      }
      return damaged;
    } finally {
      this.#device.release(blocks);
    }
  }

  /** False: the medium cannot give them. */
  async #read(extent: ExtentRef, first: number, blocks: Uint8Array): Promise<boolean> {
    try {
      await this.#device.read(extent.offset + first * BLOCK_BYTES, blocks);
      return true;
    } catch (error) {
      if (!hasCode(error, "IO") || this.#device.health().state !== "normal") throw error;
      return false;
    }
  }

  /**
   * Writes a chunk anew; false when the bytes are not those that were stored, or do not stay. `isPresent` is asked right before:
   * whether the extent still belongs to whom it did. Rejects as the device's writes.
   */
  async mend(extent: ExtentRef, chunk: number, bytes: Uint8Array, isPresent: () => boolean): Promise<boolean> {
    const length = chunkBytes(extent, chunk);
    if (bytes.length !== length || crc32(bytes) !== extent.checksums[chunk]) return false;
    const block = this.#device.allocate(BLOCK_BYTES);
    try {
      block.set(bytes);
      if (!isPresent()) return false;
      const letGo = this.#extents.hold();
      try {
        await this.#device.write(extent.offset + chunk * BLOCK_BYTES, block, { durable: true });
        await this.#device.read(extent.offset + chunk * BLOCK_BYTES, block);
        if (failing(extent, chunk, block).length > 0) return false;
        this.#extents.forgive(extent, chunk);
        return true;
      } finally {
        letGo();
      }
    } finally {
      this.#device.release(block);
    }
  }
}

/** Bytes of a chunk that are stored: the last one may be shorter. */
export function chunkBytes(extent: ExtentRef, chunk: number): number {
  return Math.min(BLOCK_BYTES, extent.length - chunk * BLOCK_BYTES);
}

/** Of the chunks from `first` on, as they were read, those that are not what was stored. */
function failing(extent: ExtentRef, first: number, blocks: Uint8Array): number[] {
  const found: number[] = [];
  for (let chunk = first, start = 0; start < blocks.length; chunk += 1, start += BLOCK_BYTES) {
    const bytes = blocks.subarray(start, start + chunkBytes(extent, chunk));
    if (crc32(bytes) !== extent.checksums[chunk]) found.push(chunk);
  }
  return found;
}
