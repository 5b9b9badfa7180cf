/**
 * block-device `uring` over a ring without a kernel: all of its logic, on any machine. The real ring: test/native.
 */
import { describe, expect, test } from "bun:test";
import { MAX_POOLED_BYTES } from "../../../plugins/block-device/uring/slab-pool.ts";
import blockDeviceUring from "../../../plugins/block-device/uring/index.ts";
import { UringBlockDeviceProvider } from "../../../plugins/block-device/uring/provider.ts";
import { RingOperation } from "../../../plugins/block-device/uring/ring.ts";
import type { BlockDevice } from "../../../src/contracts/block-device.ts";
import { blockDeviceConformance, type DeviceFault } from "../../conformance/block-device.ts";
import { codeOf, expectBytes, expectCode, pattern } from "../../conformance/support.ts";
import { simulatedWorld, type SimulatedWorld } from "../../simulation/world.ts";
import { openDiskRing, RingScript } from "./disk-ring.ts";

const DEFAULTS = { preallocate: false, discard: true };
const SIZE_BYTES = 8 * 1024 * 1024;
const BLOCK = 4096;

const makeProvider = (script?: RingScript) => new UringBlockDeviceProvider(DEFAULTS, openDiskRing(script));

blockDeviceConformance("uring (ring on the world's disk)", () => makeProvider(), { worldDisk: true, faulty });

/** A device whose ring a script can disturb. */
function faulty() {
  const script = new RingScript();
  const world = simulatedWorld(1);
  const operations = {
    read: [RingOperation.read],
    write: [RingOperation.write, RingOperation.durableWrite],
    flush: [RingOperation.flush],
    discard: [RingOperation.punchHole],
  };
  const results = { error: -5, full: -28, removed: -19, short: BLOCK };
  return {
    kinds: ["error", "full", "removed", "short"] as const,
    open: () => makeProvider(script).open(world, { folder: "/t", sizeBytes: SIZE_BYTES, create: true }),
    inject: ({ operation, kind, times = 1 }: DeviceFault) => {
      for (const one of operations[operation]) script.inject({ operation: one, result: results[kind], times });
    },
  };
}

interface Rig {
  readonly world: SimulatedWorld;
  readonly script: RingScript;
  readonly device: BlockDevice;
}

async function openRig(): Promise<Rig> {
  const world = simulatedWorld(1);
  const script = new RingScript();
  const device = await makeProvider(script).open(world, { folder: "/t", sizeBytes: SIZE_BYTES, create: true });
  return { world, script, device };
}

describe("requests", () => {
  test("a transfer that stops within a block goes on at that block's start", async () => {
    const { script, device } = await openRig();
    const bytes = pattern(4 * BLOCK, 1);
    script.inject({ operation: RingOperation.durableWrite, result: BLOCK + 512 });
    await device.write(0, bytes, { durable: true });
    script.inject({ operation: RingOperation.read, result: 2 * BLOCK + 1 });
    const into = device.allocate(4 * BLOCK);
    await device.read(0, into);
    expectBytes(into, bytes);
    expect(script.started.get(RingOperation.durableWrite)).toBe(2);
    expect(script.started.get(RingOperation.read)).toBe(2);
    await device.close();
  });

  test("what the kernel wants asked again is asked again, not for ever", async () => {
    const { script, device } = await openRig();
    for (const errno of [11, 4]) {
      script.inject({ operation: RingOperation.read, result: -errno, times: 10 });
      await device.read(0, device.allocate(BLOCK));
    }
    script.inject({ operation: RingOperation.read, result: -11, times: 1000 });
    await expectCode("IO", () => device.read(0, device.allocate(BLOCK)));
    expect(device.health().readErrors).toBe(1);
    await device.close();
  });

  test("a transfer without progress is an error, not a loop", async () => {
    const { script, device } = await openRig();
    script.inject({ operation: RingOperation.read, result: 0 });
    await expectCode("IO", () => device.read(0, device.allocate(BLOCK)));
    script.inject({ operation: RingOperation.write, result: 511 });
    await expectCode("IO", () => device.write(0, device.allocate(BLOCK), { durable: false }));
    await device.close();
  });

  test("a result that cannot be is an error", async () => {
    const { script, device } = await openRig();
    script.inject({ operation: RingOperation.read, result: 2 * BLOCK });
    await expectCode("IO", () => device.read(0, device.allocate(BLOCK)));
    await device.close();
  });

  test("closing while something is in flight or waits for a place: BUSY", async () => {
    const { script, device } = await openRig();
    script.isHeld = true;
    const reads = Array.from({ length: 40 }, () => device.read(0, device.allocate(BLOCK)));
    await expectCode("BUSY", () => device.close());
    script.letGo();
    await Promise.all(reads);
    await device.close();
  });

  test("durable writes are durable requests, others are not", async () => {
    const { script, device } = await openRig();
    await device.write(0, device.allocate(BLOCK), { durable: false });
    expect(script.started.get(RingOperation.durableWrite)).toBeUndefined();
    await device.write(0, device.allocate(BLOCK), { durable: true });
    expect(script.started.get(RingOperation.durableWrite)).toBe(1);
    await device.close();
  });

  test("unaligned memory takes bounded bounce buffers, aligned memory none", async () => {
    const { script, device } = await openRig();
    const length = 4 * 1024 * 1024;
    const odd = new Uint8Array(length + BLOCK).subarray(1, 1 + length);
    odd.set(pattern(length, 3));
    await device.write(0, odd, { durable: false });
    expect(script.started.get(RingOperation.write)).toBe(4);
    const even = new Uint8Array(new SharedArrayBuffer(length));
    await device.read(0, even);
    expect(script.started.get(RingOperation.read)).toBe(1);
    expectBytes(even, odd);
    await device.close();
  });
});

describe("discard", () => {
  test("a device that has no discard on a ring is asked for holes instead, once and for all", async () => {
    const { script, device } = await openBlockDevice();
    script.inject({ operation: RingOperation.discard, result: -22 });
    await device.discard(0, BLOCK);
    await device.discard(0, BLOCK);
    expect(script.started.get(RingOperation.discard)).toBe(1);
    expect(script.started.get(RingOperation.punchHole)).toBe(2);
    expect(device.health().discardErrors).toBe(0);
    await device.close();
  });

  test("where nothing can be discarded it is not tried again; what fails is counted and never rejects", async () => {
    const { script, device } = await openRig();
    script.inject({ operation: RingOperation.punchHole, result: -5 });
    await device.discard(0, BLOCK);
    expect(device.health()).toMatchObject({ discardErrors: 1, state: "normal" });
    script.inject({ operation: RingOperation.punchHole, result: -95 });
    await device.discard(0, BLOCK);
    await device.discard(0, BLOCK);
    expect(script.started.get(RingOperation.punchHole)).toBe(2);
    expect(device.health().discardErrors).toBe(1);
    await device.close();
  });
});

/** The scripted ring's file taken for a block device that exists already. */
async function openBlockDevice(): Promise<Rig> {
  const world = simulatedWorld(1);
  await (await makeProvider().open(world, { folder: "/t", sizeBytes: SIZE_BYTES, create: true })).close();
  const script = new RingScript();
  script.isBlockDevice = true;
  const device = await makeProvider(script).open(world, { folder: "/t", sizeBytes: SIZE_BYTES / 2, create: true });
  return { world, script, device };
}

describe("memory", () => {
  test("unused slabs over the bound go back, used ones stay", async () => {
    const { device } = await openRig();
    const buffers = Array.from({ length: 60 }, () => device.allocate(2 * 1024 * 1024));
    for (const buffer of buffers) buffer.fill(1);
    for (const buffer of buffers) device.release(buffer);
    const again = Array.from({ length: 60 }, () => device.allocate(2 * 1024 * 1024));
    const reused = again.filter((buffer) => buffers.some((other) => other.buffer === buffer.buffer));
    expect(reused).toHaveLength(MAX_POOLED_BYTES / (2 * 1024 * 1024));
    expect(again.every((buffer) => buffer.every((byte) => byte === 0))).toBe(true);
    await device.close();
  });

  test("giving a buffer back twice, or one of others, is a bug that shows", async () => {
    const { device } = await openRig();
    const buffer = device.allocate(BLOCK);
    device.release(buffer);
    expect(() => device.release(buffer)).toThrow("in use");
    expect(() => device.release(new Uint8Array(BLOCK))).toThrow("came from this pool");
    await device.close();
  });
});

describe("configuration", () => {
  test("unknown keys are refused", async () => {
    const validate = (config: unknown) => blockDeviceUring.configSchema["~standard"].validate(config);
    expect((await validate({})).issues).toBeUndefined();
    expect((await validate({ path: "/dev/nvme0n1", discard: true, preallocate: true })).issues).toBeUndefined();
    expect((await validate({ paht: "/x" })).issues).toHaveLength(1);
  });

  test("a device larger than needed serves, a smaller one is refused", async () => {
    const { device, world } = await openBlockDevice();
    expect(device.sizeBytes).toBe(SIZE_BYTES / 2);
    await device.close();
    const script = new RingScript();
    script.isBlockDevice = true;
    const open = { folder: "/t", sizeBytes: 2 * SIZE_BYTES, create: true };
    expect(await codeOf(() => makeProvider(script).open(world, open))).toBe("NO_SPACE");
  });

  test("{target} in the path stands for the target's folder", async () => {
    const world = simulatedWorld(1);
    const provider = new UringBlockDeviceProvider({ ...DEFAULTS, path: "/fast/{target}.img" }, openDiskRing());
    for (const target of ["0", "1"]) {
      await (await provider.open(world, { folder: `/storage/${target}`, sizeBytes: SIZE_BYTES, create: true })).close();
    }
    expect(world.disk.list("/fast")).toEqual(["0.img", "1.img"]);
  });

  test("a preallocated file takes its space when made, and keeps it over a discard", async () => {
    const world = simulatedWorld(1, { disk: { capacityBytes: SIZE_BYTES } });
    const provider = new UringBlockDeviceProvider({ preallocate: true, discard: true }, openDiskRing());
    const device = await provider.open(world, { folder: "/t", sizeBytes: SIZE_BYTES, create: true });
    await device.discard(0, SIZE_BYTES);
    expect(world.disk.freeBytes()).toBe(0);
    await device.close();
    const other = { folder: "/other", sizeBytes: SIZE_BYTES, create: true };
    expect(await codeOf(() => provider.open(world, other))).toBe("NO_SPACE");
  });
});

test("health tells the latency of reads and writes", async () => {
  const { world, device } = await openRig();
  expect(device.health().readLatency).toBeUndefined();
  for (let round = 0; round < 50; round += 1) await device.read(0, device.allocate(BLOCK));
  const { readLatency, writeLatency } = device.health();
  expect(writeLatency).toBeUndefined();
  // The simulated disk takes 50 to 200 microseconds.
  expect(readLatency!.averageUs).toBeGreaterThan(50);
  expect(readLatency!.p99Us).toBeLessThan(1000);
  expect(world.clock.monotonicNs()).toBeGreaterThan(50 * 50_000);
  await device.close();
});
