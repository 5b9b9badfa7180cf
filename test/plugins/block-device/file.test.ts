import { expect, test } from "bun:test";
import { statSync } from "node:fs";
import { BufferPool, MAX_POOLED_BYTES } from "../../../plugins/block-device/file/buffer-pool.ts";
import blockDeviceFile from "../../../plugins/block-device/file/index.ts";
import { realWorld } from "../../../src/world/index.ts";
import { blockDeviceConformance } from "../../conformance/block-device.ts";
import { expectBytes, expectCode, inTemporaryFolder, pattern } from "../../conformance/support.ts";
import { simulatedWorld } from "../../simulation/world.ts";

const DEFAULTS = { preallocate: false, discard: true, reads: "cached", mode: "auto" } as const;
const SIZE_BYTES = 4 * 1024 * 1024;

blockDeviceConformance("file", () => blockDeviceFile.create(DEFAULTS), { worldDisk: true });
blockDeviceConformance("file, direct reads", () => blockDeviceFile.create({ ...DEFAULTS, reads: "direct" }), {
  worldDisk: true,
});
blockDeviceConformance("file, pool only, preallocated", () =>
  blockDeviceFile.create({ ...DEFAULTS, preallocate: true, mode: "async" }),
);

test("a sparse device takes no space when made, a preallocated one all of it", async () => {
  for (const [preallocate, takenBytes] of [
    [false, 0],
    [true, SIZE_BYTES],
  ] as const) {
    const world = simulatedWorld(1, { disk: { capacityBytes: 2 * SIZE_BYTES } });
    const provider = blockDeviceFile.create({ ...DEFAULTS, preallocate });
    const device = await provider.open(world, { folder: "/t", sizeBytes: SIZE_BYTES, create: true });
    expect(2 * SIZE_BYTES - world.disk.freeBytes()).toBe(takenBytes);
    await device.close();
  }
});

test("a preallocated device keeps its space over a discard and refuses to be made where there is too little", async () => {
  const world = simulatedWorld(1, { disk: { capacityBytes: SIZE_BYTES } });
  const provider = blockDeviceFile.create({ ...DEFAULTS, preallocate: true });
  const device = await provider.open(world, { folder: "/t", sizeBytes: SIZE_BYTES, create: true });
  await device.discard(0, SIZE_BYTES);
  expect(world.disk.freeBytes()).toBe(0);
  await device.close();
  const open = { folder: "/other", sizeBytes: SIZE_BYTES, create: true };
  await expectCode("NO_SPACE", () => provider.open(world, open));
});

test("a discard gives the space of a sparse device back", () =>
  inTemporaryFolder(async (folder) => {
    const world = realWorld();
    const device = await blockDeviceFile.create(DEFAULTS).open(world, { folder, sizeBytes: SIZE_BYTES, create: true });
    await device.write(0, pattern(SIZE_BYTES, 1), { durable: true });
    const full = blocksOf(`${folder}/nvme`);
    await device.discard(0, SIZE_BYTES);
    expect(device.health().discardErrors).toBe(0);
    expect(blocksOf(`${folder}/nvme`)).toBeLessThan(full / 2);
    await device.close();
  }));

test("closing while something is in flight: BUSY", () =>
  inTemporaryFolder(async (folder) => {
    const provider = blockDeviceFile.create({ ...DEFAULTS, mode: "async" });
    const device = await provider.open(realWorld(), { folder, sizeBytes: SIZE_BYTES, create: true });
    const writing = device.write(0, pattern(4096, 1), { durable: true });
    await expectCode("BUSY", () => device.close());
    await writing;
    await device.close();
  }));

test("a truncated file: reads reject with IO instead of being short", () =>
  inTemporaryFolder(async (folder) => {
    const world = realWorld();
    const device = await blockDeviceFile.create(DEFAULTS).open(world, { folder, sizeBytes: SIZE_BYTES, create: true });
    const file = world.disk.openFile(`${folder}/nvme`);
    file.truncate(4096);
    file.close();
    await expectCode("IO", () => device.read(0, device.allocate(8192)));
    expect(device.health().readErrors).toBe(1);
    await device.close();
  }));

test("the first small write of a turn blocks, its company does not", async () => {
  const world = simulatedWorld(1);
  const device = await blockDeviceFile
    .create(DEFAULTS)
    .open(world, { folder: "/t", sizeBytes: SIZE_BYTES, create: true });
  const beforeNs = world.clock.monotonicNs();
  const first = device.write(0, pattern(4096, 1), { durable: true });
  const afterFirstNs = world.clock.monotonicNs();
  const second = device.write(4096, pattern(4096, 2), { durable: true });
  expect(afterFirstNs).toBeGreaterThan(beforeNs);
  expect(world.clock.monotonicNs()).toBe(afterFirstNs);
  await Promise.all([first, second]);
  await device.close();
});

test("the buffer pool reuses what it gets back and keeps no more than its bound", () => {
  const pool = new BufferPool();
  const first = pool.allocate(4 * 1024 * 1024);
  pool.release(first);
  expect(pool.allocate(4 * 1024 * 1024).buffer).toBe(first.buffer);
  const many = Array.from({ length: 40 }, () => pool.allocate(4 * 1024 * 1024));
  for (const buffer of many) pool.release(buffer);
  expect(pool.pooledBytes).toBeLessThanOrEqual(MAX_POOLED_BYTES);
  expect(pool.pooledBytes).toBeGreaterThan(MAX_POOLED_BYTES / 2);
});

test("a write past the page cache is seen by reads through it", () =>
  inTemporaryFolder(async (folder) => {
    const provider = blockDeviceFile.create(DEFAULTS);
    const device = await provider.open(realWorld(), { folder, sizeBytes: SIZE_BYTES, create: true });
    const buffer = device.allocate(4096);
    for (let round = 0; round < 200; round += 1) {
      const bytes = pattern(4096, round);
      await device.write(0, bytes, { durable: round % 2 === 0 });
      await device.read(0, buffer);
      expectBytes(buffer, bytes);
    }
    await device.close();
  }));

/** 512-byte blocks that a file takes. */
function blocksOf(path: string): number {
  return statSync(path).blocks;
}
