/**
 * Bulk bytes on the block device: written once to fresh blocks, checksummed by 4 KiB chunk, verified at every read.
 *
 * Small reads that repeat, and what was destaged, are served from a block cache, verified like those from the device.
 *
 * Blocks that were freed are given out again only when every read that was running at that moment has ended, so a read
 * never sees another extent's bytes in its place; large runs are first discarded on the device.
 */
import { assert } from "../base/assert.ts";
import { crc32 } from "../base/checksum.ts";
import { checksumOfChunks, checksumOfPart, joinChecksums } from "../base/checksum-join.ts";
import { damagedBeforeStore } from "../base/damage.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { BLOCK_BYTES, KIB, MIB } from "../base/limits.ts";
import type { BlockDevice } from "../contracts/block-device.ts";
import { BlockCache } from "./block-cache.ts";
import type { ExtentRef, VerifiedView } from "./cell.ts";
import type { ExtentAllocator } from "./extent-allocator.ts";

/** Freed runs of this size and more are discarded on the device. */
const DISCARD_BYTES = 1 * MIB;
/** Reads up to this size are cached; larger ones would wash the cache out. */
const MAX_CACHED_READ_BYTES = 64 * KIB;

/** Blocks that reads found damaged, and that nobody has looked at yet; of more than these a scrub finds out. */
const MAX_SUSPECTS = 4096;

/** Reads that began between two frees, and the blocks freed after them. */
interface ReadGeneration {
  running: number;
  freed: { first: number; count: number }[];
}

export class Extents {
  readonly #device: BlockDevice;
  readonly #allocator: ExtentAllocator;
  readonly #cache: BlockCache;
  /** Oldest first; the last one is the current one and has nothing freed yet. */
  readonly #generations: ReadGeneration[] = [{ running: 0, freed: [] }];
  #running = 0;
  #idleWaiters: (() => void)[] = [];

  #full = (): void => {};
  readonly #suspects = new Set<number>();

  constructor(device: BlockDevice, allocator: ExtentAllocator, cache = new BlockCache()) {
    this.#device = device;
    this.#allocator = allocator;
    this.#cache = cache;
  }

  get totalBytes(): number {
    return this.#allocator.blockCount * BLOCK_BYTES;
  }

  get usedBytes(): number {
    return (this.#allocator.blockCount - this.#allocator.freeBlocks) * BLOCK_BYTES;
  }

  /** See CellStore.writeExtent. */
  async write(buffer: Uint8Array, checksum?: number): Promise<ExtentRef> {
    assert(buffer.length > 0, "an extent is not empty");
    const paddedBytes = Math.ceil(buffer.length / BLOCK_BYTES) * BLOCK_BYTES;
    const direct = paddedView(buffer, paddedBytes);
    const source = direct ?? this.#device.allocate(paddedBytes);
    try {
      if (direct === undefined) source.set(buffer);
      // Of the bytes as they are handed to the device.
      const checksums = chunkChecksums(direct === undefined ? source.subarray(0, buffer.length) : buffer);
      const isWhole = checksum === undefined || checksumOfChunks(checksums, 0, buffer.length) === checksum;
      if (!isWhole) throw damagedBeforeStore("on its way to the device");
      const offset = await this.#writeFresh(source);
      return { offset, length: buffer.length, checksums };
    } finally {
      if (direct === undefined) this.#device.release(source);
    }
  }

  /**
   * Writes whole blocks to fresh ones in a row and returns their device offset: for extents that the caller makes of them,
   * with checksums of his own. They are cached, and durable when it resolves. Rejects with NO_SPACE or IO.
   */
  async writeRun(blocks: Uint8Array): Promise<number> {
    assert(blocks.length > 0 && blocks.length % BLOCK_BYTES === 0, "a run has whole blocks");
    const offset = await this.#writeFresh(blocks);
    this.#cache.put(offset / BLOCK_BYTES, blocks);
    return offset;
  }

  /** Hears of each time that there is no room. */
  onFull(listener: () => void): void {
    this.#full = listener;
  }

  #allocate(count: number): number {
    try {
      return this.#allocator.allocate(count);
    } catch (error) {
      this.#full();
      throw error;
    }
  }

  /** Writes whole blocks to newly allocated ones; returns their device offset. */
  async #writeFresh(blocks: Uint8Array): Promise<number> {
    const count = blocks.length / BLOCK_BYTES;
    const first = this.#allocate(count);
    this.#cache.forget(first, count);
    for (let block = first; this.#suspects.size > 0 && block < first + count; block += 1) this.#suspects.delete(block);
    this.#running += 1;
    try {
      await this.#device.write(first * BLOCK_BYTES, blocks, { durable: true });
    } catch (error) {
      this.#allocator.free(first, count);
      throw error;
    } finally {
      this.#ended();
    }
    return first * BLOCK_BYTES;
  }

  /** See CellStore.readExtent. */
  read(extent: ExtentRef, offset: number, length: number, into: Uint8Array): number | Promise<number> {
    assert(offset >= 0 && offset + length <= extent.length && into.length >= length, "the read is inside the extent");
    if (length === 0) return 0;
    return this.#readCached(extent, offset, length, into) ?? this.#readDevice(extent, offset, length, into);
  }

  /** See CellStore.viewExtent. */
  view(extent: ExtentRef, offset: number, length: number): VerifiedView | undefined {
    assert(length > 0 && offset >= 0 && offset + length <= extent.length, "the view is inside the extent");
    const chunk = Math.floor(offset / BLOCK_BYTES);
    const start = offset - chunk * BLOCK_BYTES;
    if (start + length > BLOCK_BYTES) return undefined;
    const block = this.#cache.get(extent.offset / BLOCK_BYTES + chunk);
    if (block === undefined) return undefined;
    const checksum = checksumOfRange(extent, chunk, block, start, start + length);
    return checksum === undefined ? undefined : { bytes: block.subarray(start, start + length), checksum };
  }

  /** The checksum, when all blocks of the range are cached, and are what was written. */
  #readCached(extent: ExtentRef, offset: number, length: number, into: Uint8Array): number | undefined {
    const end = offset + length;
    const firstChunk = Math.floor(offset / BLOCK_BYTES);
    for (let chunk = firstChunk; chunk * BLOCK_BYTES < end; chunk += 1) {
      if (!this.#cache.has(extent.offset / BLOCK_BYTES + chunk)) return undefined;
    }
    let joined = 0;
    for (let chunk = firstChunk; chunk * BLOCK_BYTES < end; chunk += 1) {
      const chunkStart = chunk * BLOCK_BYTES;
      const block = this.#cache.get(extent.offset / BLOCK_BYTES + chunk)!;
      const from = Math.max(offset - chunkStart, 0);
      const to = Math.min(end - chunkStart, BLOCK_BYTES);
      const checksum = checksumOfRange(extent, chunk, block, from, to);
      if (checksum === undefined) return undefined;
      into.set(block.subarray(from, to), chunkStart + from - offset);
      joined = joinChecksums(joined, checksum, to - from);
    }
    return joined;
  }

  /** One function with one wait, for the cost of a small read is that of its promises. */
  async #readDevice(extent: ExtentRef, offset: number, length: number, into: Uint8Array): Promise<number> {
    const first = Math.floor(offset / BLOCK_BYTES);
    const start = offset - first * BLOCK_BYTES;
    const bytes = Math.ceil((offset + length) / BLOCK_BYTES) * BLOCK_BYTES - first * BLOCK_BYTES;
    const whole = bytes === length && into.byteOffset % BLOCK_BYTES === 0;
    const target = !whole
      ? this.#device.allocate(bytes, "anything")
      : into.length === length
        ? into
        : into.subarray(0, length);
    const place = extent.offset + first * BLOCK_BYTES;
    const letGo = this.hold();
    try {
      await this.#device.read(place, target);
      let checksum = checksumOfRange(extent, first, target, start, start + length);
      checksum ??= await this.#readAgain(extent, first, target, start, start + length);
      if (length <= MAX_CACHED_READ_BYTES) this.#cache.put(place / BLOCK_BYTES, target);
      if (!whole) into.set(target.subarray(start, start + length));
      return checksum;
    } catch (error) {
      if (hasCode(error, "IO")) this.#suspect(extent, first, bytes / BLOCK_BYTES);
      throw error;
    } finally {
      if (!whole) this.#device.release(target);
      letGo();
    }
  }

  /** Until the result is called nothing that is freed from now on is given out again. */
  hold(): () => void {
    const generation = this.#generations.at(-1)!;
    generation.running += 1;
    this.#running += 1;
    return () => {
      generation.running -= 1;
      this.#releaseFreed();
      this.#ended();
    };
  }

  /** What was read failed its checksum: once more, then CORRUPT. */
  async #readAgain(extent: ExtentRef, first: number, target: Uint8Array, start: number, end: number): Promise<number> {
    const place = extent.offset + first * BLOCK_BYTES;
    await this.#device.read(place, target);
    const checksum = checksumOfRange(extent, first, target, start, end);
    if (checksum !== undefined) return checksum;
    for (let at = 0; at < target.length; at += BLOCK_BYTES) {
      const chunk = first + at / BLOCK_BYTES;
      const block = target.subarray(at, at + BLOCK_BYTES);
      if (checksumOfRange(extent, chunk, block, 0, BLOCK_BYTES) !== undefined) continue;
      this.#device.reportDamage?.(place + at);
      this.#suspect(extent, chunk, 1);
    }
    throw damaged(extent);
  }

  #suspect({ offset }: ExtentRef, first: number, count: number): void {
    for (let chunk = first; chunk < first + count && this.#suspects.size < MAX_SUSPECTS; chunk += 1) {
      this.#suspects.add(offset / BLOCK_BYTES + chunk);
    }
  }

  /** Chunks of the extent that reads found damaged. */
  suspects({ offset, checksums }: ExtentRef): number[] {
    if (this.#suspects.size === 0) return [];
    const first = offset / BLOCK_BYTES;
    const found: number[] = [];
    for (let chunk = 0; chunk < checksums.length; chunk += 1) if (this.#suspects.has(first + chunk)) found.push(chunk);
    return found;
  }

  /** A chunk is as it was written. */
  forgive({ offset }: ExtentRef, chunk: number): void {
    this.#suspects.delete(offset / BLOCK_BYTES + chunk);
  }

  /** See CellStore.sliceExtent. */
  slice(extent: ExtentRef, offset: number, length: number): ExtentRef {
    assert(offset % BLOCK_BYTES === 0, "a slice begins at a block");
    assert(length % BLOCK_BYTES === 0 || offset + length === extent.length, "a slice ends at a block or the end");
    assert(length > 0 && offset + length <= extent.length, "a slice is inside its extent");
    const first = offset / BLOCK_BYTES;
    const checksums = extent.checksums.slice(first, first + Math.ceil(length / BLOCK_BYTES));
    return { offset: extent.offset + offset, length, checksums };
  }

  /** Frees the blocks of an extent that nothing referred to. */
  abandon(extent: Pick<ExtentRef, "offset" | "length">): void {
    this.#allocator.free(extent.offset / BLOCK_BYTES, Math.ceil(extent.length / BLOCK_BYTES));
  }

  /** Takes blocks that nothing refers to any more: offset, length, offset, length, ... */
  freed(ranges: Float64Array): void {
    if (ranges.length === 0) return;
    const generation = this.#generations.at(-1)!;
    for (let index = 0; index < ranges.length; index += 2) {
      const first = ranges[index]! / BLOCK_BYTES;
      generation.freed.push({ first, count: Math.ceil(ranges[index + 1]! / BLOCK_BYTES) });
    }
    this.#generations.push({ running: 0, freed: [] });
    this.#releaseFreed();
  }

  #releaseFreed(): void {
    while (this.#generations.length > 1 && this.#generations[0]!.running === 0) {
      for (const run of this.#generations.shift()!.freed) this.#release(run.first, run.count);
    }
  }

  #release(first: number, count: number): void {
    if (count * BLOCK_BYTES < DISCARD_BYTES) {
      this.#allocator.free(first, count);
      return;
    }
    this.#running += 1;
    const done = (): void => {
      this.#allocator.free(first, count);
      this.#ended();
    };
    // Advisory: the device counts failures in its health.
    this.#device.discard(first * BLOCK_BYTES, count * BLOCK_BYTES).then(done, done);
  }

  #ended(): void {
    this.#running -= 1;
    if (this.#running > 0 || this.#idleWaiters.length === 0) return;
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const resolve of waiters) resolve();
  }

  /** Resolves when nothing is in flight on the device. */
  async idle(): Promise<void> {
    while (this.#running > 0) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }
}

/** The checksum of each chunk of an extent with these bytes. */
export function chunkChecksums(bytes: Uint8Array): Uint32Array {
  const checksums = new Uint32Array(Math.ceil(bytes.length / BLOCK_BYTES));
  for (let index = 0; index < checksums.length; index += 1) {
    checksums[index] = crc32(bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES));
  }
  return checksums;
}

/** The buffer extended to whole blocks, where its memory is aligned and goes on that far. */
function paddedView(buffer: Uint8Array, paddedBytes: number): Uint8Array | undefined {
  if (buffer.byteOffset % BLOCK_BYTES !== 0) return undefined;
  if (buffer.length === paddedBytes) return buffer;
  if (buffer.byteOffset + paddedBytes > buffer.buffer.byteLength) return undefined;
  return new Uint8Array(buffer.buffer, buffer.byteOffset, paddedBytes);
}

/**
 * CRC-32 of bytes [start, end) of `blocks`, the blocks of `extent` from `first` on as they were read; undefined when one of
 * the blocks is not what was written. It follows from the stored checksums: of a chunk that is asked for in part, its parts
 * are summed up, and must make that of the chunk together.
 */
function checksumOfRange(
  extent: ExtentRef,
  first: number,
  blocks: Uint8Array,
  start: number,
  end: number,
): number | undefined {
  let joined = 0;
  for (let at = 0, chunk = first; at < blocks.length; at += BLOCK_BYTES, chunk += 1) {
    const bytes = Math.min(BLOCK_BYTES, extent.length - chunk * BLOCK_BYTES);
    const block = bytes === blocks.length ? blocks : blocks.subarray(at, at + bytes);
    const stored = extent.checksums[chunk]!;
    const from = Math.max(start - at, 0);
    const to = Math.min(end - at, bytes);
    if (from === 0 && to === bytes) {
      if (crc32(block) !== stored) return undefined;
      joined = at === 0 ? stored : joinChecksums(joined, stored, bytes);
      continue;
    }
    const part = checksumOfPart(block, stored, from, Math.max(from, to));
    if (part === undefined) return undefined;
    joined = joinChecksums(joined, part, Math.max(to - from, 0));
  }
  return joined;
}

function damaged(extent: ExtentRef): DaosError {
  return new DaosError(
    "CORRUPT",
    `Cannot read extent at "${extent.offset}": its bytes fail their checksum twice. ` +
      "Restore the target from its redundancy or a backup.",
  );
}
