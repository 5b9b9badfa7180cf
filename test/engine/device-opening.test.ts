import { describe, expect, test } from "bun:test";
import { MIB } from "../../src/base/limits.ts";
import type { Uuid } from "../../src/base/uuid.ts";
import type { BlockDeviceProvider } from "../../src/contracts/block-device.ts";
import { DEFAULT_FAULT_SETTINGS } from "../../src/engine/device-faults.ts";
import { type OpenDevice, openTargetDevice, type TargetDeviceSettings } from "../../src/engine/device-opening.ts";
import { LABEL_AREA_BYTES } from "../../src/format/device-label.ts";
import { simulatedWorld } from "../simulation/world.ts";
import { codeOf } from "./engine-rig.ts";
import { ScriptedDevice, ScriptedProvider } from "./scripted-device.ts";

const SIZE_BYTES = 4 * MIB;
const FOLDER = "/data/target-0";
const SETTINGS: TargetDeviceSettings = {
  owner: {
    system: "11111111-2222-4333-8444-555555555555" as Uuid,
    systemName: "daos",
    engine: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee" as Uuid,
    rank: 0,
    device: "01234567-89ab-4cde-8f01-23456789abcd" as Uuid,
    targets: [0],
    target: 0,
  },
  name: "nvme0",
  isLabelled: true,
  isNew: false,
  force: false,
  fault: "",
  mayBeAbsent: false,
  faults: { ...DEFAULT_FAULT_SETTINGS, timeout_ms: 1000 },
};

interface Rig {
  readonly provider: ScriptedProvider;
  readonly open: (create: boolean, settings?: Partial<TargetDeviceSettings>, sizeBytes?: number) => Promise<OpenDevice>;
}

function rig(): Rig {
  const world = simulatedWorld(1);
  const provider = new ScriptedProvider();
  return {
    provider,
    open: (create, settings = {}, sizeBytes = SIZE_BYTES) =>
      openTargetDevice(
        world,
        provider as BlockDeviceProvider,
        { folder: FOLDER, sizeBytes, create },
        { ...SETTINGS, ...settings },
        () => {},
      ),
  };
}

describe("openTargetDevice", () => {
  test("formats, and opens what it formatted: the data lie behind the label", async () => {
    const { provider, open } = rig();
    const { device } = await open(true);
    expect(device.sizeBytes).toBe(SIZE_BYTES - 2 * LABEL_AREA_BYTES);
    const block = device.allocate(4096).fill(9);
    await device.write(0, block, { durable: true });
    const again = (await open(false)).device;
    const copy = again.allocate(4096);
    await again.read(0, copy);
    expect(copy).toEqual(block);
    expect(provider.devices.get(FOLDER)!.content[LABEL_AREA_BYTES]).toBe(9);
  });

  test("a repaired label is told", async () => {
    const { provider, open } = rig();
    await open(true);
    provider.devices.get(FOLDER)!.content[100]! ^= 1;
    expect((await open(false)).notices[0]).toContain("is repaired");
    expect((await open(false)).notices).toEqual([]);
  });

  test("what is there is not formatted unless forced, and is closed again", async () => {
    const { provider, open } = rig();
    const device = new ScriptedDevice(SIZE_BYTES);
    device.content.fill(1);
    provider.devices.set(FOLDER, device);
    expect(await codeOf(open(true))).toBe("ALREADY_EXISTS");
    expect([device.writes, device.closed]).toEqual([0, 1]);
    await open(true, { force: true });
    expect((await open(false)).device.report().state).toBe("normal");
  });

  test("a file that formatting would replace is looked at before", async () => {
    const { provider, open } = rig();
    provider.replaces = true;
    const device = new ScriptedDevice(SIZE_BYTES);
    device.content.fill(1);
    provider.devices.set(FOLDER, device);
    expect(await codeOf(open(true))).toBe("ALREADY_EXISTS");
    expect(provider.devices.get(FOLDER)).toBe(device);
    await open(true, { force: true });
    expect(provider.devices.get(FOLDER)).not.toBe(device);
  });

  test("storage of the version before has no label: its data begin at byte 0", async () => {
    const { provider, open } = rig();
    const device = new ScriptedDevice(SIZE_BYTES);
    device.content[0] = 5;
    provider.devices.set(FOLDER, device);
    const opened = await open(false, { isLabelled: false });
    expect(opened.device.sizeBytes).toBe(SIZE_BYTES);
    const block = opened.device.allocate(4096);
    await opened.device.read(0, block);
    expect([block[0], device.writes]).toEqual([5, 0]);
  });

  test("a missing device stops the start, unless the engine has others or knows that it is faulty", async () => {
    const { open } = rig();
    expect(await codeOf(open(false))).toBe("NOT_FOUND");
    for (const settings of [{ mayBeAbsent: true }, { fault: "10 operations failed" }]) {
      const { device, notices } = await open(false, settings);
      expect(notices[0]).toContain("is missing");
      expect([device.report().state, device.sizeBytes]).toEqual(["unplugged", SIZE_BYTES - 2 * LABEL_AREA_BYTES]);
      const block = device.allocate(4096);
      expect(await codeOf(device.write(0, block, { durable: true }))).toBe("IO");
      expect(await codeOf(device.read(0, block))).toBe("IO");
      await device.close();
    }
  });

  test("a device that never opens is given up in time", async () => {
    const { provider, open } = rig();
    provider.hangs = true;
    expect(await codeOf(open(false))).toBe("TIMEOUT");
    expect((await open(false, { mayBeAbsent: true })).device.report().state).toBe("unplugged");
  });

  test("damage and a wrong device stop the start in any case", async () => {
    const { provider, open } = rig();
    await open(true);
    const wrong = { owner: { ...SETTINGS.owner, target: 1, targets: [1] }, mayBeAbsent: true };
    expect(await codeOf(open(false, wrong))).toBe("CONFIGURATION");
    provider.devices.get(FOLDER)!.content.fill(0);
    expect(await codeOf(open(false, { mayBeAbsent: true }))).toBe("CORRUPT");
  });

  test("a device known to be faulty takes no writes, and its data can be read", async () => {
    const { open } = rig();
    await open(true);
    const { device } = await open(false, { fault: "10 operations failed" });
    const block = device.allocate(4096);
    expect(await codeOf(device.write(0, block, { durable: true }))).toBe("IO");
    await device.read(0, block);
    expect(device.report()).toMatchObject({ state: "faulty", reason: "10 operations failed" });
  });
});
