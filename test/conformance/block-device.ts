/**
 * What every block-device plugin must do. Call `blockDeviceConformance` first in the plugin's test. Plugins that keep
 * their data on the disk of the world they are given (`worldDisk`) also pass under power loss and faults; those that
 * can be made to fail by other means say how (`faulty`). Limits and faults are in the files beside this one.
 */
import { describe, expect, test } from "bun:test";
import type { BlockDevice } from "../../src/contracts/block-device.ts";
import { SimulatedRandom } from "../simulation/random.ts";
import { powerCycle, simulatedWorld, type SimulatedWorld } from "../simulation/world.ts";
import { type FaultyDevice, scriptedFaultTests } from "./block-device-faults.ts";
import { limitTests } from "./block-device-limits.ts";
import { DEVICE_BYTES, type Providers, readBack, withDevice, withFolder } from "./block-device-rig.ts";
import { expectBytes, expectCode, isZero, pattern } from "./support.ts";

export type { DeviceFault, FaultyDevice } from "./block-device-faults.ts";

const POWER_LOSS_SEEDS = 60;

export interface BlockDeviceConformanceOptions {
  /** The plugin does all its I/O through `world.disk`. */
  readonly worldDisk?: boolean;
  /** Makes a new device that fails on demand, for each test. */
  readonly faulty?: () => FaultyDevice;
}

export function blockDeviceConformance(
  name: string,
  makeProvider: Providers,
  options: BlockDeviceConformanceOptions = {},
): void {
  describe(`block-device ${name}`, () => {
    transferTests(makeProvider);
    concurrencyTests(makeProvider);
    orderTests(makeProvider);
    openTests(makeProvider);
    misuseTests(makeProvider);
    limitTests(makeProvider);
    if (options.worldDisk === true) powerLossTests(makeProvider);
    if (options.worldDisk === true) faultTests(makeProvider);
    if (options.faulty !== undefined) scriptedFaultTests(options.faulty);
  });
}

function transferTests(makeProvider: Providers): void {
  test("size and block size are as promised", () =>
    withDevice(makeProvider, async (device) => {
      expect(device.sizeBytes).toBe(DEVICE_BYTES);
      expect([512, 4096]).toContain(device.blockBytes);
      expect(device.health()).toEqual({
        state: "normal",
        readErrors: 0,
        writeErrors: 0,
        flushErrors: 0,
        discardErrors: 0,
      });
    }));

  test("buffers have the size asked for and hold zeros, used before or not", () =>
    withDevice(makeProvider, async (device) => {
      for (const sizeBytes of [1, 512, 4096, 5000, 65_536, 1_000_000, 4 * 1024 * 1024]) {
        for (let round = 0; round < 3; round += 1) {
          const buffer = device.allocate(sizeBytes);
          expect(buffer.length).toBe(sizeBytes);
          expect(isZero(buffer)).toBe(true);
          buffer.fill(0xff);
          device.release(buffer);
        }
      }
    }));

  test("buffers in use have nothing in common", () =>
    withDevice(makeProvider, async (device) => {
      const buffers = Array.from({ length: 600 }, () => device.allocate(4096));
      for (const [index, buffer] of buffers.entries()) buffer.set(pattern(4096, index));
      for (const [index, buffer] of buffers.entries()) expectBytes(buffer, pattern(4096, index));
      for (const buffer of buffers) device.release(buffer);
    }));

  test("what was written is read, durable or not, small or large, first block to last", () =>
    withDevice(makeProvider, async (device) => {
      let seed = 0;
      for (const length of [device.blockBytes, 4 * device.blockBytes, 65_536, 4 * 1024 * 1024]) {
        for (const durable of [true, false]) {
          for (const offset of [0, DEVICE_BYTES - length]) {
            const bytes = pattern(length, (seed += 1));
            const buffer = device.allocate(length);
            buffer.set(bytes);
            await device.write(offset, buffer, { durable });
            device.release(buffer);
            expectBytes(await readBack(device, offset, length), bytes, `${length} bytes at ${offset}`);
          }
        }
      }
    }));

  test("any memory serves, aligned or not", () =>
    withDevice(makeProvider, async (device) => {
      const raw = new Uint8Array(3 * device.blockBytes);
      const odd = raw.subarray(7, 7 + 2 * device.blockBytes);
      odd.set(pattern(odd.length, 5));
      await device.write(device.blockBytes, odd, { durable: true });
      const into = new Uint8Array(3 * device.blockBytes).subarray(13, 13 + odd.length);
      await device.read(device.blockBytes, into);
      expectBytes(into, odd);
    }));

  test("an overwrite shows at once and leaves its neighbours alone", () =>
    withDevice(makeProvider, async (device) => {
      const block = device.blockBytes;
      await device.write(0, pattern(3 * block, 6), { durable: false });
      await readBack(device, 0, 3 * block);
      await device.write(block, pattern(block, 7), { durable: true });
      const seen = await readBack(device, 0, 3 * block);
      expectBytes(seen.subarray(0, block), pattern(3 * block, 6).subarray(0, block));
      expectBytes(seen.subarray(block, 2 * block), pattern(block, 7));
      expectBytes(seen.subarray(2 * block), pattern(3 * block, 6).subarray(2 * block));
    }));

  test("a discard leaves its neighbours alone and the range writable", () =>
    withDevice(makeProvider, async (device) => {
      const block = device.blockBytes;
      const bytes = pattern(8 * block, 8);
      await device.write(0, bytes, { durable: true });
      await device.discard(2 * block, 4 * block);
      await readBack(device, 2 * block, 4 * block);
      expectBytes(await readBack(device, 0, 2 * block), bytes.subarray(0, 2 * block));
      expectBytes(await readBack(device, 6 * block, 2 * block), bytes.subarray(6 * block));
      await device.write(3 * block, pattern(block, 9), { durable: true });
      expectBytes(await readBack(device, 3 * block, block), pattern(block, 9));
    }));
}

/** 32 workers, each on blocks of its own: writes, reads, discards, flushes; every read is verified. */
async function randomTraffic(device: BlockDevice, seed: number, operations: number): Promise<void> {
  const workers = 32;
  const blocks = Math.floor(DEVICE_BYTES / device.blockBytes / workers);
  const work = async (worker: number): Promise<void> => {
    const random = new SimulatedRandom(seed * 1000 + worker);
    /** Seed of each block's content; absent: anything. */
    const model = new Map<number, number>();
    for (let step = 0; step < operations; step += 1) {
      const count = 1 + random.below(8);
      const first = random.below(blocks - count);
      const offset = (worker * blocks + first) * device.blockBytes;
      const choice = random.next();
      if (choice < 0.45) {
        const buffer = device.allocate(count * device.blockBytes);
        for (let block = 0; block < count; block += 1) {
          const content = random.below(1e9);
          model.set(first + block, content);
          buffer.set(pattern(device.blockBytes, content), block * device.blockBytes);
        }
        await device.write(offset, buffer, { durable: random.next() < 0.5 });
        device.release(buffer);
      } else if (choice < 0.9) {
        const seen = await readBack(device, offset, count * device.blockBytes);
        for (let block = 0; block < count; block += 1) {
          const content = model.get(first + block);
          if (content === undefined) continue;
          const start = block * device.blockBytes;
          expectBytes(
            seen.subarray(start, start + device.blockBytes),
            pattern(device.blockBytes, content),
            `seed ${seed}, worker ${worker}, step ${step}`,
          );
        }
      } else if (choice < 0.97) {
        for (let block = 0; block < count; block += 1) model.delete(first + block);
        await device.discard(offset, count * device.blockBytes);
      } else {
        await device.flush();
      }
    }
  };
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
}

function concurrencyTests(makeProvider: Providers): void {
  test("many verified operations in flight, in any order", () =>
    withDevice(makeProvider, (device) => randomTraffic(device, 1, 60)));

  test("two hundred reads of one block at once", () =>
    withDevice(makeProvider, async (device) => {
      const bytes = pattern(device.blockBytes, 10);
      await device.write(0, bytes, { durable: true });
      const reads = Array.from({ length: 200 }, () => readBack(device, 0, device.blockBytes));
      for (const seen of await Promise.all(reads)) expectBytes(seen, bytes);
    }));
}

/** What must hold between operations, one after the other or side by side. */
function orderTests(makeProvider: Providers): void {
  test("a read that begins after a write has resolved sees it, every time", () =>
    withDevice(makeProvider, async (device) => {
      const buffer = device.allocate(device.blockBytes);
      const into = device.allocate(device.blockBytes);
      for (let round = 0; round < 200; round += 1) {
        buffer.set(pattern(device.blockBytes, round));
        await device.write(0, buffer, { durable: round % 3 === 0 });
        await device.read(0, into);
        expectBytes(into, buffer, `round ${round}`);
      }
    }));

  test("a write of one block and reads of its neighbours do not disturb one another", () =>
    withDevice(makeProvider, async (device) => {
      const block = device.blockBytes;
      const around = pattern(3 * block, 20);
      await device.write(0, around, { durable: false });
      for (let round = 0; round < 50; round += 1) {
        const writing = device.write(block, pattern(block, round), { durable: false });
        const [left, right] = await Promise.all([readBack(device, 0, block), readBack(device, 2 * block, block)]);
        expectBytes(left, around.subarray(0, block));
        expectBytes(right, around.subarray(2 * block));
        await writing;
      }
    }));

  test("a flush among writes in flight resolves, and so do they", () =>
    withDevice(makeProvider, async (device) => {
      const length = 16 * device.blockBytes;
      const writes = Array.from({ length: 32 }, (_, index) =>
        device.write(index * length, pattern(length, index), { durable: index % 2 === 0 }),
      );
      const flushes = [device.flush(), device.flush(), device.flush()];
      await Promise.all([...writes, ...flushes]);
      for (let index = 0; index < 32; index += 1) {
        expectBytes(await readBack(device, index * length, length), pattern(length, index));
      }
    }));
}

function openTests(makeProvider: Providers): void {
  test("durable and flushed bytes are there after close and open", () =>
    withFolder(makeProvider, async (open) => {
      const device = await open(true);
      await device.write(0, pattern(65_536, 11), { durable: true });
      await device.write(65_536, pattern(65_536, 12), { durable: false });
      await device.flush();
      await device.close();
      const again = await open(false);
      expectBytes(await readBack(again, 0, 65_536), pattern(65_536, 11));
      expectBytes(await readBack(again, 65_536, 65_536), pattern(65_536, 12));
      await again.close();
    }));

  test("opening what was never made: NOT_FOUND", () =>
    withFolder(makeProvider, (open) => expectCode("NOT_FOUND", () => open(false))));

  test("opening with another size: CORRUPT", () =>
    withFolder(makeProvider, async (open) => {
      await (await open(true)).close();
      await expectCode("CORRUPT", () => open(false, 2 * DEVICE_BYTES));
      await expectCode("CORRUPT", () => open(false, DEVICE_BYTES / 2));
      await (await open(false)).close();
    }));

  test("a size that is none: INVALID_ARGUMENT", () =>
    withFolder(makeProvider, async (open) => {
      for (const sizeBytes of [0, -4096, 1, 4097, Number.NaN]) {
        await expectCode("INVALID_ARGUMENT", () => open(true, sizeBytes));
      }
    }));
}

function misuseTests(makeProvider: Providers): void {
  test("a range off the blocks or the device: INVALID_ARGUMENT, and the device goes on", () =>
    withDevice(makeProvider, async (device) => {
      const block = device.blockBytes;
      const ranges = [
        [1, block],
        [block / 2, block],
        [0, 1],
        [0, block + 1],
        [0, 0],
        [-block, block],
        [Number.NaN, block],
        [DEVICE_BYTES, block],
        [DEVICE_BYTES - block, 2 * block],
        [2 ** 60, block],
      ];
      for (const [offset, length] of ranges) {
        await expectCode("INVALID_ARGUMENT", () => device.read(offset!, new Uint8Array(length!)));
        await expectCode("INVALID_ARGUMENT", () => device.write(offset!, new Uint8Array(length!), { durable: true }));
        await expectCode("INVALID_ARGUMENT", () => device.discard(offset!, length!));
      }
      await device.write(0, pattern(block, 13), { durable: true });
      expectBytes(await readBack(device, 0, block), pattern(block, 13));
      expect(device.health().state).toBe("normal");
    }));

  test("I/O after close: UNAVAILABLE; closing twice is harmless", () =>
    withFolder(makeProvider, async (open) => {
      const device = await open(true);
      await device.close();
      await device.close();
      const buffer = new Uint8Array(device.blockBytes);
      await expectCode("UNAVAILABLE", () => device.read(0, buffer));
      await expectCode("UNAVAILABLE", () => device.write(0, buffer, { durable: true }));
      await expectCode("UNAVAILABLE", () => device.flush());
    }));
}

const simulatedOpen = { folder: "/target", sizeBytes: DEVICE_BYTES };

function openSimulated(makeProvider: Providers, world: SimulatedWorld, create: boolean): Promise<BlockDevice> {
  return makeProvider().open(world, { ...simulatedOpen, create });
}

/**
 * Writes at random, loses power, and counts the blocks that were durable and are not as they were. 0 for a right plugin.
 * `lie`: writes are taken for durable that were not asked to be; the count must then rise.
 */
export async function blocksLost(makeProvider: Providers, seed: number, lie = false): Promise<number> {
  const world = simulatedWorld(seed);
  const device = await openSimulated(makeProvider, world, true);
  const blocks = 64;
  /** Content that reads must show; content that must survive. */
  const written = new Map<number, number>();
  const safe = new Map<number, number>();
  const busy = new Set<number>();
  const step = async (index: number, content: number, durable: boolean): Promise<void> => {
    busy.add(index);
    safe.delete(index);
    await device.write(index * device.blockBytes, pattern(device.blockBytes, content), { durable: durable && !lie });
    busy.delete(index);
    written.set(index, content);
    if (durable) safe.set(index, content);
  };
  const running: Promise<void>[] = [];
  const rounds = 50 + world.random.below(100);
  for (let round = 0; round < rounds; round += 1) {
    const index = world.random.below(blocks);
    if (busy.has(index)) continue;
    const writing = step(index, world.random.below(1e9), world.random.next() < 0.5);
    running.push(writing);
    if (world.random.next() < 0.4) await writing;
    if (world.random.next() < 0.1) {
      const before = new Map(written);
      if (!lie) await device.flush();
      for (const [flushed, content] of before) {
        if (!busy.has(flushed) && written.get(flushed) === content) safe.set(flushed, content);
      }
    }
  }
  powerCycle(world);
  const again = await openSimulated(makeProvider, world, false);
  let lost = 0;
  for (const [index, content] of safe) {
    const seen = await readBack(again, index * again.blockBytes, again.blockBytes);
    if (Buffer.compare(seen, pattern(again.blockBytes, content)) !== 0) lost += 1;
  }
  await again.close();
  return lost;
}

function powerLossTests(makeProvider: Providers): void {
  test(`durable and flushed writes survive power loss (${POWER_LOSS_SEEDS} seeds)`, async () => {
    for (let seed = 1; seed <= POWER_LOSS_SEEDS; seed += 1) {
      expect({ seed, lost: await blocksLost(makeProvider, seed) }).toEqual({ seed, lost: 0 });
    }
  });

  test("the power-loss test notices writes that only seem durable", async () => {
    let lost = 0;
    for (let seed = 1; seed <= 10; seed += 1) lost += await blocksLost(makeProvider, seed, true);
    expect(lost).toBeGreaterThan(0);
  });

  test(`a write torn by power loss leaves whole sectors, old or new (${POWER_LOSS_SEEDS} seeds)`, async () => {
    for (let seed = 1; seed <= POWER_LOSS_SEEDS; seed += 1) await tearOneWrite(makeProvider, seed);
  });

  test("random traffic in simulated time (5 seeds)", async () => {
    for (let seed = 1; seed <= 5; seed += 1) {
      const device = await openSimulated(makeProvider, simulatedWorld(seed), true);
      await randomTraffic(device, seed, 10);
      await device.close();
    }
  });
}

/** One write is struck by the loss of power: each sector of it is old or new, all else is as it was. */
async function tearOneWrite(makeProvider: Providers, seed: number): Promise<{ old: number; new: number }> {
  const world = simulatedWorld(seed);
  const device = await openSimulated(makeProvider, world, true);
  const block = device.blockBytes;
  const before = pattern(6 * block, seed);
  const after = pattern(4 * block, seed + 1000);
  await device.write(0, before, { durable: true });
  void device.write(block, after, { durable: seed % 2 === 0 }).catch(() => undefined);
  powerCycle(world);
  const again = await openSimulated(makeProvider, world, false);
  const seen = await readBack(again, 0, 6 * block);
  expectBytes(seen.subarray(0, block), before.subarray(0, block), "the block before");
  expectBytes(seen.subarray(5 * block), before.subarray(5 * block), "the block after");
  const count = { old: 0, new: 0 };
  for (let at = block; at < 5 * block; at += 512) {
    const sector = seen.subarray(at, at + 512);
    const isOld = Buffer.compare(sector, before.subarray(at, at + 512)) === 0;
    if (!isOld) expectBytes(sector, after.subarray(at - block, at - block + 512), `seed ${seed}, sector at ${at}`);
    count[isOld ? "old" : "new"] += 1;
  }
  await again.close();
  return count;
}

function faultTests(makeProvider: Providers): void {
  test("a failed read rejects and is counted, and the next one succeeds", async () => {
    const world = simulatedWorld(1);
    const device = await openSimulated(makeProvider, world, true);
    await device.write(0, pattern(device.blockBytes, 1), { durable: true });
    world.disk.injectFault({ operation: "read", code: "IO" });
    await expectCode("IO", () => readBack(device, 0, device.blockBytes));
    expect(device.health().readErrors).toBe(1);
    expectBytes(await readBack(device, 0, device.blockBytes), pattern(device.blockBytes, 1));
    await device.close();
  });

  test("a failed write rejects, is counted, and makes the device faulty", async () => {
    const world = simulatedWorld(1);
    const device = await openSimulated(makeProvider, world, true);
    world.disk.injectFault({ operation: "write", code: "IO" });
    await expectCode("IO", () => device.write(0, pattern(device.blockBytes, 1), { durable: true }));
    expect(device.health()).toMatchObject({ state: "faulty", writeErrors: 1 });
    await device.close();
  });

  test("a full disk: NO_SPACE, and the device goes on", async () => {
    const world = simulatedWorld(1);
    const device = await openSimulated(makeProvider, world, true);
    const block = device.blockBytes;
    await device.write(0, pattern(block, 1), { durable: true });
    world.disk.setCapacity(0);
    await expectCode("NO_SPACE", () => device.write(DEVICE_BYTES - block, pattern(block, 2), { durable: true }));
    expectBytes(await readBack(device, 0, block), pattern(block, 1));
    expect(device.health().state).toBe("normal");
    await device.close();
  });

  test("a failed flush is never forgotten", async () => {
    const world = simulatedWorld(1);
    const device = await openSimulated(makeProvider, world, true);
    await device.write(0, pattern(device.blockBytes, 1), { durable: false });
    world.disk.injectFault({ operation: "sync", code: "IO" });
    await expectCode("IO", () => device.flush());
    await expectCode("IO", () => device.flush());
    expect(device.health()).toMatchObject({ state: "faulty", flushErrors: 2 });
    await device.close();
  });
}
