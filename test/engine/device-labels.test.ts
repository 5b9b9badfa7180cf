import { describe, expect, test } from "bun:test";
import { hasCode } from "../../src/base/errors.ts";
import { MIB } from "../../src/base/limits.ts";
import type { Uuid } from "../../src/base/uuid.ts";
import { contentOf, HEAD_BYTES, TAIL_BYTES } from "../../src/engine/device-content.ts";
import { checkDevice, type DeviceOwner, formatDevice } from "../../src/engine/device-labels.ts";
import { LABEL_BYTES } from "../../src/format/device-label.ts";
import { codeOf } from "./engine-rig.ts";
import { ScriptedDevice } from "./scripted-device.ts";

const SIZE_BYTES = 4 * MIB;
const OWNER: DeviceOwner = {
  system: "11111111-2222-4333-8444-555555555555" as Uuid,
  systemName: "daos",
  engine: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee" as Uuid,
  rank: 0,
  device: "01234567-89ab-4cde-8f01-23456789abcd" as Uuid,
  targets: [0, 1],
  target: 1,
};
const OTHER: DeviceOwner = { ...OWNER, system: "99999999-2222-4333-8444-555555555555" as Uuid, systemName: "prod" };
const FORMAT = { force: false, nowMs: 1767323045000, name: "nvme0" };

async function formatted(): Promise<ScriptedDevice> {
  const device = new ScriptedDevice(SIZE_BYTES);
  await formatDevice(device, OWNER, FORMAT);
  return device;
}

const firstCopy = (device: ScriptedDevice): Uint8Array => device.content.subarray(0, LABEL_BYTES);
const lastCopy = (device: ScriptedDevice): Uint8Array => device.content.subarray(SIZE_BYTES - LABEL_BYTES);

describe("formatDevice", () => {
  test("writes two equal copies, which checkDevice takes", async () => {
    const device = await formatted();
    expect(firstCopy(device)).toEqual(lastCopy(device));
    const { label, repaired } = await checkDevice(device, OWNER, "nvme0");
    expect([label.systemName, label.target, label.dataBytes, repaired]).toEqual(["daos", 1, 2 * MIB, false]);
  });

  test("a device of another system, or of another target, is left as it is unless forced", async () => {
    for (const owner of [OTHER, { ...OWNER, target: 0 }]) {
      const device = await formatted();
      const before = Uint8Array.from(device.content);
      expect(await codeOf(formatDevice(device, owner, FORMAT))).toBe("ALREADY_EXISTS");
      expect(device.content).toEqual(before);
      await formatDevice(device, owner, { ...FORMAT, force: true });
      expect((await checkDevice(device, owner, "nvme0")).label.system).toBe(owner.system);
    }
  });

  test("its own label is no obstacle: a format that was cut off begins anew", async () => {
    const device = await formatted();
    const device2 = { ...OWNER, device: "77777777-89ab-4cde-8f01-23456789abcd" as Uuid };
    await formatDevice(device, device2, FORMAT);
    expect((await checkDevice(device, device2, "nvme0")).label.device).toBe(device2.device);
  });

  test("any byte that is not zero, at the start or at the end, protects a device", async () => {
    for (const offset of [0, 1, 1080, HEAD_BYTES - 1, SIZE_BYTES - TAIL_BYTES, SIZE_BYTES - 1]) {
      const device = new ScriptedDevice(SIZE_BYTES);
      device.content[offset] = 1;
      expect(await codeOf(formatDevice(device, OWNER, FORMAT))).toBe("ALREADY_EXISTS");
      expect(device.writes).toBe(0);
    }
  });

  test("what is known is called by its name", () => {
    const nameOf = (offset: number, bytes: number[]): string => {
      const head = new Uint8Array(HEAD_BYTES);
      head.set(bytes, offset);
      const content = contentOf(head, new Uint8Array(TAIL_BYTES));
      return content.kind === "foreign" ? content.name : content.kind;
    };
    expect(nameOf(1080, [0x53, 0xef])).toBe("an ext2, ext3 or ext4 file system");
    expect(nameOf(0, [...Buffer.from("XFSB")])).toBe("an xfs file system");
    expect(nameOf(65536 + 64, [...Buffer.from("_BHRfS_M")])).toBe("a btrfs file system");
    expect(nameOf(510, [0x55, 0xaa])).toBe("a partition table");
    expect(nameOf(7, [1])).toBe("data of an unknown format");
    expect(nameOf(7, [0])).toBe("empty");
  });
});

describe("checkDevice", () => {
  test("one damaged copy, whichever and wherever, is served and repaired by the other", async () => {
    for (const copy of [firstCopy, lastCopy]) {
      for (const offset of [0, 9, 13, 20, 119, 400, 4095]) {
        const device = await formatted();
        const whole = Uint8Array.from(device.content);
        copy(device)[offset]! ^= 0x40;
        expect((await checkDevice(device, OWNER, "nvme0")).repaired).toBe(true);
        expect(device.content).toEqual(whole);
      }
    }
  });

  test("both copies damaged, or none: CORRUPT, and nothing is written", async () => {
    const device = await formatted();
    firstCopy(device)[200]! ^= 1;
    lastCopy(device)[200]! ^= 1;
    device.writes = 0;
    expect(await codeOf(checkDevice(device, OWNER, "nvme0"))).toBe("CORRUPT");
    expect(await codeOf(checkDevice(new ScriptedDevice(SIZE_BYTES), OWNER, "nvme0"))).toBe("CORRUPT");
    expect(device.writes).toBe(0);
  });

  test("a file system made over the first copy is named, not repaired away", async () => {
    const device = await formatted();
    firstCopy(device).fill(0);
    device.content.set([0x53, 0xef], 1080);
    device.writes = 0;
    const error = await checkDevice(device, OWNER, "nvme0").catch((failure: unknown) => failure);
    expect(hasCode(error, "CORRUPT") && error.message).toContain("ext4");
    expect(device.writes).toBe(0);
  });

  test("a copy that cannot be read is as good as damaged", async () => {
    const device = await formatted();
    device.failing = ["read"];
    expect(await codeOf(checkDevice(device, OWNER, "nvme0"))).toBe("CORRUPT");
  });

  test("the device of another target, engine or system is refused", async () => {
    const device = await formatted();
    const others: Partial<DeviceOwner>[] = [
      { target: 0 },
      { system: OTHER.system },
      { engine: OTHER.system },
      { device: OTHER.system },
    ];
    for (const other of others) {
      expect(await codeOf(checkDevice(device, { ...OWNER, ...other }, "nvme0"))).toBe("CONFIGURATION");
    }
  });
});
