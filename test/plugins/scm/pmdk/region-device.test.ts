import { expect, test } from "bun:test";
import { PmdkScmProvider } from "../../../../plugins/scm/pmdk/provider.ts";
import { REGION_OFFSET_BYTES } from "../../../../plugins/scm/pmdk/region-header.ts";
import { pmdkSettings } from "../../../../plugins/scm/pmdk/settings.ts";
import { MIB } from "../../../../src/base/limits.ts";
import type { ScmRegion } from "../../../../src/contracts/scm.ts";
import { expectCode, isZero } from "../../../conformance/support.ts";
import { PersistentMemory } from "../../../fixtures/persistent-memory.ts";
import { simulatedWorld } from "../../../simulation/world.ts";

const FIRST = "/dev/dax0.0";
const SECOND = "/dev/dax1.0";
const SIZE_BYTES = 3 * MIB;

class Rig {
  readonly world = simulatedWorld(1);
  readonly memory = new PersistentMemory();
  settings: Record<string, unknown> = { path: [FIRST, SECOND] };

  constructor() {
    this.memory.add(FIRST, 8 * MIB);
    this.memory.add(SECOND, 8 * MIB);
  }

  open(target: string, create: boolean, sizeBytes = SIZE_BYTES): Promise<ScmRegion> {
    const provider = new PmdkScmProvider(this.memory, pmdkSettings.parse(this.settings));
    return provider.open(this.world, { folder: `/${target}`, sizeBytes, create });
  }

  device(path: string) {
    return this.memory.devices.get(path)!;
  }
}

async function messageOf(opening: Promise<unknown>): Promise<string> {
  return opening.then(
    () => "no error",
    (error: Error) => error.message,
  );
}

test("each target takes a device of its own and finds it again, whatever the devices are called then", async () => {
  const rig = new Rig();
  const [first, second] = await Promise.all([rig.open("a", true), rig.open("b", true)]);
  expect(new Set([first.fileRange?.path, second.fileRange?.path])).toEqual(new Set([FIRST, SECOND]));
  expect(first.fileRange).toEqual({
    path: FIRST,
    offset: REGION_OFFSET_BYTES,
    sizeBytes: SIZE_BYTES,
    alignmentBytes: 2 * MIB,
  });
  first.bytes.fill(1, 0, 64);
  await first.persist(0, 64);
  first.close();
  second.close();
  const { devices } = rig.memory;
  const renamed = rig.device(FIRST);
  devices.set(FIRST, rig.device(SECOND));
  devices.set(SECOND, renamed);
  const again = await rig.open("a", false);
  expect(again.fileRange?.path).toBe(SECOND);
  expect(again.bytes[0]).toBe(1);
  again.close();
});

test("a third target finds no free device, and takes none that holds another's region", async () => {
  const rig = new Rig();
  const first = await rig.open("a", true);
  (await rig.open("b", true)).close();
  expect(await messageOf(rig.open("c", true))).toContain('it holds the SCM region of "/b"');
  await expectCode("ALREADY_EXISTS", () => rig.open("c", true));
  first.close();
  await expectCode("NOT_FOUND", () => rig.open("c", false));
});

test("a device with other data is not overwritten", async () => {
  const rig = new Rig();
  rig.settings = { path: FIRST };
  new Uint8Array(rig.device(FIRST).memory)[700] = 1;
  expect(await messageOf(rig.open("a", true))).toContain("data that is no SCM region");
  expect(new Uint8Array(rig.device(FIRST).memory)[700]).toBe(1);
});

test("overwrite takes a free device first, then one that holds something else, never one that is in use", async () => {
  const rig = new Rig();
  new Uint8Array(rig.device(FIRST).memory)[700] = 1;
  rig.settings = { path: [FIRST, SECOND], overwrite: true };
  const free = await rig.open("a", true);
  expect(free.fileRange?.path).toBe(SECOND);
  const taken = await rig.open("b", true);
  expect(taken.fileRange?.path).toBe(FIRST);
  expect(isZero(taken.bytes)).toBe(true);
  await expectCode("BUSY", () => rig.open("c", true));
  free.close();
  taken.close();
});

test("formatting again gives zeros on the same device; what a crash cut off is formatted again too", async () => {
  const rig = new Rig();
  rig.settings = { path: FIRST };
  const region = await rig.open("a", true);
  region.bytes.fill(7);
  await region.persist(0, SIZE_BYTES);
  region.close();
  const fresh = await rig.open("a", true);
  expect(isZero(fresh.bytes)).toBe(true);
  fresh.close();
  // The device's record is written, its header is not.
  new Uint8Array(rig.device(FIRST).memory).fill(0);
  await expectCode("NOT_FOUND", () => rig.open("a", false));
  (await rig.open("a", true)).close();
  (await rig.open("a", false)).close();
});

test("a device that is too small: NO_SPACE; another size than formatted: CORRUPT", async () => {
  const rig = new Rig();
  rig.settings = { path: FIRST };
  await expectCode("NO_SPACE", () => rig.open("a", true, 8 * MIB));
  (await rig.open("a", true)).close();
  await expectCode("CORRUPT", () => rig.open("a", false, 2 * MIB));
  await expectCode("CORRUPT", () => rig.open("a", false, 20 * MIB));
  expect(rig.device(FIRST).locked).toBe(false);
});

test("bad blocks in the region: CORRUPT with their places; behind it they do not matter", async () => {
  const rig = new Rig();
  rig.settings = { path: FIRST };
  (await rig.open("a", true)).close();
  rig.device(FIRST).badBlocks = [{ offset: 7 * MIB, length: 512 }];
  (await rig.open("a", false)).close();
  rig.device(FIRST).badBlocks = [
    { offset: MIB, length: 512 },
    { offset: 2 * MIB, length: 1024 },
  ];
  await expectCode("CORRUPT", () => rig.open("a", false));
  expect(await messageOf(rig.open("a", false))).toContain("512 bytes at 1048576, 1024 bytes at 2097152");
  rig.device(FIRST).badBlocks = [{ offset: 0, length: 512 }];
  await expectCode("CORRUPT", () => rig.open("a", false));
});

test("an unsafe shutdown while the region was in use: CORRUPT, unless it is accepted once", async () => {
  const rig = new Rig();
  rig.settings = { path: FIRST };
  const device = rig.device(FIRST);
  await rig.open("a", true);
  device.losePower(() => 1);
  device.unsafeShutdowns = 2;
  expect(await messageOf(rig.open("a", false))).toContain("2 unsafe shutdowns while it was in use");
  expect(device.locked).toBe(false);
  rig.settings = { path: FIRST, accept_unsafe_shutdown: true };
  const accepted = await rig.open("a", false);
  expect(accepted.notices?.join()).toContain("2 unsafe shutdowns");
  accepted.close();
  rig.settings = { path: FIRST };
  (await rig.open("a", false)).close();
});

test("an unsafe shutdown while it was closed, or of other modules, or an orderly crash, is no matter", async () => {
  const rig = new Rig();
  rig.settings = { path: FIRST };
  const device = rig.device(FIRST);
  const region = await rig.open("a", true);
  region.close();
  expect(rig.memory.deepFlushes).toBeGreaterThan(0);
  device.unsafeShutdowns = 5;
  await rig.open("a", false);
  device.losePower(() => 1);
  const crashed = await rig.open("a", false);
  expect(crashed.notices).toHaveLength(1);
  device.losePower(() => 1);
  device.deviceId = "module-2";
  device.unsafeShutdowns = 9;
  (await rig.open("a", false)).close();
});

test("a coarser medium than required: CONFIGURATION, and the device stays untouched", async () => {
  const rig = new Rig();
  rig.settings = { path: FIRST, require: "byte" };
  await expectCode("CONFIGURATION", () => rig.open("a", true));
  expect(isZero(rig.device(FIRST).medium)).toBe(true);
  expect(rig.device(FIRST).locked).toBe(false);
});

test("a damaged device record: CORRUPT", async () => {
  const rig = new Rig();
  (await rig.open("a", true)).close();
  const file = rig.world.disk.openFile("/a/scm-device");
  file.writeSync(Buffer.from("{"), 5);
  file.close();
  await expectCode("CORRUPT", () => rig.open("a", false));
});

test("close does not fail when the medium does", async () => {
  const rig = new Rig();
  const region = await rig.open("a", true);
  rig.memory.nextFailure = "EIO";
  region.close();
  expect(rig.device(FIRST).locked).toBe(false);
});
