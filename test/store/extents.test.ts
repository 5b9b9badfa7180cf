import { expect, test } from "bun:test";
import { crc32 } from "../../src/base/checksum.ts";
import { bytesEqual } from "../../src/base/bytes.ts";
import { BLOCK_BYTES, KIB, MIB } from "../../src/base/limits.ts";
import { BlockCache } from "../../src/store/block-cache.ts";
import { ExtentAllocator } from "../../src/store/extent-allocator.ts";
import { chunkChecksums, Extents } from "../../src/store/extents.ts";
import { CrashMachine } from "./crash-machine.ts";
import { expectRejection } from "./expect-code.ts";

function makeExtents(deviceBytes = 1 * MIB): {
  machine: CrashMachine;
  device: ReturnType<CrashMachine["openDevice"]>;
  allocator: ExtentAllocator;
  extents: Extents;
} {
  const machine = new CrashMachine({ seed: 5, deviceBytes });
  const device = machine.openDevice();
  const allocator = new ExtentAllocator(deviceBytes / BLOCK_BYTES);
  // Too small for any read here: all of them reach the device. test/store/block-cache.test.ts has the rest.
  return { machine, device, allocator, extents: new Extents(device, allocator, new BlockCache(BLOCK_BYTES)) };
}

function pattern(length: number): Uint8Array {
  return new Uint8Array(length).map((_, index) => (index * 31) >>> 3);
}

test("any part of an extent reads back, from aligned and unaligned memory", async () => {
  const { extents, device } = makeExtents();
  const bytes = pattern(3 * BLOCK_BYTES + 100);
  const extent = await extents.write(bytes.slice());
  for (const [offset, length] of [
    [0, bytes.length],
    [0, BLOCK_BYTES],
    [5, 10],
    [BLOCK_BYTES - 1, 2],
    [bytes.length - 1, 1],
    [7, 0],
  ]) {
    const into = new Uint8Array(length!);
    await extents.read(extent, offset!, length!, into);
    expect(into).toEqual(bytes.slice(offset, offset! + length!));
  }
  expect(device.lent).toBe(0);
});

test("writes leave memory after the buffer alone, and use it only within its own bounds", async () => {
  const { extents, machine } = makeExtents();
  const memory = new Uint8Array(2 * BLOCK_BYTES).fill(7);
  const extent = await extents.write(memory.subarray(0, 100));
  expect(memory.every((byte) => byte === 7)).toBe(true);
  expect(machine.deviceMedium.subarray(extent.offset, extent.offset + 100).every((byte) => byte === 7)).toBe(true);
  const into = new Uint8Array(BLOCK_BYTES);
  await extents.read(extent, 0, 100, into);
  expect(into.subarray(100).every((byte) => byte === 0)).toBe(true);
});

test("a read whose checksum fails is tried once more, then CORRUPT", async () => {
  const { extents, device, machine } = makeExtents();
  const bytes = pattern(5000);
  const extent = await extents.write(bytes.slice());
  const into = new Uint8Array(5000);
  device.damagedReads = 1;
  await extents.read(extent, 0, 5000, into);
  expect(bytesEqual(into, bytes)).toBe(true);
  machine.deviceMedium[extent.offset + 4999]! ^= 1;
  await expectRejection("CORRUPT", Promise.resolve(extents.read(extent, 0, 5000, into)));
  await extents.read(extent, 0, 4000, into);
  machine.deviceMedium[extent.offset + 4999]! ^= 1;
  machine.deviceMedium[extent.offset + 5500]! ^= 1;
  await extents.read(extent, 0, 5000, into);
  expect(device.lent).toBe(0);
});

test("freed blocks are given out again only after the reads that were running", async () => {
  const { extents, allocator } = makeExtents(16 * KIB);
  const bytes = pattern(16 * KIB);
  const extent = await extents.write(bytes.slice());
  const into = new Uint8Array(16 * KIB);
  const reading = extents.read(extent, 0, 16 * KIB, into);
  extents.freed(Float64Array.from([extent.offset, extent.length]));
  await expectRejection("NO_SPACE", extents.write(new Uint8Array(1)));
  await reading;
  expect(bytesEqual(into, bytes)).toBe(true);
  expect(allocator.freeBlocks).toBe(4);
});

test("a read that starts later does not hold up blocks that were freed before", async () => {
  const { extents, allocator } = makeExtents(64 * KIB);
  const first = await extents.write(pattern(16 * KIB));
  const second = await extents.write(pattern(16 * KIB));
  extents.freed(Float64Array.from([first.offset, first.length]));
  const reading = extents.read(second, 0, 10, new Uint8Array(10));
  expect(allocator.freeBlocks).toBe(12);
  await reading;
});

test("large freed runs are discarded before they are given out again", async () => {
  const { extents, allocator, machine } = makeExtents(2 * MIB);
  const extent = await extents.write(new Uint8Array(1 * MIB).fill(1));
  extents.freed(Float64Array.from([extent.offset, extent.length]));
  expect(allocator.freeBlocks).toBe(256);
  await extents.idle();
  expect(allocator.freeBlocks).toBe(512);
  expect(machine.deviceMedium[extent.offset]).toBe(0xdd);
});

test("a failed write gives its blocks back", async () => {
  const { extents, allocator, device } = makeExtents();
  device.write = () => Promise.reject(new Error("bad block"));
  await expect(extents.write(new Uint8Array(5000))).rejects.toThrow("bad block");
  expect(allocator.freeBlocks).toBe(256);
  expect(device.lent).toBe(0);
});

test("writeRun lays whole blocks side by side, cached for reads without a promise, whole or in a view", async () => {
  const machine = new CrashMachine({ seed: 5, deviceBytes: MIB });
  const device = machine.openDevice();
  const extents = new Extents(device, new ExtentAllocator(MIB / BLOCK_BYTES));
  const blocks = pattern(40 * BLOCK_BYTES);
  const offset = await extents.writeRun(blocks.slice());
  const bytes = blocks.subarray(BLOCK_BYTES, 39 * BLOCK_BYTES + 100);
  const extent = { offset: offset + BLOCK_BYTES, length: bytes.length, checksums: chunkChecksums(bytes) };
  const into = new Uint8Array(bytes.length);
  expect(extents.read(extent, 0, bytes.length, into)).toBe(crc32(bytes));
  expect(bytesEqual(into, bytes)).toBe(true);
  const part = bytes.subarray(BLOCK_BYTES + 5, BLOCK_BYTES + 95);
  const view = extents.view(extent, BLOCK_BYTES + 5, 90)!;
  expect(bytesEqual(view.bytes, part)).toBe(true);
  expect(view.checksum).toBe(crc32(part));
  expect(extents.view(extent, BLOCK_BYTES - 5, 10)).toBeUndefined();
  const stale = { ...extent, checksums: extent.checksums.map((checksum) => checksum ^ 1) };
  expect(extents.view(stale, 0, 10)).toBeUndefined();
  extents.abandon(extent);
  await extents.writeRun(pattern(220 * BLOCK_BYTES));
  expect(device.lent).toBe(0);
});

test("a read gives the checksum of any range, as follows from what is stored", async () => {
  const { extents } = makeExtents();
  const bytes = pattern(3 * BLOCK_BYTES + 77);
  const extent = await extents.write(bytes.slice());
  const places = [
    0,
    1,
    BLOCK_BYTES - 1,
    BLOCK_BYTES,
    BLOCK_BYTES + 1,
    2 * BLOCK_BYTES,
    3 * BLOCK_BYTES + 76,
    bytes.length,
  ];
  for (const from of places) {
    for (const to of places) {
      if (to <= from) continue;
      // First from the device, then from the cache.
      for (let round = 0; round < 2; round += 1) {
        const into = new Uint8Array(to - from);
        expect(await extents.read(extent, from, to - from, into)).toBe(crc32(bytes.subarray(from, to)));
        expect(bytesEqual(into, bytes.subarray(from, to))).toBe(true);
      }
    }
  }
});

test("bytes that changed since their checksum was made are DAMAGED, and take no room", async () => {
  const { extents, allocator } = makeExtents();
  const bytes = pattern(3 * BLOCK_BYTES + 77);
  const free = allocator.freeBlocks;
  const checksum = crc32(bytes);
  const damaged = bytes.slice();
  damaged[BLOCK_BYTES + 9]! ^= 4;
  await expectRejection("DAMAGED", extents.write(damaged, checksum));
  expect(allocator.freeBlocks).toBe(free);
  const extent = await extents.write(bytes.slice(), checksum);
  expect(await extents.read(extent, 0, bytes.length, new Uint8Array(bytes.length))).toBe(checksum);
});
