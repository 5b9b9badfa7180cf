/**
 * BlockCache and what Extents makes of it: repeated small reads stay off the device, memory is bounded, a scan does not
 * push out what is hot, and no block is ever taken for another extent's.
 */
import { expect, test } from "bun:test";
import { BLOCK_BYTES, KIB, MIB } from "../../src/base/limits.ts";
import type { BlockDevice } from "../../src/contracts/block-device.ts";
import { BlockCache } from "../../src/store/block-cache.ts";
import { ExtentAllocator } from "../../src/store/extent-allocator.ts";
import { Extents } from "../../src/store/extents.ts";
import { CrashMachine } from "./crash-machine.ts";

function blockOf(byte: number): Uint8Array {
  return new Uint8Array(BLOCK_BYTES).fill(byte);
}

test("what was put is found until it is forgotten", () => {
  const cache = new BlockCache(8 * BLOCK_BYTES);
  cache.put(5, Buffer.concat([blockOf(1), blockOf(2)]));
  expect([cache.get(5)?.[0], cache.get(6)?.[4095], cache.get(7)]).toEqual([1, 2, undefined]);
  cache.put(5, blockOf(3));
  expect(cache.get(5)?.[0]).toBe(3);
  cache.forget(4, 2);
  expect([cache.get(5), cache.get(6)?.[0]]).toEqual([undefined, 2]);
  expect(cache.cachedBytes).toBe(BLOCK_BYTES);
});

test("it is bounded, and a scan does not push out what is read again and again", () => {
  const cache = new BlockCache(16 * BLOCK_BYTES);
  cache.put(1000, blockOf(9));
  for (let block = 0; block < 500; block += 1) {
    cache.put(block, blockOf(block & 0xff));
    expect(cache.get(1000)?.[0]).toBe(9);
  }
  expect(cache.cachedBytes).toBe(16 * BLOCK_BYTES);
  for (let block = 0; block < 500; block += 1) expect(cache.get(block)?.[0] ?? block & 0xff).toBe(block & 0xff);
});

/** Extents on a device that counts its reads. */
function makeExtents(cache?: BlockCache): { extents: Extents; reads: () => number } {
  const device = new CrashMachine({ seed: 5, deviceBytes: 1 * MIB }).openDevice();
  let reads = 0;
  const counting = new Proxy(device as BlockDevice, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      return (...values: unknown[]): unknown => {
        if (name === "read") reads += 1;
        return Reflect.apply(member, target, values);
      };
    },
  });
  return { extents: new Extents(counting, new ExtentAllocator(MIB / BLOCK_BYTES), cache), reads: () => reads };
}

test("a small read that repeats does not reach the device, whatever its place in the extent", async () => {
  const { extents, reads } = makeExtents();
  const bytes = new Uint8Array(3 * BLOCK_BYTES + 100).map((_, index) => (index * 31) >>> 3);
  const extent = await extents.write(bytes.slice());
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    const into = new Uint8Array(length);
    await extents.read(extent, offset, length, into);
    return into;
  };
  await read(0, bytes.length);
  expect(reads()).toBe(1);
  for (const [offset, length] of [
    [0, bytes.length],
    [BLOCK_BYTES - 3, 6],
    [2 * BLOCK_BYTES, BLOCK_BYTES],
    [bytes.length - 1, 1],
  ] as const) {
    expect(await read(offset, length)).toEqual(bytes.slice(offset, offset + length));
  }
  expect(reads()).toBe(1);
});

test("large reads pass the cache by", async () => {
  const { extents, reads } = makeExtents();
  const extent = await extents.write(new Uint8Array(128 * KIB).fill(3));
  const into = new Uint8Array(128 * KIB);
  await extents.read(extent, 0, into.length, into);
  await extents.read(extent, 0, into.length, into);
  expect(reads()).toBe(2);
});

test("blocks that were freed and written anew are read as what they are now", async () => {
  const { extents, reads } = makeExtents();
  const first = await extents.write(new Uint8Array(MIB / 2).fill(1));
  const into = new Uint8Array(BLOCK_BYTES);
  for (let offset = 0; offset < MIB / 2; offset += BLOCK_BYTES) await extents.read(first, offset, BLOCK_BYTES, into);
  extents.abandon(first);
  const second = await extents.write(new Uint8Array(MIB).fill(2));
  const before = reads();
  for (let offset = 0; offset < MIB; offset += BLOCK_BYTES) {
    await extents.read(second, offset, BLOCK_BYTES, into);
    expect(into.every((byte) => byte === 2)).toBe(true);
  }
  expect(reads() - before).toBe(MIB / BLOCK_BYTES);
});

test("a cached block that is not what the extent says is not taken", async () => {
  const cache = new BlockCache();
  const { extents, reads } = makeExtents(cache);
  const extent = await extents.write(new Uint8Array(BLOCK_BYTES).fill(4));
  cache.put(extent.offset / BLOCK_BYTES, blockOf(5));
  const into = new Uint8Array(BLOCK_BYTES);
  await extents.read(extent, 0, BLOCK_BYTES, into);
  expect([into[0], reads()]).toEqual([4, 1]);
});
