/**
 * Of the block-device suite: alignment of any kind, the largest and the most operations, and more memory than a device
 * keeps for reuse. Entry point of the suite: block-device.ts.
 */
import { expect, test } from "bun:test";
import { DEVICE_BYTES, type Providers, readBack, withDevice } from "./block-device-rig.ts";
import { expectBytes, isZero, pattern } from "./support.ts";

/** Far more than any plugin has in flight: the rest waits. */
const MANY_OPERATIONS = 3000;

export function limitTests(makeProvider: Providers): void {
  alignmentTests(makeProvider);
  sizeTests(makeProvider);
}

function alignmentTests(makeProvider: Providers): void {
  test("memory at any address serves: parts of what was allocated, ordinary, shared, at odd offsets", () =>
    withDevice(makeProvider, async (device) => {
      const length = 2 * device.blockBytes;
      const room = length + 4096;
      const own = device.allocate(room);
      const memories = [own, new Uint8Array(room), new Uint8Array(new SharedArrayBuffer(room))];
      for (const [index, memory] of memories.entries()) {
        for (const start of [0, 1, 4, 511, 512, 513, 4095]) {
          const bytes = pattern(length, 100 * index + start);
          const part = memory.subarray(start, start + length);
          part.set(bytes);
          await device.write(0, part, { durable: start % 2 === 0 });
          memory.fill(0xee);
          await device.read(0, part);
          expectBytes(part, bytes, `memory ${index}, start ${start}`);
          expect(memory.subarray(0, start).every((byte) => byte === 0xee)).toBe(true);
          expect(memory.subarray(start + length).every((byte) => byte === 0xee)).toBe(true);
        }
      }
      device.release(own);
    }));

  test("every block boundary of the device is a valid offset", () =>
    withDevice(makeProvider, async (device) => {
      const block = device.blockBytes;
      const offsets = [0, block, 7 * block, DEVICE_BYTES / 2 - block, DEVICE_BYTES / 2, DEVICE_BYTES - block];
      for (const [seed, offset] of offsets.entries())
        await device.write(offset, pattern(block, seed), { durable: true });
      for (const [seed, offset] of offsets.entries()) {
        expectBytes(await readBack(device, offset, block), pattern(block, seed), `offset ${offset}`);
      }
    }));
}

function sizeTests(makeProvider: Providers): void {
  test("the whole device in one operation, from unaligned memory too", () =>
    withDevice(makeProvider, async (device) => {
      const bytes = pattern(DEVICE_BYTES, 30);
      await device.write(0, bytes, { durable: true });
      expectBytes(await readBack(device, 0, DEVICE_BYTES), bytes);
      const odd = new Uint8Array(DEVICE_BYTES + 8).subarray(3, 3 + DEVICE_BYTES);
      await device.read(0, odd);
      expectBytes(odd, bytes);
      await device.discard(0, DEVICE_BYTES);
      await device.write(0, odd, { durable: false });
      expectBytes(await readBack(device, 0, DEVICE_BYTES), bytes);
    }));

  test(`${MANY_OPERATIONS} operations at once all settle, each with its own bytes`, () =>
    withDevice(makeProvider, async (device) => {
      const block = device.blockBytes;
      const blocks = 256;
      const bytes = pattern(blocks * block, 31);
      await device.write(0, bytes, { durable: false });
      const buffers = Array.from({ length: MANY_OPERATIONS }, () => device.allocate(block));
      const reads = buffers.map((buffer, index) => device.read((index % blocks) * block, buffer));
      await Promise.all(reads);
      for (const [index, buffer] of buffers.entries()) {
        const start = (index % blocks) * block;
        expectBytes(buffer, bytes.subarray(start, start + block), `read ${index}`);
      }
      for (const buffer of buffers) device.release(buffer);
    }));

  test("more memory than is kept for reuse can be had, and given back", () =>
    withDevice(makeProvider, async (device) => {
      for (let round = 0; round < 2; round += 1) {
        const buffers = Array.from({ length: 100 }, () => device.allocate(1024 * 1024));
        for (const [index, buffer] of buffers.entries()) {
          expect(isZero(buffer.subarray(0, 64))).toBe(true);
          buffer.fill(index + 1);
        }
        for (const [index, buffer] of buffers.entries()) expect(buffer[12_345]).toBe(index + 1);
        for (const buffer of buffers) device.release(buffer);
      }
      await device.write(0, device.allocate(device.blockBytes).fill(9), { durable: true });
      expect((await readBack(device, 0, device.blockBytes))[0]).toBe(9);
    }));
}
